"""What the builder asks of TensorRT, which plan it keeps, and that no refusal is lost; on an imitation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.engine.tensorrt import builder, compat
from gate5.engine.tensorrt.before_10 import plans
from gate5.engine.tensorrt.builder import TensorRTExporter, parts_of
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError
from gate5.plant.base import Float32
from tests.support.tensorrt_stand_in import Cuda, Trt


def test_build(trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings(tactic_sources=0)).build(graph, timing_cache=b"mine")
    typed = trt.__version__ == "11.4"
    one, more = ((1, 8), (1, 8), (1, 8)), ((1, 8), (16, 8), (16, 8))
    single, wide = plans.unpack(built.blob)
    if typed:
        assert (built.blob, wide) == (single, None)
        assert trt.profiles == {single: [one, more]}
    else:
        assert wide is not None
        assert (trt.profiles[single], trt.profiles[wide]) == ([one], [more])
        assert b"Einsum" in trt.graphs[single]
        assert b"Einsum" not in trt.graphs[wide]
    assert built.timing_cache == (b"after plan 0" if typed else b"after plan 2")
    assert set(trt.networks) == {2 if typed else 1}  # STRONGLY_TYPED or EXPLICIT_BATCH
    assert set(trt.config.flags) == (set() if typed else {"fp16", "obey"})
    assert set(trt.config.cleared) == {"tf32"}
    metadata = built.metadata
    assert metadata["onnx_sha256"] == hashlib.sha256(graph).hexdigest()
    assert metadata["build"]["graph_sha256"] != metadata["onnx_sha256"]  # the body was lowered
    assert metadata["build"]["timing_cache_reused"]
    assert metadata["build"]["profiles"] == [[1, 1, 1], [1, 16, 16]]
    assert (metadata["precision"], metadata["batch_max"], metadata["device"]) == ("fp16", 16, "Imitation")
    assert cuda.depth == 0


def test_profiles_that_are_not_ours(trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.refuses.append("other profiles")
    with pytest.raises(EngineError, match=r"profiles \[.*\], but \[\(1, 1, 1\)"):
        TensorRTExporter(settings()).build(graph)


@pytest.mark.parametrize("separate", [False, True])
def test_batch_one_alone_needs_one_profile(graph: bytes, separate: bool) -> None:
    def profiles(**sizes: int) -> list[Any]:
        return [part.profiles for part in parts_of(graph, ProfileConfig(**sizes), separate=separate)]

    assert profiles(max_batch=1) == [[(1, 1, 1)]]
    one, more = (1, 1, 1), (1, 50, 64)
    assert profiles(opt_batch=50, max_batch=64) == ([[one], [more]] if separate else [[one, more]])


def test_fp32_is_left_as_it_is(trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    built = TensorRTExporter(settings(precision="fp32")).build(graph)
    assert trt.config.flags == []
    assert set(trt.config.cleared) == {"tf32"}  # TF32 alone costs 6e-4
    facts = built.metadata["build"]
    assert facts["graph_sha256"] == built.metadata["onnx_sha256"]


def test_fp16_that_gave_fp32_fails(trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    with pytest.raises(EngineError, match="FP16 was asked for"):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("kept", [np.float16, np.float32])
def test_a_compiled_body_is_judged_by_its_weights(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig], kept: Any
) -> None:
    """8.5's inspector shows nothing of it; without weights in FP16 it may run in FP32, so another plan is built."""
    trt.pieces, trt.compiled = ["{ForeignNode[/cast/enter_0.../cast/leave_0]}"], kept
    metadata = TensorRTExporter(settings()).build(graph).metadata
    part = metadata["build"]["plans"][0]
    if kept is np.float16:
        assert (part["form"], metadata["precision_evidence"]) == ("fused", "weights in the plan, inspector")
        assert [row["name"] for row in metadata["layers"]] == [*trt.pieces, "/body/body.0/Gemm"]
        assert part["refused"] == []
    else:
        assert (part["form"], metadata["precision_evidence"]) == ("as exported", "inspector")
        assert "the plan holds the weights in fp32" in part["refused"][0]


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("fails", ["to build", "to run", "to build the second time"])
def test_a_body_that_cannot_be_compiled_is_built_as_exported(
    trt: Trt,
    cuda: Cuda,
    graph: bytes,
    settings: Callable[..., EngineConfig],
    observations: Float32,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: str,
) -> None:
    """It takes longer and works; that it was so is in the log and in the engine's metadata."""
    ordinary = builder.gpu_time

    def gpu_time(trt: Trt, blob: bytes, metadata: Any, batch: int) -> float:
        if b"Einsum" in trt.graphs[plans.unpack(blob)[0]]:
            if fails == "to run":
                raise EngineError("TensorRT did not run the engine: no cuBLAS")
            trt.refuses.append("compile")
        return ordinary(trt, blob, metadata, batch)

    monkeypatch.setattr(builder, "gpu_time", gpu_time)
    if fails == "to build":
        trt.refuses.append("compile")
    built = TensorRTExporter(settings(builds=3)).build(graph)
    part = built.metadata["build"]["plans"][0]
    if fails == "to build the second time":
        assert [row["form"] for row in part["builds"]] == ["fused", "as exported", "as exported"]
    else:
        assert [row["form"] for row in part["builds"]] == ["as exported"] * 3
        assert part["form"] == "as exported"
    assert part["refused"][0].startswith("fused: TensorRT ")
    assert "batch 1: the form fused is not used: TensorRT " in caplog.text
    assert cuda.depth == 0
    with TensorRTEngine.open(built.blob, built.metadata, "stream") as engine:
        assert np.isfinite(engine.infer(observations[:1])).all()


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
def test_late_failures_leave_what_was_made(
    trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One form is refused, then the other too: the plan that had been built and timed by then is kept."""
    ordinary, builds = trt._plan, list[int]()

    def plan(network: Any, config: Any) -> bytes | None:
        builds.append(1)
        return None if len(builds) in (2, 3) else ordinary(network, config)

    monkeypatch.setattr(trt, "_plan", plan)
    part = TensorRTExporter(settings(builds=3)).build(graph).metadata["build"]["plans"][0]
    assert (part["form"], [row["form"] for row in part["builds"]]) == ("fused", ["fused"])
    assert [text.split(":")[0] for text in part["refused"]] == ["as exported", "fused"]
    assert cuda.depth == 0


def test_timing_cache_of_another_gpu_is_not_used(trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph, timing_cache=b"of another GPU")
    assert trt.config.offered[:2] == [b"of another GPU", b""]
    assert not built.metadata["build"]["timing_cache_reused"]


def test_the_quickest_of_several_engines_is_kept(
    trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder's own choice is partly chance; what the GPU runs in the least time is kept, part by part."""
    times, asked = {0: 0.03, 1: 0.02, 2: 0.04, 3: 0.09, 4: 0.08, 5: 0.07}, list[int]()

    def gpu_time(trt: Trt, blob: bytes, metadata: Any, batch: int) -> float:
        asked.append(batch)
        single, wide = plans.unpack(blob)
        return times[int((single if batch == 1 else wide or single).removeprefix(b"plan "))]

    monkeypatch.setattr(builder, "gpu_time", gpu_time)
    sizes = ProfileConfig(opt_batch=8, max_batch=16)
    built = TensorRTExporter(settings(builds=3).model_copy(update={"profile": sizes})).build(graph)
    kept = plans.unpack(built.blob)
    parts = built.metadata["build"]["plans"]
    assert built.metadata["blob_sha256"] == hashlib.sha256(built.blob).hexdigest()
    assert [row["gpu_ms"] for row in parts[0]["builds"]] == [0.03, 0.02, 0.04]
    if compat.strongly_typed(trt):
        assert kept == (b"plan 1", None)
        assert asked == [1, 1, 1]
    else:
        assert kept == (b"plan 1", b"plan 5")
        assert asked == [1, 1, 1, 8, 8, 8]
        assert [row["form"] for row in parts[0]["builds"]] == ["fused", "as exported", "fused"]
        assert (parts[0]["form"], parts[1]["form"]) == ("as exported", "as exported")
        for part, plan in zip(parts, kept, strict=True):
            assert part["graph_sha256"] == hashlib.sha256(trt.graphs[plan]).hexdigest()
        # plans for larger batches begin with the times of the plan that was kept, not of one another
        assert trt.config.offered == [b""] * 3 + [b"after plan 1"] * 3
        assert built.timing_cache == b"after plan 5"


def test_a_timing_cache_needs_one_plan_of_each_form(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]
) -> None:
    """It holds the times of the plans that were kept: seconds instead of a minute, and little to choose from."""
    TensorRTExporter(settings(builds=5)).build(graph, timing_cache=b"mine")
    assert len(trt.networks) == (1 if compat.strongly_typed(trt) else 3)


def test_one_candidate_is_one_of_each_form(trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    """Whether the compiled form is the quicker one is measured, not believed; one plan alone has nothing to beat."""
    timed = [
        [(row["form"], row["gpu_ms"] is not None) for row in part["builds"]]
        for part in TensorRTExporter(settings(builds=1)).build(graph).metadata["build"]["plans"]
    ]
    alone = [("as exported", False)]
    if compat.strongly_typed(trt):
        assert timed == [alone]
    else:
        assert timed == [[("fused", True), ("as exported", True)], alone]


def test_builds_are_run_and_freed(trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    parts = 1 if compat.strongly_typed(trt) else 2
    built = TensorRTExporter(settings(builds=2)).build(graph)
    for part in built.metadata["build"]["plans"]:
        assert len(part["builds"]) == 2
        assert all(row["gpu_ms"] > 0 for row in part["builds"])
    assert (cuda.memory, cuda.depth, cuda.released) == ({}, 0, 1 + 2 * parts)
    trt.refuses.append("execute_async_v3")
    with pytest.raises(EngineError, match="did not run"):
        TensorRTExporter(settings(builds=2)).build(graph)
    assert cuda.depth == 0
    assert cuda.memory == {}


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        ("parse", r"No importer for Frobnicate \(node 3\)"),
        ("build", "out of GPU memory"),
        ("profile", "refuses the profile"),
        ("deserialise", "magic tag does not match"),
    ],
)
def test_every_refusal_of_the_builder_is_told(
    trt: Trt, cuda: Cuda, graph: bytes, refused: str, text: str, settings: Callable[..., EngineConfig]
) -> None:
    trt.refuses.append(refused)
    with pytest.raises(EngineError, match=text):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_settings_that_cannot_be(trt: Trt, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    with pytest.raises(EngineError, match="tactic_sources: 512"):
        TensorRTExporter(settings(tactic_sources=512)).build(graph)
    if not compat.strongly_typed(trt):
        with pytest.raises(ConfigError, match="needs TensorRT 10"):
            TensorRTExporter(settings(precision="bf16")).build(graph)
    del trt.ICudaEngine.num_io_tensors
    with pytest.raises(ConfigError, match="too old"):
        TensorRTExporter(settings()).build(graph)
