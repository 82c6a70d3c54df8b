"""Timing on a GPU machine: the floor below which no launch can go, and the GPU's own time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gate5.engine.base import Engine, Float32
from gate5.engine.tensorrt.graph import CudaGraph, driver_module


class EmptyGraph:
    """A CUDA graph of one 4-byte memset: what launching and waiting costs on this machine, whatever is computed."""

    def __init__(self) -> None:
        from gate5.engine.tensorrt.gpu import Gpu

        self.gpu = Gpu()
        with self.gpu:
            cuda = self.gpu.cuda
            self.memory, self.stream = cuda.mem_alloc(4), cuda.Stream()
            driver = driver_module()
            self.graph = CudaGraph(
                driver,
                self.stream.handle,
                lambda: cuda.memset_d32_async(int(self.memory), 0, 1, self.stream),
            )

    def run(self) -> None:
        self.gpu.push()
        self.graph.run()
        self.gpu.pop()

    def close(self) -> None:
        with self.gpu:
            self.graph.close()
            self.memory.free()
            del self.stream
        self.gpu.release()


def repeat(engine: Engine, obs: Float32) -> Callable[[], Any]:
    """One inference on the same observations, into an array made beforehand."""
    out = np.zeros((len(obs), engine.info.act_dim), np.float32)
    return lambda: engine.infer(obs, out)
