"""In which precision a plan holds a policy's weights, found in its bytes.

Where TensorRT 8.5 compiles layers into kernels of its own making, its inspector shows one piece with FP32 ends and
nothing of what is inside. The weights are: uncompressed, each matrix whole or row by row, as it is or transposed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.engine.precision import BODY

_KINDS = {"fp16": np.float16, "fp32": np.float32}
#: Numbers other than nought that are enough not to be found by chance, of a matrix and of a row.
_ENOUGH = 4


def linear_layers(onnx: bytes) -> dict[str, NDArray[Any]]:
    """The weight matrices of the graph's body, by the name of the node that they belong to."""
    import onnx as onnx_module
    from onnx import numpy_helper

    graph = onnx_module.load_from_string(onnx).graph
    matrices = {item.name: numpy_helper.to_array(item) for item in graph.initializer if len(item.dims) == 2}
    body = [node for node in graph.node if node.name.startswith(BODY)]
    return {node.name: matrices[name] for node in body for name in node.input if name in matrices}


def stored_precision(matrices: Iterable[NDArray[Any]], plan: bytes) -> str | None:
    """``fp16`` or ``fp32``: how a plan holds every one of the matrices.

    Args:
        matrices: float16 or float32; those with fewer than four numbers other than nought say nothing.
        plan: serialised engine.

    Returns:
        ``None`` where that cannot be told: a matrix is found in neither precision or in both, or not all are in the
        same one.
    """
    found = {_how(matrix, plan) for matrix in matrices if np.count_nonzero(matrix) >= _ENOUGH}
    return found.pop() if len(found) == 1 else None


def _how(matrix: NDArray[Any], plan: bytes) -> str | None:
    with np.errstate(over="ignore"):
        forms: dict[str, NDArray[Any]] = {name: matrix.astype(kind) for name, kind in _KINDS.items()}
    there = [name for name, form in forms.items() if _holds(plan, form) or _holds(plan, form.T)]
    return there[0] if len(there) == 1 else None


def _holds(plan: bytes, matrix: NDArray[Any]) -> bool:
    if np.count_nonzero(matrix) < _ENOUGH:  # in FP16 they all came to nought
        return False
    if matrix.tobytes() in plan:
        return True
    rows = [row for row in matrix if row.any()]
    return all(np.count_nonzero(row) >= _ENOUGH and row.tobytes() in plan for row in rows)
