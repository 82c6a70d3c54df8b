"""The rewritten graph is the same function."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gate5.engine.precision import lower_body
from gate5.engine.tensorrt.rewrite import to_convolutions


def _run(model: bytes, obs: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"obs": obs})[0]


def _kinds(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("batch", [1, 7])
def test_same_function(graph: bytes, observations: Any, precision: str, batch: int) -> None:
    before = graph if precision == "fp32" else lower_body(graph, precision)
    after = to_convolutions(before)
    assert _kinds(before).count("Gemm") == 3
    assert "Gemm" not in _kinds(after)
    assert _kinds(after).count("Conv") == 3
    assert _kinds(after).count("Reshape") == 2
    tolerance = 1e-6 if precision == "fp32" else 2e-3
    np.testing.assert_allclose(_run(after, observations[:batch]), _run(before, observations[:batch]), atol=tolerance)


def test_names_and_metadata_stay(graph: bytes) -> None:
    """The names say what may run in FP16, and the inspector reads them back."""
    lowered = lower_body(graph, "fp16")
    before, after = (onnx.load_from_string(model) for model in (lowered, to_convolutions(lowered)))
    names = {node.name for node in after.graph.node}
    assert {node.name for node in before.graph.node} <= names
    assert list(after.metadata_props) == list(before.metadata_props)
    types = {item.name: item.data_type for item in after.graph.initializer}
    assert types["body.0.weight"] == TensorProto.FLOAT16
    assert [value.name for value in (*after.graph.input, *after.graph.output)] == ["obs", "action"]


def _chain(*, trans: int = 1, alpha: float = 1.0, branch: bool = False, bias: bool = True) -> bytes:
    """Two layers of 4, with whatever makes them no plain chain."""
    rng = np.random.default_rng(0)
    tensors = [numpy_helper.from_array(rng.normal(size=(4, 4)).astype(np.float32), f"w{i}") for i in range(2)]
    tensors += [numpy_helper.from_array(rng.normal(size=4).astype(np.float32), f"b{i}") for i in range(2)]
    ends = [["b0"], ["b1"]] if bias else [[], []]
    last = "y" if branch else "action"
    nodes = [
        helper.make_node("Gemm", ["obs", "w0", *ends[0]], ["h"], name="/body/0/Gemm", transB=trans, alpha=alpha),
        helper.make_node("Tanh", ["h"], ["t"], name="/body/1/Tanh"),
        helper.make_node("Gemm", ["t", "w1", *ends[1]], [last], name="/body/2/Gemm", transB=trans),
    ]
    if branch:
        nodes.append(helper.make_node("Add", ["y", "h"], ["action"], name="/head/Add"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("obs", "action")]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("bias", [True, False])
def test_layers_with_and_without_bias(bias: bool) -> None:
    obs = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    model = _chain(bias=bias)
    rewritten = to_convolutions(model)
    assert "Conv" in _kinds(rewritten)
    np.testing.assert_allclose(_run(rewritten, obs), _run(model, obs), atol=1e-6)


@pytest.mark.parametrize("case", [{"trans": 0}, {"alpha": 0.5}, {"branch": True}])
def test_what_is_no_plain_chain_stays_as_it_is(case: dict[str, Any]) -> None:
    """A square weight that is not transposed, a factor, a skip connection: rewriting them would be another function."""
    model = _chain(**case)
    assert to_convolutions(model) == model
