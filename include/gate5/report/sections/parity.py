"""Is it still the same function? The graph against the policy, the engine against the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5.parity.engine import ParityReport
from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, code, facts, figure, fold, table, tag
from gate5.report.sections.plain import awaiting

_KINDS = {"rollout": "closed-loop rollouts", "interior": "interior of the observation space",
          "corners": "corners of the observation space", "far": "far outside"}  # fmt: skip


def section(artifacts: Artifacts) -> Markup:
    """Both comparisons: how many observations, the largest error, and the sample where it is."""
    export, parity = artifacts.export, artifacts.parity
    parts: list[object] = [tag("h2", "Parity")]
    if export is None:
        parts.append(tag("p", "ONNX graph against the policy. Missing: the stage export has not run yet.",
                         class_="soft"))  # fmt: skip
    else:
        about = export.to_dict()
        parts += [
            _said("ONNX graph against the policy", export.max_abs_error, export.compared),
            fold(
                "The graph against the policy, in full",
                facts(
                    [
                        ("largest absolute error", figure(export.max_abs_error, 3)),
                        ("observations compared", f"{export.compared:,}"),
                        ("numbers not finite", str(export.nonfinite)),
                        ("compared with", export.reference),
                        ("graph", f"opset {export.opset}, {export.onnx_bytes / 1024:,.1f} KiB"),
                        ("graph, SHA-256", code(export.onnx_sha256)),
                    ]
                ),
                _by_kind(about),
                _worst(about),
            ),
        ]
    if parity is None and artifacts.awaiting is not None:
        parts.append(awaiting(artifacts.awaiting))
    elif parity is None:
        parts.append(tag("p", "Engine against the ONNX graph. Missing: the stage verify has not run yet.",
                         class_="soft"))  # fmt: skip
    else:
        about = parity.to_dict()
        parts += [
            _said("Engine against the ONNX graph", parity.max_abs_error, parity.compared),
            fold("The engine against the graph, in full", _engine(parity), _by_kind(about), _worst(about)),
        ]
    return tag("section", parts, id="parity")


def _said(what: str, error: float | None, compared: int) -> Markup:
    return tag("p", f"{what}: largest error ", tag("b", figure(error, 3)), f" on {compared:,} observations.")


def _engine(parity: ParityReport) -> Markup:
    most = parity.batch_max
    return facts(
        [
            ("largest absolute error", figure(parity.max_abs_error, 3)),
            (
                "observations compared",
                f"{parity.compared:,} at batch 1, {parity.batch_compared:,} at {most}",
            ),
            ("numbers not finite", f"{parity.nonfinite} at batch 1, {parity.batch_nonfinite} at {most}"),
            (f"largest error at batch {most}", figure(parity.batch_max_abs_error, 3)),
            (f"batch 1 against batch {most}", figure(parity.batch_spread, 3)),
            ("the same input twice", f"{parity.repeat_mismatches} of {parity.repeats} gave other bits"),
            ("an observation of NaN gives", "NaN" if parity.nan_gives_nan else "a plausible action"),
            ("compared with", parity.reference),
        ]
    )


def _by_kind(about: Mapping[str, Any]) -> Markup | None:
    kinds = about.get("by_kind")
    if not isinstance(kinds, Mapping) or not kinds:
        return None
    rows = [
        (_KINDS.get(str(name), name), _whole(row.get("compared")), figure(row.get("max_abs_error"), 3))
        for name, row in kinds.items()
        if isinstance(row, Mapping)
    ]
    return table(("observations", "compared", "largest error"), rows, numeric=(1, 2))


def _worst(about: Mapping[str, Any]) -> Markup | None:
    worst = about.get("worst")
    if not isinstance(worst, Mapping):
        return None
    kind = str(worst.get("kind"))
    rows = []
    for index, (expected, actual) in enumerate(zip(worst["expected"], worst["actual"], strict=False)):
        error = None if expected is None or actual is None else actual - expected
        rows.append((str(index), figure(expected, 7), figure(actual, 7), figure(error, 3)))
    observation = ", ".join(figure(value, 5) for value in worst["observation"])
    return tag(
        "details",
        tag("summary", f"Where the error is largest ({_KINDS.get(kind, kind)})"),
        table(("action", "expected", "got", "difference"), rows, numeric=(1, 2, 3)),
        tag("p", "Observation: ", tag("code", observation)),
        class_="data",
    )


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"
