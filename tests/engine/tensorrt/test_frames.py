"""That nothing of an engine or a build lives on in frames that TensorRT 8.5's bindings keep; on imitations."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from gate5.config.engine import EngineConfig
from gate5.engine.tensorrt.before_10 import frames
from gate5.engine.tensorrt.builder import TensorRTExporter
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import EngineError
from gate5.plant.base import Float32
from tests.support.tensorrt_stand_in import Cuda, Trt


@pytest.fixture
def kept(trt: Trt, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Frames that asked for a plan to be read, kept as the bindings of 8.5 keep them when they log."""
    read, frames_kept = trt._deserialise, list[Any]()

    def logs(blob: bytes) -> Any:
        frames_kept.append(sys._getframe(1))
        return read(blob)

    monkeypatch.setattr(trt, "_deserialise", logs)
    return frames_kept


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("wrong", ["not read", "another width"])
def test_a_second_plan_that_fails_takes_the_first_with_it(
    trt: Trt, cuda: Cuda, graph: bytes, settings: Callable[..., EngineConfig], wrong: str, kept: list[Any]
) -> None:
    """Its memory on the GPU is free again, though the frame that asked for the second lives on."""
    built = TensorRTExporter(settings()).build(graph)
    if wrong == "not read":
        trt.refuses.append("deserialise wide")
    else:
        trt.offset = 1
    trt.opened.clear()
    kept.clear()
    with pytest.raises(EngineError, match=r"does not read|has to be float32 \(-1, 8\)"):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert len(kept) == 2
    assert [engine() for engine in trt.opened] == [None] * len(trt.opened)
    assert cuda.depth == 0


@pytest.mark.parametrize("refused", [None, "other profiles"])
def test_a_build_lets_go_of_what_it_looked_at(
    trt: Trt, graph: bytes, settings: Callable[..., EngineConfig], refused: str | None, kept: list[Any]
) -> None:
    """The plan that was opened to be described, though the frame that did it lives on."""
    if refused is None:
        TensorRTExporter(settings()).build(graph)
    else:
        trt.refuses.append(refused)
        with pytest.raises(EngineError):
            TensorRTExporter(settings()).build(graph)
    assert kept
    assert [engine() for engine in trt.opened] == [None] * len(trt.opened)


def test_both_engines_are_let_go(trt: Trt, opened: Callable[..., TensorRTEngine], observations: Float32) -> None:
    engine = opened()
    engine.infer(observations[:4])
    engine.close()
    assert trt.opened
    assert [one() for one in trt.opened] == [None] * len(trt.opened)


def test_frames_that_the_bindings_keep_keep_nothing(
    trt: Trt, opened: Callable[..., TensorRTEngine], observations: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT 8.5's bindings keep the calling frame for ever when they log; its variables held engine and context.

    Seen on a GPU: 320 KB of device memory a closed engine, and a profile that the next context could not have.
    """
    kept: list[Any] = []
    contexts: list[Any] = []
    create = trt.engine.create_execution_context

    def logs(profiles: Any) -> Any:
        kept.append(sys._getframe(1))
        context = create(profiles)
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
    going = FunctionType(code, globals())()
    assert next(going) == 1
    frames.clear_finished()
    assert next(going) == 2
