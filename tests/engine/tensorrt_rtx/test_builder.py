"""TensorRT-RTX, for real: engines are built by its own builder, on a machine that needs no GPU."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.config.models import ReleaseConfig
from gate5.engine import build, choose_backend, elsewhere, load
from gate5.engine.backends import backend
from gate5.engine.tensorrt_rtx.targets import named
from gate5.errors import ConfigError, EngineError

trt = pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]' (Linux on x86-64 or aarch64)")


def settings(**changes: Any) -> EngineConfig:
    return EngineConfig.model_validate({"backend": "tensorrt_rtx", **changes})


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
def test_an_engine_for_the_dgx_spark(graph: bytes, precision: str) -> None:
    built = build(graph, settings(precision=precision))
    known = built.metadata
    assert known["backend"] == "tensorrt_rtx"
    assert (known["precision"], known["obs_dim"], known["act_dim"], known["batch_max"]) == (precision, 8, 3, 512)
    assert known["hardware"] == {"targets": ["sm121"]}
    assert known["build"]["reproducible"] is True
    assert known["build"]["profiles"] == [[1, 1, 1], [1, 2, 512]]
    assert known["blob_sha256"] == hashlib.sha256(built.blob).hexdigest()
    assert known["onnx_sha256"] == hashlib.sha256(graph).hexdigest()
    assert (known["build"]["graph_sha256"] == known["onnx_sha256"]) == (precision == "fp32"), "the body was lowered"


BUILD = """
import hashlib, sys
from pathlib import Path
from gate5.config.engine import EngineConfig
from gate5.engine import build
built = build(Path(sys.argv[1]).read_bytes(), EngineConfig(backend="tensorrt_rtx"))
print(hashlib.sha256(built.blob).hexdigest())
"""


def test_the_same_graph_gives_the_same_bytes_in_another_process_and_folder(graph: bytes, tmp_path: Path) -> None:
    hashes = {build(graph, settings()).metadata["blob_sha256"]}
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "policy.onnx").write_bytes(graph)
        command = [sys.executable, "-c", BUILD, str(folder / "policy.onnx")]
        hashes.add(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip())
    assert len(hashes) == 1


def test_one_changed_weight_gives_other_bytes(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 2 and min(item.dims) > 3)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] += np.float32(0.25)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    assert build(model.SerializeToString(), settings()).blob != build(graph, settings()).blob


def test_other_targets_and_profiles_give_other_engines(graph: bytes) -> None:
    one = build(graph, settings())
    several = build(graph, settings(targets=["sm121", "sm89"]))
    assert several.metadata["hardware"]["targets"] == ["sm121", "sm89"]
    assert several.metadata["device"] == "built for sm121, sm89"
    assert build(graph, settings(targets=["sm89", "sm121"])).blob == several.blob, "in whatever order they are named"
    single = build(graph, settings(profile=ProfileConfig(max_batch=1)))
    assert single.metadata["build"]["profiles"] == [[1, 1, 1]]
    assert len({one.blob, several.blob, single.blob}) == 3


@pytest.mark.parametrize("target", ["sm90", "sm999"])
def test_a_gpu_that_it_does_not_support_is_refused_with_the_ones_that_it_does(graph: bytes, target: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{target}', for which TensorRT-RTX .* sm121 \(GB10 \(DGX Spark\)\)"):
        build(graph, settings(targets=[target]))


@pytest.mark.parametrize("targets", [[], ["spark"], ["SM121"], [""], "sm121", ["sm121", "sm89", "sm121"], [121], None])
def test_targets_that_are_none(targets: Any) -> None:
    with pytest.raises(ConfigError, match=r"engine\.targets"):
        ReleaseConfig.parse({"engine": {"targets": targets}})


def test_an_unknown_operator_gives_the_parsers_own_words(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    node = next(node for node in model.graph.node if node.op_type == "Tanh")
    node.op_type = "Frobnicate"
    with pytest.raises(EngineError, match=r"parser refuses the graph: .*Plugin not found.*Frobnicate") as error:
        build(model.SerializeToString(), settings(precision="fp32"))
    assert error.value.exit_code == 3


def test_what_is_no_graph_at_all(graph: bytes) -> None:
    with pytest.raises(EngineError, match="parser refuses the graph"):
        build(graph[: len(graph) // 2], settings(precision="fp32"))


def test_it_is_opened_only_where_it_belongs(graph: bytes) -> None:
    """This machine has no GPU, or none that it was built for: one sentence, and not a byte was read."""
    built = build(graph, settings())
    why = elsewhere(built.metadata)
    if why is None:
        pytest.skip("this machine has a GPU that the engine was built for")
    assert "sm121" in why
    with pytest.raises(EngineError):
        load(built.blob, built.metadata)


def test_auto_never_takes_what_cannot_run_here() -> None:
    found = backend("tensorrt_rtx")
    assert found.lacking_to_build() is None
    if found.missing() is None:
        pytest.skip("this machine has a GPU that TensorRT-RTX supports")
    assert choose_backend(EngineConfig()) != "tensorrt_rtx"
    assert choose_backend(settings()) == "tensorrt_rtx", "asked for by name it is built all the same"


@pytest.mark.parametrize(("capability", "target"), [("12.1", "sm121"), ("8.9", "sm89"), ("9.0", "sm90")])
def test_the_target_of_a_device(capability: str, target: str) -> None:
    assert named(capability) == target
