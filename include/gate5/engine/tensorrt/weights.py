"""In which precision a plan holds the policy's weights, found in its bytes.

Where TensorRT 8.5 compiles the body into kernels of its own making, its inspector shows one layer with FP32 ends and
nothing of what is inside. The weights are: uncompressed, each matrix whole or row by row, as it is or transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.engine.precision import BODY

#: Bytes of a row that are enough not to be found by chance.
_ENOUGH = 8


def stored_precision(onnx: bytes, plan: bytes) -> str | None:
    """``fp16`` or ``fp32``: how the plan holds every weight matrix of the graph's body.

    Args:
        onnx: the graph that the plan was built of.
        plan: serialised engine.

    Returns:
        ``None`` where that cannot be told: a matrix is found in neither precision, or not all in the same one.
    """
    found = {_how(matrix, plan) for matrix in _matrices(onnx)}
    return found.pop() if len(found) == 1 else None


def _matrices(onnx: bytes) -> list[NDArray[Any]]:
    import onnx as onnx_module
    from onnx import numpy_helper

    graph = onnx_module.load_from_string(onnx).graph
    used = {name for node in graph.node if node.name.startswith(BODY) for name in node.input}
    arrays = [numpy_helper.to_array(item) for item in graph.initializer if item.name in used]
    return [array for array in arrays if array.ndim == 2 and array.any()]


def _how(matrix: NDArray[Any], plan: bytes) -> str | None:
    with np.errstate(over="ignore"):
        forms: dict[str, NDArray[Any]] = {"fp16": matrix.astype(np.float16), "fp32": matrix.astype(np.float32)}
    there = [name for name, form in forms.items() if _holds(plan, form) or _holds(plan, form.T)]
    return there[0] if len(there) == 1 else None


def _holds(plan: bytes, matrix: NDArray[Any]) -> bool:
    if matrix.tobytes() in plan:
        return True
    rows = [row.tobytes() for row in matrix if row.any()]
    return all(len(row) >= _ENOUGH and row in plan for row in rows)
