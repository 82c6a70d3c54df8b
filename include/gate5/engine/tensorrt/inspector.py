"""Which precision TensorRT really built, read back from the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from gate5.engine.precision import BODY
from gate5.errors import EngineError

_LOW = {
    "fp16": re.compile(r"half|fp16|f16|h\d{4,}|hgemm|hmma", re.IGNORECASE),
    "bf16": re.compile(r"bfloat16|bf16", re.IGNORECASE),
}
#: A kernel that multiplies in FP32; a reformat beside it that says Half does not count.
_FULL = re.compile(r"f32f32_f32|sgemm", re.IGNORECASE)
_COMPILED = ("ForeignNode", "__my")


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


def precision_of(
    rows: list[dict[str, str]],
    wanted: str,
    linear: list[str],
    stored: Callable[[list[str]], str | None],
    *,
    typed: bool,
) -> tuple[str, str]:
    """The body's precision and how it is known, compiled pieces included.

    Where TensorRT compiles layers as one piece, the inspector shows its FP32 ends only. A strongly typed network's
    graph decides. Otherwise the weights do: the plan has to hold those of every layer that no row shows as was asked.

    Args:
        rows: what ``layers`` gave.
        wanted: ``fp16``, ``bf16`` or ``fp32``.
        linear: names of the graph's linear layers; not needed where it is typed.
        stored: the precision in which the plan holds the weights of some of them; ``None``: it cannot be told.
        typed: the network was strongly typed.

    Returns:
        The precision, and ``inspector``, ``strongly typed network``, ``weights in the plan`` or the first and the last.

    Raises:
        EngineError: the engine does not show that it has the precision that was asked for.
    """
    pieces = [row for row in rows if _is_compiled(row)]
    shown = [row for row in rows if row not in pieces]
    hidden = [name for name in linear if pieces and not any(_is_of(row, name) for row in shown)]
    if typed or not hidden:
        return built_precision(rows, wanted, typed=typed)
    found = stored(hidden)
    if found != wanted:
        raise EngineError(
            f"{wanted.upper()} was asked for, but of what TensorRT compiled as one piece the plan holds the weights in "
            f"{found or 'no precision that can be told'}: {_sample(pieces)}."
        )
    if len(hidden) == len(linear):
        return wanted, "weights in the plan"
    return wanted, f"{built_precision(shown, wanted, typed=typed)[1]} and weights in the plan"


def _is_compiled(row: dict[str, str]) -> bool:
    return any(mark in row["name"] for mark in _COMPILED)


def _is_of(row: dict[str, str], layer: str) -> bool:
    """Whether a row is the layer's own, alone or with what was fused to it; a reformat before it is not."""
    return f"{row['name']} ".startswith(f"{layer} ")


def built_precision(rows: list[dict[str, str]], wanted: str, *, typed: bool) -> tuple[str, str]:
    """The body's precision as the inspector shows it.

    Args:
        rows: what ``layers`` gave.
        wanted: ``fp16``, ``bf16`` or ``fp32``.
        typed: the network was strongly typed, so that its graph decides.

    Returns:
        The precision and ``inspector`` or ``strongly typed network``: where TensorRT fused the whole policy into one
        kernel, the inspector shows its FP32 ends only.

    Raises:
        EngineError: a lower precision was asked for and the engine shows none of it.
    """
    body = [row for row in rows if BODY in row["name"]] or rows
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
    if typed and not low and any(_is_compiled(row) for row in rows):
        return wanted, "strongly typed network"
    raise EngineError(
        f"{wanted.upper()} was asked for, but the engine shows no {wanted} layer, so it runs in FP32: {_sample(body)}."
    )


def _sample(rows: list[dict[str, str]]) -> str:
    return "; ".join(f"{row['name']}: {row['types'] or 'no type given'}" for row in rows[:3]) or "no layer is listed"
