"""Opening an engine and running it: the right answers, every ``False`` an error, everything freed; on imitations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.engine import EngineController
from gate5.engine.tensorrt import compat, slot
from gate5.engine.tensorrt.builder import TensorRTExporter
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import EngineError
from gate5.plant.base import Float32
from tests.support.tensorrt_stand_in import Cuda, Trt


def test_an_engine_for_batch_one_alone(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig], observations: Float32
) -> None:
    """TensorRT 8.5 makes it static: its observation has the shape (1, 8), not (-1, 8), which was once refused."""
    one = settings().model_copy(update={"profile": ProfileConfig(max_batch=1)})
    built = TensorRTExporter(one).build(graph)
    with TensorRTEngine.open(built.blob, built.metadata, "stream") as engine:
        assert engine.infer(observations[:1]).shape == (1, 3)
        with pytest.raises(EngineError, match="B from 1 to 1"):
            engine.infer(observations[:2])


def test_the_gpus_time_is_taken_at_the_batch_that_was_asked_for(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[int] = []
    monkeypatch.setattr(slot.Slot, "launch", lambda self: launched.append(len(self.input)))
    with opened() as engine:
        launched.clear()  # those of the build
        assert engine.gpu_ms(5) > 0
        assert set(launched) == {5}


@pytest.mark.parametrize("path", ["stream", "copies"])
def test_infer(
    opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Float32, path: str, weight: Float32
) -> None:
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


def test_everything_is_freed(
    trt: Trt, opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Float32
) -> None:
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
        # the build, the engine, and the two forms for batch 1 that were compared
        assert cuda.released == released + (2 if compat.strongly_typed(trt) else 4)


def test_without_cuda_bindings_the_stream_path_is_taken(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch, observations: Float32
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
    trt: Trt,
    opened: Callable[..., TensorRTEngine],
    cuda: Cuda,
    graph: bytes,
    refused: str,
    settings: Callable[..., EngineConfig],
) -> None:
    """The earlier runtime ignored them and handed out whatever lay in the buffer."""
    built = TensorRTExporter(settings()).build(graph)
    before = cuda.released
    trt.refuses.append(refused)
    with pytest.raises(EngineError):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert cuda.depth == 0
    assert cuda.released == before + 1


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
def test_a_static_plan_serves_batch_one_only(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig], observations: Float32
) -> None:
    built = TensorRTExporter(settings()).build(graph)
    trt.refuses.append("static")
    with pytest.raises(EngineError, match=r"obs is float \(1, 8\); it has to be float32 \(-1, 8\)"):
        TensorRTEngine.open(built.blob, built.metadata, "stream")


def test_engine_that_stops_running(
    trt: Trt, opened: Callable[..., TensorRTEngine], cuda: Cuda, observations: Float32
) -> None:
    with opened() as engine:
        engine.poison()
        assert np.isnan(np.asarray(engine._slots[1].output)).all()
        trt.refuses.append("execute_async_v3")
        with pytest.raises(EngineError, match="did not run"):
            engine.infer(observations[:1])
        assert cuda.depth == 0


def test_other_tensors_than_ours(trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph)
    with pytest.raises(EngineError, match=r"it has to be float32 \(-1, 9\)"):
        TensorRTEngine.open(built.blob, {**built.metadata, "obs_dim": 9}, "stream")
