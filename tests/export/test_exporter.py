"""What is exported is the policy, and the comparison sees when it is not."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gate5.checkpoint import Checkpoint
from gate5.checkpoint.module import build_module
from gate5.config.candidate import ExportConfig
from gate5.errors import ExportError
from gate5.export import ExportReport, ONNXExporter, to_fp16_body
from gate5.plant.base import Float32


def _run(model: bytes, obs: Float32) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["action"], {"obs": obs})[0]


@pytest.mark.parametrize("squash", [False, True])
def test_export_is_the_policy(checkpoint: Callable[..., Checkpoint], rollout: Float32, squash: bool) -> None:
    """An independent onnxruntime run on raw observations gives the float64 reference, at any batch size."""
    made = checkpoint(squash=squash)
    model, report = ONNXExporter(ExportConfig()).export(made, rollout)
    assert report.verified
    assert report.compared == 1500 + 3 * 2000
    assert report.max_abs_error is not None
    assert report.max_abs_error < 1e-4
    for batch in (1, 2, 700):
        np.testing.assert_allclose(_run(model, rollout[:batch]), made.reference_numpy(rollout[:batch]), atol=1e-4)
    assert report.metrics()["parity.onnx.max_abs_error"] == report.max_abs_error
    assert ExportReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


@pytest.mark.parametrize("fault", ["normaliser", "clip", "weight", "nan"])
def test_comparison_sees_a_fault(checkpoint: Callable[..., Checkpoint], rollout: Float32, fault: str) -> None:
    """The reference shares no code with what is exported: a wrapper compared with itself would pass all of these."""
    good = checkpoint()
    spec = good.policy
    if fault == "normaliser":
        module = build_module(spec, None)
    elif fault == "clip":
        module = build_module(replace(spec, high=spec.high * 100, low=spec.low * 100 - 100), good.normaliser)
    else:
        module = build_module(spec, good.normaliser)
        with torch.no_grad():
            module.body[0].weight[0, 0] += float("nan") if fault == "nan" else 0.01  # type: ignore[index, union-attr]
    _, report = ONNXExporter(ExportConfig()).export(checkpoint(module=module), rollout)
    if fault == "nan":
        assert report.max_abs_error is None
        assert report.nonfinite > 0
        assert not report.verified
        assert report.metrics()["parity.onnx.max_abs_error"] == math.inf
    else:
        assert report.max_abs_error is not None
        assert report.max_abs_error > 1e-4
    assert report.worst is not None
    assert len(report.worst.observation) == 8


def test_fewer_than_a_thousand_is_not_verified(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    _, report = ONNXExporter(ExportConfig()).export(checkpoint(), rollout[:3])
    assert report.by_kind["rollout"]["compared"] == 3
    unmeasured = replace(report, compared=0, max_abs_error=None, verified=False)
    assert unmeasured.metrics()["parity.onnx.max_abs_error"] is None  # the gate treats a missing number as an error


@pytest.mark.parametrize("bad", [np.zeros((0, 8)), np.zeros((5, 7)), np.zeros(8), np.full((5, 8), np.nan)])
def test_observations_that_do_not_fit(checkpoint: Callable[..., Checkpoint], bad: Any) -> None:
    with pytest.raises(ExportError, match=r"observations|Observation"):
        ONNXExporter(ExportConfig()).export(checkpoint(), bad)


def test_callers_module_stays_as_it_is(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    """The earlier exporter moved the caller's live policy and changed its mode."""
    made = checkpoint()
    made.module.train()
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    identities = [id(child) for child in made.module.modules()]
    ONNXExporter(ExportConfig()).export(made, rollout)
    assert made.module.training
    assert identities == [id(child) for child in made.module.modules()]
    for name, tensor in made.module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_warnings_of_others_are_not_silenced(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    """The exporter's own deprecation warning stays inside; the process's filters are what they were."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        ONNXExporter(ExportConfig()).export(checkpoint(), rollout)
        assert warnings.filters == filters
        warnings.warn("still heard", UserWarning, stacklevel=1)
    messages = [str(item.message) for item in seen]
    assert "still heard" in messages
    assert not any("onnx" in message.lower() for message in messages)


def test_same_checkpoint_same_bytes(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    """A stage run twice leaves the same artifacts."""
    exporter = ONNXExporter(ExportConfig())
    assert exporter.export(checkpoint(), rollout) == exporter.export(checkpoint(), rollout)


def test_metadata_and_interface(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    import onnx

    model, _ = ONNXExporter(ExportConfig()).export(checkpoint(), rollout)
    proto = onnx.load_from_string(model)
    found = {entry.key: entry.value for entry in proto.metadata_props}
    assert found["gate5.policy_sha256"] == "ab" * 32
    assert found["gate5.vecnormalize_sha256"] == "cd" * 32
    assert (found["gate5.obs_dim"], found["gate5.act_dim"], found["gate5.algorithm"]) == ("8", "3", "PPO")
    assert found["gate5.normaliser"] == "in the graph"
    for value, name, width in ((proto.graph.input[0], "obs", 8), (proto.graph.output[0], "action", 3)):
        shape = value.type.tensor_type.shape.dim
        assert (value.name, shape[0].dim_param, shape[1].dim_value) == (name, "batch", width)
    assert proto.opset_import[0].version == 17


def test_weights_with_equal_values_stay_apart(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    """The exporter shares equal tensors between layers (all biases are zero here)."""
    import onnx

    model, _ = ONNXExporter(ExportConfig()).export(checkpoint(), rollout)
    graph = onnx.load_from_string(model).graph
    assert not [node for node in graph.node if node.op_type == "Identity"]
    assert {f"body.{index}.bias" for index in (0, 2, 4)} <= {item.name for item in graph.initializer}


def test_fp16_body(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    """FP16 in the body alone: raw units up to 1e7 go through the FP32 normaliser unharmed."""
    import onnx
    from onnx import TensorProto

    model, _ = ONNXExporter(ExportConfig()).export(checkpoint(), rollout)
    lowered = to_fp16_body(model)
    graph = onnx.load_from_string(lowered).graph
    types = {item.name: item.data_type for item in graph.initializer}
    assert all(types[f"body.{index}.weight"] == TensorProto.FLOAT16 for index in (0, 2, 4))
    assert all(types[name] == TensorProto.FLOAT for name in types if name.startswith(("normaliser", "head")))
    assert all(v.type.tensor_type.elem_type == TensorProto.FLOAT for v in (graph.input[0], graph.output[0]))
    exact, low = _run(model, rollout), _run(lowered, rollout)
    assert 1e-6 < np.abs(exact - low).max() < 1e-2  # it is FP16, and it is close
    assert _run(model, rollout).tobytes() == exact.tobytes()


def test_fp16_refuses_what_it_cannot_hold(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    made = checkpoint()
    with torch.no_grad():
        dict(made.module.named_parameters())["body.0.bias"][0] = 1e5
    model, _ = ONNXExporter(ExportConfig()).export(made, rollout)
    with pytest.raises(ExportError, match=r"body\.0\.bias holds 100000"):
        to_fp16_body(model)


def test_bf16_rounds_to_nearest(checkpoint: Callable[..., Checkpoint], rollout: Float32) -> None:
    import onnx
    from onnx import numpy_helper

    from gate5.engine.precision import lower_body

    model, _ = ONNXExporter(ExportConfig()).export(checkpoint(), rollout)
    before = {item.name: numpy_helper.to_array(item) for item in onnx.load_from_string(model).graph.initializer}
    after = {item.name: item for item in onnx.load_from_string(lower_body(model, "bf16")).graph.initializer}
    weight = before["body.0.weight"]
    bits = np.frombuffer(after["body.0.weight"].raw_data, np.uint16).astype(np.uint32) << 16
    expected = torch.from_numpy(weight.copy()).bfloat16().float().numpy()
    np.testing.assert_array_equal(bits.view(np.float32).reshape(weight.shape), expected)


def _clipped(low: float, high: float, *, used_twice: bool = False) -> bytes:
    """A body of one layer and the clip after it, as the exporter names them."""
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(3)
    tensors = {
        "body.0.weight": generator.normal(size=(4, 6)),
        "body.0.bias": generator.normal(size=4),
        "low": np.array(low),
        "high": np.array(high),
    }
    nodes = [
        helper.make_node("Gemm", ["obs", "body.0.weight", "body.0.bias"], ["y"], name="/body/body.0/Gemm", transB=1),
        helper.make_node("Clip", ["y", "low", "high"], ["clipped"], name="/head/Clip"),
        helper.make_node("Add", ["clipped", "y" if used_twice else "low"], ["action"], name="/head/Add"),
    ]
    if not used_twice:
        nodes[1:] = [helper.make_node("Clip", ["y", "low", "high"], ["action"], name="/head/Clip")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", n]) for name, n in (("obs", 6), ("action", 4))]
    arrays = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _names(model: bytes) -> list[str]:
    import onnx

    return [node.name for node in onnx.load_from_string(model).graph.node]


def test_a_clip_at_exact_bounds_goes_with_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT can then fuse it with the last layer; the actions keep their bits, those on the bounds too."""
    from onnx.reference import ReferenceEvaluator

    model = _clipped(-1.0, 1.0)
    obs = np.random.default_rng(4).normal(scale=2, size=(3000, 6)).astype(np.float32)
    moved = to_fp16_body(model)
    assert _names(moved)[-2:] == ["/body/Clip", "/cast/leave_0"]
    monkeypatch.setattr("gate5.engine.precision._take_clip", lambda graph, target: None)
    left = to_fp16_body(model)
    assert _names(left)[-2:] == ["/cast/leave_0", "/head/Clip"]
    # ONNX's own evaluator: ONNX Runtime on a CPU would leave roundings out.
    evaluators: list[Any] = [ReferenceEvaluator(one) for one in (moved, left)]
    actions, before = (evaluator.run(None, {"obs": obs})[0] for evaluator in evaluators)
    assert 0.1 < float(np.mean(np.abs(actions) == 1.0)) < 0.9
    assert actions.dtype == np.float32
    assert actions.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "model",
    [_clipped(-0.1, 1.0), _clipped(-1.0, 1e6), _clipped(-1.0, 1.0, used_twice=True)],
    ids=["0.1 is no FP16 number", "more than FP16 holds", "the unclipped value is needed too"],
)
def test_any_other_clip_stays_in_fp32(model: bytes) -> None:
    """Clipped at a rounded bound, an action would leave its limits."""
    names = _names(to_fp16_body(model))
    assert "/head/Clip" in names
    assert "/body/Clip" not in names
