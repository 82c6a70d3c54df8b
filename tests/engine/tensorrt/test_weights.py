"""The precision of the weights in a plan's bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gate5.engine.precision import lower_body
from gate5.engine.tensorrt.weights import stored_precision

PADDING = b"\x7f" * 5


def matrices(graph: bytes) -> list[Any]:
    model = onnx.load_from_string(graph).graph
    return [numpy_helper.to_array(item) for item in model.initializer if item.name.endswith(".weight")]


def plan(graph: bytes, *kinds: Any, transposed: bool = False, padded: bool = False) -> bytes:
    """What a plan might look like that holds each matrix as the kind of the same place."""
    content = [b"head"]
    for matrix, kind in zip(matrices(graph), kinds, strict=True):
        stored = matrix.astype(kind).T if transposed else matrix.astype(kind)
        content.append((PADDING if padded else b"").join(row.tobytes() for row in stored))
    return PADDING.join(content)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("low", [False, True], ids=["FP32 graph", "FP16 graph"])
@pytest.mark.parametrize(("kind", "name"), [(np.float16, "fp16"), (np.float32, "fp32")])
def test_all_in_one_precision(graph: bytes, kind: Any, name: str, transposed: bool, low: bool) -> None:
    given = lower_body(graph, "fp16") if low else graph
    assert stored_precision(given, plan(given, kind, kind, kind, transposed=transposed)) == name


def test_rows_with_something_between(graph: bytes) -> None:
    half = [np.float16] * 3
    assert stored_precision(graph, plan(graph, *half, padded=True)) == "fp16"


def test_one_matrix_in_fp32_is_not_fp16(graph: bytes) -> None:
    """What an FP16 engine must not be."""
    assert stored_precision(graph, plan(graph, np.float16, np.float32, np.float16)) is None


def test_a_row_that_is_not_there(graph: bytes) -> None:
    whole = plan(graph, np.float16, np.float16, np.float16)
    row = matrices(graph)[1][3].astype(np.float16).tobytes()
    assert stored_precision(graph, whole.replace(row, b"\0" * len(row))) is None
    assert stored_precision(graph, b"") is None
    assert stored_precision(graph, np.random.default_rng(0).bytes(100_000)) is None


def test_weights_of_nought_say_nothing(graph: bytes) -> None:
    """Noughts are the same bytes in each precision."""
    model = onnx.load_from_string(graph)
    for item in model.graph.initializer:
        if item.name.endswith(".weight"):
            item.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(item)), item.name))
    assert stored_precision(model.SerializeToString(), b"\0" * 10_000) is None
