"""Builder and runtime on imitations: what is asked of TensorRT, that nothing leaks, that no ``False`` is lost."""

from __future__ import annotations

import hashlib
import sys
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gate5.config import EngineConfig, ProfileConfig
from gate5.engine import EngineController
from gate5.engine.tensorrt import compat, frames, slot
from gate5.engine.tensorrt.builder import TensorRTExporter, batch_profiles
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError


def test_build(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings(tactic_sources=0)).build(graph, timing_cache=b"mine")
    typed = trt.__version__ == "11.4"
    assert built.blob == b"plan"
    assert built.timing_cache == b"cache after"
    assert trt.networks == [2 if typed else 1]  # STRONGLY_TYPED or EXPLICIT_BATCH
    assert trt.config.flags == ([] if typed else ["fp16", "obey"])
    assert trt.config.cleared == ["tf32"]
    assert trt.profiles == [("obs", (1, 8), (1, 8), (1, 8)), ("obs", (1, 8), (16, 8), (16, 8))]
    metadata = built.metadata
    assert metadata["onnx_sha256"] == hashlib.sha256(graph).hexdigest()
    assert metadata["build"]["graph_sha256"] != metadata["onnx_sha256"]  # the body was lowered
    assert metadata["build"]["timing_cache_reused"]
    assert (metadata["precision"], metadata["batch_max"], metadata["device"]) == ("fp16", 16, "Imitation")
    assert (cuda.depth, cuda.released) == (0, 1)


def test_profiles_that_are_not_ours(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.engine.num_optimization_profiles = 1
    with pytest.raises(EngineError, match=r"profiles \[\(1, 1, 1\)\], but"):
        TensorRTExporter(settings()).build(graph)


def test_batch_one_alone_needs_one_profile() -> None:
    assert batch_profiles(ProfileConfig(max_batch=1)) == [(1, 1, 1)]
    assert batch_profiles(ProfileConfig(opt_batch=50, max_batch=64)) == [(1, 1, 1), (1, 50, 64)]


def test_fp32_is_left_as_it_is(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    built = TensorRTExporter(settings(precision="fp32")).build(graph)
    assert trt.config.flags == []
    assert trt.config.cleared == ["tf32"]  # TF32 alone costs 6e-4
    facts = built.metadata["build"]
    assert facts["graph_sha256"] == built.metadata["onnx_sha256"]


def test_fp16_that_gave_fp32_fails(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    with pytest.raises(EngineError, match="FP16 was asked for"):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_timing_cache_of_another_gpu_is_not_used(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph, timing_cache=b"of another GPU")
    assert trt.config.offered == [b"of another GPU", b""]
    assert not built.metadata["build"]["timing_cache_reused"]


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
    trt: Any, cuda: Any, graph: bytes, refused: str, text: str, settings: Callable[..., EngineConfig]
) -> None:
    trt.refuses.append(refused)
    with pytest.raises(EngineError, match=text):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_settings_that_cannot_be(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    with pytest.raises(EngineError, match="tactic_sources: 512"):
        TensorRTExporter(settings(tactic_sources=512)).build(graph)
    if not compat.strongly_typed(trt):
        with pytest.raises(ConfigError, match="needs TensorRT 10"):
            TensorRTExporter(settings(precision="bf16")).build(graph)
    del trt.ICudaEngine.num_io_tensors
    with pytest.raises(ConfigError, match="too old"):
        TensorRTExporter(settings()).build(graph)


@pytest.mark.parametrize("path", ["stream", "copies"])
def test_infer(opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any, path: str, weight: Any) -> None:
    expected = np.clip(observations @ weight, -1, 1)
    with opened(path) as engine:
        for batch in (1, 5, 16):
            np.testing.assert_allclose(engine.infer(observations[:batch]), expected[:batch], atol=1e-6)
        out = np.full((1, 3), np.nan, np.float32)
        assert engine.infer(observations[:1], out) is out
        np.testing.assert_allclose(out, expected[:1], atol=1e-6)
        np.testing.assert_allclose(EngineController(engine).predict(observations[:40])[0], expected[:40], atol=1e-6)
        assert set(engine.split(observations[:1])) >= {"copy_in_ms", "compute_ms", "copy_out_ms"}
        assert cuda.depth == 0


def test_everything_is_freed(trt: Any, opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any) -> None:
    """Eight batch sizes keep buffers (8.5, with one context per profile: two); after close nothing is left."""
    for path in ("stream", "copies"):
        released = cuda.released
        engine = opened(path)
        for batch in range(1, 17):
            engine.infer(observations[:batch])
        assert len(engine._slots) == (8 if compat.profile_is_shared(trt) else 2)
        assert 1 in engine._slots  # the one that has to be fast is never the one to go
        engine.close()
        engine.close()
        assert cuda.memory == {}
        assert cuda.depth == 0
        assert cuda.released == released + 2  # one for the build, one for the engine


def test_without_cuda_bindings_the_stream_path_is_taken(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch, observations: Any
) -> None:
    monkeypatch.setattr(slot, "driver_module", lambda: None)
    with opened("graph") as engine:
        assert engine.info.path == "stream"
        assert np.isfinite(engine.infer(observations[:1])).all()


@pytest.mark.parametrize(
    "refused",
    [
        "set_optimization_profile_async",
        "set_input_shape",
        "set_tensor_address",
        "execute_async_v3",
        "context",
        "deserialise",
    ],
)
def test_every_false_is_an_error(
    trt: Any,
    opened: Callable[..., TensorRTEngine],
    cuda: Any,
    graph: bytes,
    refused: str,
    settings: Callable[..., EngineConfig],
) -> None:
    """The earlier runtime ignored them and handed out whatever lay in the buffer."""
    built = TensorRTExporter(settings()).build(graph)
    trt.refuses.append(refused)
    with pytest.raises(EngineError):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert cuda.depth == 0
    assert cuda.released == 2


def test_engine_that_stops_running(
    trt: Any, opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any
) -> None:
    with opened() as engine:
        engine.poison()
        assert np.isnan(np.asarray(engine._slots[1].output)).all()
        trt.refuses.append("execute_async_v3")
        with pytest.raises(EngineError, match="did not run"):
            engine.infer(observations[:1])
        assert cuda.depth == 0


def test_other_tensors_than_ours(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph)
    with pytest.raises(EngineError, match=r"it has to be float32 \(-1, 9\)"):
        TensorRTEngine.open(built.blob, {**built.metadata, "obs_dim": 9}, "stream")


def test_frames_that_the_bindings_keep_keep_nothing(
    trt: Any, opened: Callable[..., TensorRTEngine], observations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT 8.5's bindings keep the calling frame for ever when they log; its variables held engine and context.

    Seen on a GPU: 320 KB of device memory a closed engine, and a profile that the next context could not have.
    """
    kept: list[Any] = []
    contexts: list[Any] = []
    create = trt.engine.create_execution_context

    def logs() -> Any:
        kept.append(sys._getframe(1))
        context = create()
        contexts.append(weakref.ref(context))
        return context

    monkeypatch.setattr(trt.engine, "create_execution_context", logs)
    with opened() as engine:
        engine.infer(observations[:4])
        for batch in range(2, 11):  # more than are kept: the oldest goes, and its context with it
            engine.infer(observations[:batch])
        assert 2 <= sum(context() is not None for context in contexts) <= 8
    assert len(kept) >= 10
    assert [context() for context in contexts] == [None] * len(contexts)


def test_running_frames_and_generators_are_left_alone() -> None:
    """Clearing a suspended generator would end it."""

    def numbers() -> Any:
        yield 1
        yield 2

    code = numbers.__code__.replace(co_filename=frames.__file__)
    going = type(numbers)(code, globals())()
    assert next(going) == 1
    frames.clear_finished()
    assert next(going) == 2


def test_plain_formats_at_batch_one() -> None:
    """Kernels that want channels in groups pay for it with two more kernels; larger batches are left to the builder."""
    linear, grouped = object(), object()

    def kernel(*formats: Any) -> Any:
        return SimpleNamespace(get_algorithm_io_info=lambda index: SimpleNamespace(tensor_format=formats[index]))

    def layer(*batches: int) -> Any:
        return SimpleNamespace(num_inputs=1, num_outputs=1, get_shape=lambda index: [(size, 30) for size in batches])

    there: Any = SimpleNamespace(
        IAlgorithm=1, IAlgorithmContext=1, IAlgorithmIOInfo=1, TensorFormat=SimpleNamespace(LINEAR=linear)
    )
    choices = [kernel(grouped, grouped), kernel(linear, linear), kernel(linear, grouped), kernel(linear, linear)]
    assert compat.plain_choices(there, layer(1, 1, 1), choices) == [1, 3]
    assert compat.plain_choices(there, layer(1, 512, 512), choices) == [0, 1, 2, 3]
    assert compat.plain_choices(there, layer(1, 1, 1), choices[:1]) == [0]  # nothing plain: whatever there is


def test_an_error_in_the_choice_does_not_reach_the_builder() -> None:
    """An exception that passes through TensorRT's C++ ends the process."""
    there: Any = SimpleNamespace(
        IAlgorithmSelector=type("IAlgorithmSelector", (), {}), IAlgorithm=1, IAlgorithmContext=1, IAlgorithmIOInfo=1,
        IBuilderConfig=SimpleNamespace(algorithm_selector="property"),
    )  # fmt: skip
    config = SimpleNamespace(algorithm_selector=None)
    selector = compat.prefer_plain_formats(there, config)
    assert config.algorithm_selector is selector
    assert selector.select_algorithms(object(), [object(), object()]) == [0, 1]
