"""Which precision TensorRT really built, read back from the engine."""

from __future__ import annotations

import json
import re
from typing import Any

from gate5.engine.precision import BODY
from gate5.errors import EngineError

_LOW = {
    "fp16": re.compile(r"half|fp16|f16|h\d{4,}|hgemm|hmma", re.IGNORECASE),
    "bf16": re.compile(r"bfloat16|bf16", re.IGNORECASE),
}
#: A kernel that multiplies in FP32; a reformat beside it that says Half does not count.
_FULL = re.compile(r"f32f32_f32|sgemm", re.IGNORECASE)
_OPAQUE = ("ForeignNode", "__my")


def layers(trt: Any, engine: Any) -> list[dict[str, str]]:
    """Every layer of the engine: its name and everything that says something about its precision."""
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return parse(text)


def parse(text: str) -> list[dict[str, str]]:
    """The layers in TensorRT's JSON; each has ``name`` and ``types`` (inputs, outputs and tactic in one string)."""
    try:
        found = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return []
    rows = []
    for entry in found:
        if isinstance(entry, str):  # profiling verbosity below DETAILED: names only
            rows.append({"name": entry, "types": ""})
            continue
        parts = [
            str(end.get("Format/Datatype", end.get("Datatype", "")))
            for side in ("Inputs", "Outputs")
            for end in entry.get(side, [])
        ]
        parts += [str(entry.get(key, "")) for key in ("TacticName", "Precision")]
        rows.append({"name": str(entry.get("Name", "")), "types": " | ".join(part for part in parts if part)})
    return rows


def is_opaque(rows: list[dict[str, str]]) -> bool:
    """Whether TensorRT compiled layers of its own making, whose inside the inspector does not show."""
    return any(mark in row["name"] for row in rows for mark in _OPAQUE)


def built_precision(
    rows: list[dict[str, str]], wanted: str, *, typed: bool, stored: str | None = None
) -> tuple[str, str]:
    """The body's precision and how it is known.

    Args:
        rows: what ``layers`` gave.
        wanted: ``fp16``, ``bf16`` or ``fp32``.
        typed: the network was strongly typed, so that its graph decides.
        stored: the precision of the weights in the plan, see ``stored_precision``; ``None``: not known.

    Returns:
        The precision and ``inspector``, ``strongly typed network`` or ``weights in the plan``: where TensorRT compiled
        the body as one piece, the inspector shows its FP32 ends only.

    Raises:
        EngineError: the engine does not show that it has the precision that was asked for.
    """
    body = [row for row in rows if BODY in row["name"]] or rows
    if is_opaque(rows) and not typed:
        if stored == wanted:
            return wanted, "weights in the plan"
        raise EngineError(
            f"{wanted.upper()} was asked for, but the plan of a compiled body holds weights in "
            f"{stored or 'no precision that can be told'}: {_sample([row for row in rows if is_opaque([row])])}."
        )
    low = [name for name, pattern in _LOW.items() if any(pattern.search(row["types"]) for row in body)]
    if "bf16" in low and "fp16" in low:
        low = ["bf16"]  # the pattern of FP16 also finds "bf16"
    if wanted == "fp32":
        if low:
            raise EngineError(f"FP32 was asked for, but TensorRT built {low[0]} layers: {_sample(body)}.")
        return "fp32", "inspector"
    single = [row for row in body if _FULL.search(row["types"]) and not _LOW[wanted].search(row["types"])]
    if wanted in low and not single:
        return wanted, "inspector"
    if wanted in low:
        raise EngineError(
            f"{wanted.upper()} was asked for, but TensorRT built {len(single)} layers of the policy's body in FP32: "
            f"{_sample(single)}."
        )
    if typed and not low and is_opaque(rows):
        return wanted, "strongly typed network"
    raise EngineError(
        f"{wanted.upper()} was asked for, but the engine shows no {wanted} layer, so it runs in FP32: {_sample(body)}."
    )


def _sample(rows: list[dict[str, str]]) -> str:
    return "; ".join(f"{row['name']}: {row['types'] or 'no type given'}" for row in rows[:3]) or "no layer is listed"
