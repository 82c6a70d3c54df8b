"""What is compiled is kept, and who captures. The device is an imitation; its names are held to the real bindings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate5.engine.tensorrt_rtx.contexts import FILE, Contexts
from gate5.errors import EngineError

TRT = SimpleNamespace(CudaGraphStrategy=SimpleNamespace(DISABLED="disabled", WHOLE_GRAPH_CAPTURE="whole"))


class Cache:
    """A runtime cache that takes only what it wrote itself."""

    def __init__(self) -> None:
        self.content = b"compiled here"

    def deserialize(self, blob: bytes) -> bool:
        return blob == self.content

    def serialize(self) -> bytes:
        return self.content


class Engine:
    """Contexts remember the strategy that they were made with."""

    num_optimization_profiles = 2

    def __init__(self, capturable: bool, takes: bool = True) -> None:
        self.capturable, self.takes, self.made = capturable, takes, list[str]()

    def create_runtime_config(self) -> Any:
        settings = SimpleNamespace(create_runtime_cache=Cache, set_runtime_cache=lambda cache: self.takes)
        settings.cuda_graph_strategy = None
        return settings

    def create_execution_context(self, settings: Any) -> Any:
        self.made.append(settings.cuda_graph_strategy)
        return SimpleNamespace(
            strategy=settings.cuda_graph_strategy, is_stream_capturable=lambda stream: self.capturable
        )


def test_the_real_bindings_have_what_is_used_here() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]'")
    assert {"DISABLED", "WHOLE_GRAPH_CAPTURE"} <= set(dir(trt.CudaGraphStrategy))
    assert {"create_runtime_cache", "set_runtime_cache", "cuda_graph_strategy"} <= set(dir(trt.IRuntimeConfig))
    assert {"serialize", "deserialize"} <= set(dir(trt.IRuntimeCache))
    assert {"create_runtime_config", "create_execution_context"} <= set(dir(trt.ICudaEngine))
    assert "is_stream_capturable" in dir(trt.IExecutionContext)


@pytest.mark.parametrize(("capturable", "made"), [(True, ["disabled"]), (False, ["disabled", "whole"])])
def test_it_captures_itself_only_where_we_cannot(capturable: bool, made: list[str]) -> None:
    engine = Engine(capturable)
    contexts = Contexts(TRT, engine, 7, None)
    assert contexts.create_execution_context().strategy == made[-1]
    assert engine.made == made
    assert contexts.num_optimization_profiles == 2, "all else is the engine's own"


def test_what_was_compiled_is_there_at_the_next_start(tmp_path: Path) -> None:
    first = Contexts(TRT, Engine(True), 7, tmp_path / FILE)
    assert not first.known
    first.keep()
    assert (tmp_path / FILE).read_bytes() == b"compiled here"
    assert Contexts(TRT, Engine(True), 7, tmp_path / FILE).known


def test_a_damaged_cache_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"of another device")
    contexts = Contexts(TRT, Engine(True), 7, tmp_path / FILE)
    assert not contexts.known
    contexts.keep()
    assert Contexts(TRT, Engine(True), 7, tmp_path / FILE).known


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    contexts = Contexts(TRT, Engine(True), 7, tmp_path / "gone" / FILE)
    contexts.keep()
    assert not contexts.known


def test_a_cache_that_is_refused_is_said() -> None:
    with pytest.raises(EngineError, match="runtime cache"):
        Contexts(TRT, Engine(True, takes=False), 7, None)
