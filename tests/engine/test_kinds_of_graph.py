"""Every supported algorithm's graph, with every kind of input, output and state, in what TensorRT is given.

TensorRT-RTX is the real one: it builds on a machine without a GPU. Of TensorRT 8.5 there is no builder without one;
what is before it, the rewriting for its compiler, is held against ONNX Runtime.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from gate5.checkpoint import Checkpoint, CheckpointFiles, fetch, read
from gate5.checkpoint.classes import ACTIVATIONS
from gate5.checkpoint.module import build_module
from gate5.checkpoint.signature import Signature
from gate5.checkpoint.spec import Layer, PolicySpec
from gate5.config.candidate import ExportConfig
from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.engine import build
from gate5.engine.precision import lower_body
from gate5.engine.rows import as_rows
from gate5.engine.tensorrt.before_10.fused import fused
from gate5.engine.tensorrt.before_10.weights import linear_layers
from gate5.export import ONNXExporter
from gate5.parity.difference import difference
from scripts.policy_kinds import CONTRIB, SB3, Case, train

CASES = [
    Case("PPO", "Dict", "Box"), Case("PPO", "image frames", "Box"), Case("PPO", "Box", "Box(2, 2)"),
    Case("A2C", "Box", "MultiBinary"), Case("SAC", "frames", "Box"), Case("TD3", "Box(2, 3)", "Box"),
    Case("DDPG", "MultiDiscrete", "Box"), Case("DQN", "image", "Discrete"), Case("TRPO", "MultiBinary", "Box"),
    Case("TQC", "image in a Dict", "Box"), Case("CrossQ", "float64", "Box"), Case("QRDQN", "Discrete", "Discrete"),
    Case("ARS", "Box", "Discrete"), Case("MaskablePPO", "Box", "MultiDiscrete"), Case("RecurrentPPO", "Dict", "Box"),
]  # fmt: skip
SMALL = ProfileConfig(max_batch=8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], tuple[bytes, Signature]]:
    """A case's graph, made once."""
    made: dict[Case, tuple[bytes, Signature]] = {}

    def make(case: Case) -> tuple[bytes, Signature]:
        if case not in made:
            folder = tmp_path_factory.mktemp("policy")
            train(case, folder)
            frames = 3 if "frames" in case.observation else 1
            statistics = None if (folder / "vecnormalize.pkl").exists() else "none"
            checkpoint = read(fetch(folder, vecnormalize=statistics), frame_stack=frames)
            made[case] = ONNXExporter(ExportConfig()).trace(checkpoint), checkpoint.signature
        return made[case]

    return make


def test_every_algorithm_is_among_them() -> None:
    assert {case.algorithm for case in CASES} == {*SB3, *CONTRIB}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_tensorrt_rtx_builds_it(exported: Callable[[Case], tuple[bytes, Signature]], case: Case) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]' (Linux on x86-64 or aarch64)")
    graph, signature = exported(case)
    width = sum(port.size for port in signature.inputs)
    for precision in ("fp16", "bf16"):
        built = build(graph, EngineConfig(backend="tensorrt_rtx", precision=precision, profile=SMALL)).metadata
        assert (built["precision"], built["obs_dim"], built["act_dim"]) == (precision, width, signature.given)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_rewritten_for_the_compiler_of_8_5(exported: Callable[[Case], tuple[bytes, Signature]], case: Case) -> None:
    """The same function, in FP32 and FP16; the body has layers by whose weights a plan's precision is told."""
    graph, signature = exported(case)
    rows = as_rows(graph)
    whole = signature.whole_columns()
    given = np.abs(np.random.default_rng(0).normal(size=(60, len(whole))))
    given[:, whole] = np.clip(np.round(given[:, whole]), 0, 1)
    for precision, limit in (("fp32", 1e-5), ("fp16", 1e-2)):
        form = rows if precision == "fp32" else lower_body(rows, precision)
        other = fused(form)
        assert other is not None
        assert "Gemm" not in [n.op_type for n in onnx.load_from_string(other).graph.node if n.name.startswith("/body/")]
        one, two = (
            onnxruntime.InferenceSession(content).run(["action"], {"obs": given.astype(np.float32)})[0]
            for content in (form, other)
        )
        found = difference(one, two, signature, tie=1e-2)
        assert found.max_abs_error is not None
        assert found.max_abs_error < limit
        assert linear_layers(form)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_tensorrt_rtx_builds_every_activation(activation: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]' (Linux on x86-64 or aarch64)")
    rng = np.random.default_rng(0)

    def layer(out: int, inside: int, kind: str | None) -> Layer:
        slope = np.array([0.2], np.float32) if kind == "PReLU" else None
        return Layer(rng.normal(size=(out, inside)).astype(np.float32), np.zeros(out, np.float32), kind, slope)

    wide, one = np.full(4, np.inf, np.float32), np.ones(2, np.float32)
    policy = PolicySpec("PPO", (layer(8, 4, activation), layer(2, 8, None)), None, False, -one, one, -wide, wide)
    checkpoint = Checkpoint(build_module(policy, None), policy, None, "x", "a" * 64, None, None, {})
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    built = build(graph, EngineConfig(backend="tensorrt_rtx", precision="fp16", profile=SMALL))
    assert built.metadata["precision"] == "fp16"


@pytest.mark.filterwarnings("ignore")
def test_tensorrt_rtx_builds_a_torchscript_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]' (Linux on x86-64 or aarch64)")
    buffer = io.BytesIO()
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).eval()
    torch.jit.save(torch.jit.script(network), buffer)
    for action in ({"shape": [2], "low": [-1, 0], "high": 1}, {"choices": 2}):
        spaces = {"observation": {"shape": [4]}, "action": action}
        files = CheckpointFiles(buffer.getvalue(), None, "policy.pt")
        graph = ONNXExporter(ExportConfig()).trace(read(files, trust_pickle=True, spaces=spaces))
        assert build(graph, EngineConfig(backend="tensorrt_rtx", precision="fp32", profile=SMALL)).blob
