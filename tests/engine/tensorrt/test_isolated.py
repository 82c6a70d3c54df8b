"""The child process that reads a plan first; on an imitation."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from gate5.config.engine import EngineConfig
from gate5.engine.tensorrt import isolated
from gate5.engine.tensorrt.before_10 import plans
from gate5.engine.tensorrt.builder import TensorRTExporter
from tests.support.tensorrt_stand_in import Cuda, Trt


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("damaged", ["no plan", "the first", "the second"])
def test_the_child_reads_every_plan(
    trt: Trt,
    cuda: Cuda,
    graph: bytes,
    settings: Callable[..., EngineConfig],
    damaged: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged plan may end the process that reads it: neither is read first by the process that matters."""
    single, wide = plans.unpack(TensorRTExporter(settings()).build(graph).blob)
    pair = {"no plan": (single, wide), "the first": (b"x", wide), "the second": (single, b"x")}[damaged]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(plans.pack(*pair))))
    assert isolated.main() == (0 if damaged == "no plan" else 3)
    assert cuda.depth == 0
