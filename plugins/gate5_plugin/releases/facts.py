"""The numbers of a release that a release manager compares, read from the documents that are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from gate5.errors import Gate5Error
from gate5.gate.report import FINE
from gate5.io import canonical
from gate5.store.artifact_store import ArtifactStore
from gate5.store.manifest import Release
from gate5.store.releases import find_release

DOCUMENTS = ("gate.json", "latency.json", "parity.json", "comparison.json")
#: What has been read, by store and release: a release never changes.
_KEPT: dict[tuple[str, str], Facts] = {}
_MOST = 500


@dataclass(frozen=True)
class Facts:
    """What a release is and what was measured on it; ``None`` where its documents do not say.

    Attributes:
        release: its manifest; ``None`` where it cannot be read (``problem`` says why).
        p99_ms: upper confidence bound of p99.
        sla_ms: what it was judged by.
        parity: largest error of the engine against the ONNX graph.
        violations: steps, over all scenarios.
        differences: scenario -> mean difference of the return to the baseline, in percent of the baseline's.
        margins: (constraint, unit) -> smallest margin over all scenarios.
        advice: sentences of the advisory rules that were not met.
        close: rules that passed with less than 10 % of their threshold to spare.
    """

    id: str
    release: Release | None = None
    problem: str | None = None
    p99_ms: float | None = None
    sla_ms: float | None = None
    parity: float | None = None
    violations: int | None = None
    episodes: int | None = None
    better: int | None = None
    worse: int | None = None
    differences: Mapping[str, float] = field(default_factory=dict)
    margins: Mapping[tuple[str, str], float] = field(default_factory=dict)
    advice: Sequence[str] = ()
    close: Sequence[str] = ()

    def provenance(self, section: str) -> Mapping[str, Any]:
        """A section of the manifest, empty where there is none."""
        found = self.release.provenance.get(section) if self.release else None
        return found if isinstance(found, Mapping) else {}


def facts(store: ArtifactStore, release_id: str) -> Facts:
    """The facts of one release; what cannot be read is left out."""
    key = (store.backend.identity, release_id)
    found = _KEPT.get(key)
    if found is None:
        found = _read(store, release_id)
        if found.problem is None:
            if len(_KEPT) >= _MOST:
                _KEPT.pop(next(iter(_KEPT)), None)
            _KEPT[key] = found
    return found


def many(store: ArtifactStore, ids: Sequence[str]) -> dict[str, Facts]:
    """The facts of several releases; most of the time is the store's, so they are read side by side."""
    names = list(dict.fromkeys(name for name in ids if name))
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(names, pool.map(lambda name: facts(store, name), names), strict=True))


def _read(store: ArtifactStore, release_id: str) -> Facts:
    try:
        release = find_release(store, release_id, store.trusted_keys or None)
        if release is None:
            return Facts(release_id, problem="the store has no such release")
        documents = {name: _document(store, release, name) for name in DOCUMENTS}
    except Gate5Error as error:
        return Facts(release_id, problem=str(error))
    try:
        return Facts(release_id, release, **_numbers(documents))
    except (KeyError, TypeError, ValueError, AttributeError):  # documents of another version
        return Facts(release_id, release)


def _document(store: ArtifactStore, release: Release, name: str) -> Mapping[str, Any]:
    digest = release.files.get(name)
    try:
        value = canonical.loads(store.blob(digest)) if digest else {}
    except ValueError:
        value = {}
    return value if isinstance(value, Mapping) else {}


def _numbers(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    gate, latency, parity, comparison = (documents[name] for name in DOCUMENTS)
    rules = [rule for rule in gate.get("rules") or () if isinstance(rule, Mapping)]
    rows = [row for row in comparison.get("scenarios") or () if isinstance(row, Mapping)]
    pairs = [(row, row.get("difference") or {}) for row in rows]
    return {
        "p99_ms": _number((latency.get("back_to_back") or {}).get("p99_upper_ms")),
        "sla_ms": next((_number(r.get("threshold")) for r in rules if r.get("metric") == "latency.p99_upper_ms"), None),
        "parity": _number(parity.get("max_abs_error")),
        "violations": sum(int(row["rl"]["violations"]) for row in rows) if rows else None,
        "episodes": sum(int(row["episodes"]) for row in rows) if rows else None,
        "better": sum((d.get("low") or 0) > 0 for _, d in pairs) if rows else None,
        "worse": sum((d.get("high") or 0) < 0 for _, d in pairs) if rows else None,
        "differences": dict(_difference(row, d) for row, d in pairs if _share(row, d) is not None),
        "margins": _margins(rows),
        "advice": tuple(_sentence(r) for r in rules if not r.get("veto") and r.get("outcome") not in FINE),
        "close": tuple(_sentence(r) for r in rules if _close(r)),
    }


def _difference(row: Mapping[str, Any], difference: Mapping[str, Any]) -> tuple[str, float]:
    return str(row.get("title") or row["scenario"]), float(_share(row, difference) or 0.0)


def _share(row: Mapping[str, Any], difference: Mapping[str, Any]) -> float | None:
    mean, base = _number(difference.get("mean")), _number((row.get("baseline") or {}).get("return_mean"))
    return None if mean is None or not base else 100.0 * mean / abs(base)


def _margins(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        for constraint in row["rl"].get("constraints") or ():
            margin = _number(constraint.get("smallest_margin"))
            if margin is not None:
                key = (str(constraint["name"]), str(constraint.get("unit") or ""))
                found[key] = min(margin, found.get(key, margin))
    return found


def _close(rule: Mapping[str, Any]) -> bool:
    margin, threshold = _number(rule.get("margin")), _number(rule.get("threshold"))
    if rule.get("outcome") != "pass" or margin is None or not threshold:
        return False
    return 0.0 <= margin < 0.1 * abs(threshold) and rule.get("op") not in ("==", "=")


def _sentence(rule: Mapping[str, Any]) -> str:
    measured, threshold = (_number(rule.get(key)) for key in ("measured", "threshold"))
    told = "not measured" if measured is None else f"{measured:.4g}"
    limit = "?" if threshold is None else f"{threshold:.4g}"
    return f"{rule.get('name')}: {rule.get('metric')} is {told}, must be {rule.get('op')} {limit}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
