"""The rewritten graph computes what the exported one does, and is what TensorRT 8.5's compiler takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.checkpoint import Checkpoint
from gate5.checkpoint.module import build_module
from gate5.checkpoint.spec import Layer, NormaliserSpec, PolicySpec
from gate5.config.candidate import ExportConfig
from gate5.engine.precision import BODY, lower_body
from gate5.engine.tensorrt.before_10.fused import fused
from gate5.export import ONNXExporter
from gate5.plant.base import Float32


def exported(sizes: list[int], activation: str, *, squash: bool, normalised: bool, clip_mean: float | None) -> bytes:
    """The graph of a policy with these sizes, from the observation to the action."""
    rng = np.random.default_rng(sum(sizes))
    ends = [*[activation] * (len(sizes) - 2), None]
    layers = tuple(
        Layer((rng.normal(size=(out, inside)) / np.sqrt(inside)).astype(np.float32),
              rng.normal(size=out).astype(np.float32), end)
        for inside, out, end in zip(sizes, sizes[1:], ends, strict=False)
    )  # fmt: skip
    wide, high = np.full(sizes[0], np.inf, np.float32), np.full(sizes[-1], 2, np.float32)
    policy = PolicySpec("SAC" if squash else "PPO", layers, clip_mean, squash, -high, high, -wide, wide)
    mean, variance = np.full(sizes[0], 3.0), np.full(sizes[0], 4.0)
    normaliser = NormaliserSpec(mean, variance, 1e-8, 10.0, 1e5) if normalised else None
    made = Checkpoint(build_module(policy, normaliser), policy, normaliser, "x", "a" * 64, None, None, {})
    object.__setattr__(made, "reference", lambda obs: (made.reference_numpy(obs), "numpy float64"))
    return ONNXExporter(ExportConfig()).export(made, observations(sizes[0], 100))[0]


def observations(width: int, count: int) -> Float32:
    """Ordinary ones and some far outside, where the clips work."""
    obs = 3 + 2 * np.random.default_rng(1).normal(size=(count, width))
    obs[::7] *= 1e3
    return obs.astype(np.float32)


def run(graph: bytes, obs: Float32) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # unused initialisers of the lowered graph
    return onnxruntime.InferenceSession(graph, options).run(["action"], {"obs": obs})[0]


@settings(max_examples=12, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    ends=st.tuples(st.integers(1, 12), st.integers(1, 5)),
    activation=st.sampled_from(["Tanh", "ReLU"]),
    squash=st.booleans(),
    normalised=st.booleans(),
    clip_mean=st.sampled_from([None, 2.0]),
)
def test_it_computes_the_same(
    hidden: list[int],
    ends: tuple[int, int],
    activation: str,
    squash: bool,
    normalised: bool,
    clip_mean: float | None,
) -> None:
    sizes = [ends[0], *hidden, ends[1]]
    graph = exported(sizes, activation, squash=squash, normalised=normalised, clip_mean=clip_mean if squash else None)
    obs = observations(sizes[0], 200)
    rewritten = fused(graph)
    assert rewritten is not None
    scale = max(1.0, float(np.abs(obs).max())) if not normalised else 10.0
    np.testing.assert_allclose(run(rewritten, obs), run(graph, obs), atol=1e-6 * scale)


def test_what_the_compiler_does_not_know_is_gone(graph: bytes) -> None:
    """A linear layer or a clip in the body ends the piece that is compiled; names below /body/ bind the precision."""
    low = lower_body(graph, "fp16")
    rewritten = fused(low)
    assert rewritten is not None
    nodes = list(onnx.load_from_string(rewritten).graph.node)
    kinds = [node.op_type for node in nodes]
    assert "Gemm" not in kinds
    assert [node.name for node in nodes if node.op_type == "Clip"] == ["/normaliser/Clip"]
    assert kinds.count("Einsum") == 3
    assert all(node.name.startswith(BODY) for node in nodes if node.op_type in ("Einsum", "Max", "Min", "Tanh"))
    np.testing.assert_allclose(run(rewritten, observations(8, 50)), run(low, observations(8, 50)), atol=2e-3)


def test_nothing_to_rewrite() -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, ["batch", 2]) for name in ("obs", "action")]
    node = helper.make_node("Tanh", ["obs"], ["action"], name="/body/Tanh")
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))
    assert fused(model.SerializeToString()) is None


def test_another_gemm_is_left_alone(graph: bytes) -> None:
    """``W.T`` not transposed, or scaled: not what ``bi,oi->bo`` computes."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        if node.op_type == "Gemm":
            next(item for item in node.attribute if item.name == "alpha").f = 0.5
    assert fused(model.SerializeToString()) is None
