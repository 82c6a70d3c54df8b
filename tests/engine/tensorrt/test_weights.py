"""The precision of the weights in a plan's bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gate5.engine.precision import lower_body
from gate5.engine.tensorrt.before_10.fused import fused
from gate5.engine.tensorrt.before_10.weights import linear_layers, stored_precision

PADDING = b"\x7f" * 5


def plan(matrices: list[Any], *kinds: Any, transposed: bool = False, padded: bool = False) -> bytes:
    """What a plan might look like that holds each matrix as the kind of the same place."""
    content = [b"head"]
    for matrix, kind in zip(matrices, kinds, strict=True):
        stored = matrix.astype(kind).T if transposed else matrix.astype(kind)
        content.append((PADDING if padded else b"").join(row.tobytes() for row in stored))
    return PADDING.join(content)


@pytest.fixture
def matrices(graph: bytes) -> list[Any]:
    """The weights of a policy with 8, 32, 32 and 3 numbers."""
    return list(linear_layers(graph).values())


def test_the_layers_of_every_form_of_a_graph(graph: bytes) -> None:
    low = lower_body(graph, "fp16")
    names = [f"/body/body.{index}/Gemm" for index in (0, 2, 4)]
    shapes = [(32, 8), (32, 32), (3, 32)]
    rewritten = fused(low)
    assert rewritten is not None
    for form, suffix, kind in ((graph, "", "float32"), (low, "", "float16"), (rewritten, "/Einsum", "float16")):
        found = linear_layers(form)
        assert {name: (matrix.shape, str(matrix.dtype)) for name, matrix in found.items()} == {
            name + suffix: (shape, kind) for name, shape in zip(names, shapes, strict=True)
        }


def test_a_matrix_beside_the_body_is_none_of_its_layers(graph: bytes) -> None:
    """Such as a head's, which stays in FP32."""
    model = onnx.load_from_string(graph)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 3), np.float32), "head.rotation"))
    model.graph.node.append(
        onnx.helper.make_node("MatMul", ["action", "head.rotation"], ["turned"], name="/head/MatMul")
    )
    assert list(linear_layers(model.SerializeToString())) == list(linear_layers(graph))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("low", [False, True], ids=["FP32 graph", "FP16 graph"])
@pytest.mark.parametrize(("kind", "name"), [(np.float16, "fp16"), (np.float32, "fp32")])
def test_all_in_one_precision(graph: bytes, kind: Any, name: str, transposed: bool, low: bool) -> None:
    given = list(linear_layers(lower_body(graph, "fp16") if low else graph).values())
    assert stored_precision(given, plan(given, kind, kind, kind, transposed=transposed)) == name


def test_rows_with_something_between(matrices: list[Any]) -> None:
    assert stored_precision(matrices, plan(matrices, *[np.float16] * 3, padded=True)) == "fp16"


def test_one_matrix_in_fp32_is_not_fp16(matrices: list[Any]) -> None:
    """What an FP16 engine must not be."""
    assert stored_precision(matrices, plan(matrices, np.float16, np.float32, np.float16)) is None


def test_a_matrix_in_both_precisions_may_be_used_in_either(matrices: list[Any]) -> None:
    both = plan(matrices, *[np.float16] * 3) + plan(matrices, *[np.float32] * 3)
    assert stored_precision(matrices, both) is None


def test_a_row_that_is_not_there(matrices: list[Any]) -> None:
    whole = plan(matrices, *[np.float16] * 3)
    row = matrices[1][3].astype(np.float16).tobytes()
    assert stored_precision(matrices, whole.replace(row, b"\0" * len(row))) is None
    assert stored_precision(matrices, b"") is None
    assert stored_precision([], whole) is None


def test_nothing_is_found_by_chance() -> None:
    """Two numbers lie in every large file somewhere, and so does a row of them."""
    noise = np.random.default_rng(0).bytes(1_000_000)
    narrow = np.random.default_rng(1).normal(size=(50, 1)).astype(np.float16)
    assert all(row.tobytes() in noise for row in narrow), "each row by itself is there"
    assert stored_precision([narrow], noise) is None
    assert stored_precision([narrow[:1]], noise + narrow[:1].tobytes()) is None
    pruned = np.eye(32, dtype=np.float32)
    ones = b"".join(np.roll(row, 0).astype(np.float16).tobytes() for row in pruned[::2])
    assert stored_precision([pruned], ones + noise) is None


def test_noughts_say_nothing(matrices: list[Any]) -> None:
    """They are the same bytes in each precision: rows of them are left out, and so is a matrix of them."""
    dead = matrices[1].copy()
    dead[5] = 0
    assert stored_precision([dead], plan([dead], np.float16, padded=True).replace(b"\0" * 64, b"?")) == "fp16"
    assert stored_precision([np.zeros_like(dead)], bytes(10_000)) is None
    assert stored_precision([np.zeros_like(dead), dead], plan([dead], np.float32)) == "fp32"


def test_numbers_that_fp16_cannot_tell_from_nought() -> None:
    """All of them are nought in FP16, whose bytes are everywhere."""
    tiny = np.full((8, 8), 1e-9, np.float32)
    assert stored_precision([tiny], tiny.tobytes() + bytes(1000)) == "fp32"
