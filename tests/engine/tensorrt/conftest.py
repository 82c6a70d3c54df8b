"""The imitations of TensorRT and PyCUDA (tests/support/tensorrt_stand_in.py) in place of the real modules."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.engine.tensorrt import isolated, runtime
from gate5.engine.tensorrt.builder import TensorRTExporter
from gate5.engine.tensorrt.chained import chained_ms
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.plant.base import Float32
from tests.support.tensorrt_stand_in import WEIGHT, Cuda, Trt


@pytest.fixture(scope="session", autouse=True)
def frozen() -> None:
    """An engine's end looks through all objects, which are many more in a process of tests than in one of gate5's."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=made))
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)
    monkeypatch.setattr(isolated, "deserialise", lambda blob, digest: None)
    monkeypatch.setattr(runtime, "chained_ms", partial(chained_ms, count=20))  # a time of no GPU needs no more
    return made


@pytest.fixture(params=["8.5", "11"])
def trt(request: pytest.FixtureRequest, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> Trt:
    made = Trt(cuda, request.param == "11")
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    return made


@pytest.fixture
def weight() -> Float32:
    """The imitation engine computes ``clip(obs @ weight, -1, 1)``."""
    return WEIGHT


@pytest.fixture
def settings() -> Callable[..., EngineConfig]:
    """A configuration for TensorRT with at most 16 observations in a batch."""

    def make(**changes: Any) -> EngineConfig:
        return EngineConfig(backend="tensorrt", profile=ProfileConfig(max_batch=16), **{"builds": 1, **changes})

    return make


@pytest.fixture
def opened(trt: Trt, settings: Callable[..., EngineConfig], graph: bytes) -> Callable[..., TensorRTEngine]:
    def make(path: str = "stream") -> TensorRTEngine:
        built = TensorRTExporter(settings()).build(graph)
        return TensorRTEngine.open(built.blob, built.metadata, path)

    return make
