"""One batch size of a TensorRT engine: execution context, buffers and the way an inference is carried out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gate5.engine.base import Float32
from gate5.engine.tensorrt import arrival
from gate5.engine.tensorrt.before_10 import frames
from gate5.engine.tensorrt.gpu import Gpu
from gate5.engine.tensorrt.graph import CudaGraph, driver_module
from gate5.errors import EngineError

PATHS = ("graph", "stream", "copies")


class Slot:
    """Buffers for exactly ``batch`` observations.

    ``graph``: page-locked buffers that the GPU reads and writes in place, one CUDA graph launch per inference; a small
    output is watched until it is written, for a large one we wait for the stream.
    ``stream``: the same buffers, enqueued anew each time. ``copies``: buffers on the GPU and copies to and from them;
    it exists to be compared with.

    Attributes:
        input, output: page-locked arrays, float32 ``[batch, obs_dim]`` and ``[batch, act_dim]``.
        run: carries out one inference from ``input`` to ``output``; the GPU's context has to be current.
        path: which of ``PATHS`` it came to.
        needs_context: whether ``run`` works only while the GPU's context is current. A driver that takes it from the
            stream spares a captured graph the push and the pop, a tenth of an inference.
    """

    needs_context = True

    run: Callable[[], None]

    def __init__(
        self, gpu: Gpu, engine: Any, stream: Any, batch: int, path: str, profile_index: int, errors: list[str]
    ) -> None:
        self._gpu, self._stream, self._errors = gpu, stream, errors
        self._graph: CudaGraph | None = None
        self._arrival: arrival.Arrival | None = None
        self._device: list[Any] = []
        cuda = gpu.cuda
        shapes = [(batch, int(engine.get_tensor_shape(name)[1])) for name in ("obs", "action")]
        flags = 0 if path == "copies" else cuda.host_alloc_flags.DEVICEMAP
        self.input, self.output = (cuda.pagelocked_zeros(shape, np.float32, mem_flags=flags) for shape in shapes)
        self.path = path
        try:
            self._prepare(engine, profile_index, shapes[0])
        except BaseException:
            with contextlib.suppress(EngineError, cuda.Error):  # what went wrong first is what has to be told
                self._free()
            raise

    def _prepare(self, engine: Any, profile_index: int, shape: tuple[int, int]) -> None:
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot make an execution context ({self._reason()}): is its memory full?")
        self._context = context
        if self.path == "copies":
            self._device = [self._gpu.cuda.mem_alloc(array.nbytes) for array in (self.input, self.output)]
            addresses = [int(memory) for memory in self._device]
        else:
            addresses = [int(array.base.get_device_pointer()) for array in (self.input, self.output)]
        self._bind(context, profile_index, shape, addresses)
        # The first enqueue of a shape does things that a capture does not allow, and shows at once whether it runs.
        self._enqueue()
        self._stream.synchronize()
        self.run = self._run_copies if self.path == "copies" else self._run_stream
        if self.path == "graph":
            self._capture()

    def _bind(self, context: Any, profile_index: int, shape: tuple[int, int], addresses: list[int]) -> None:
        if not context.set_optimization_profile_async(profile_index, self._stream.handle):
            raise EngineError(f"TensorRT refuses optimisation profile {profile_index}: {self._reason()}")
        if not context.set_input_shape("obs", shape):
            raise EngineError(f"TensorRT refuses the input shape {shape}: {self._reason()}")
        for name, address in zip(("obs", "action"), addresses, strict=True):
            if not context.set_tensor_address(name, address):
                raise EngineError(f"TensorRT refuses the address of {name}: {self._reason()}")

    def _capture(self) -> None:
        driver = driver_module()
        if driver is None:
            self.path = "stream"
            return
        try:
            self._graph = CudaGraph(driver, self._stream.handle, self._enqueue)
        except EngineError as error:
            self._errors.append(f"warning: {error}")
            self.path = "stream"
            return
        self.run = self._graph.run
        self.needs_context = not self._runs_without_context(self._graph)
        if self.output.size <= arrival.LARGEST:
            self._arrival = arrival.Arrival(self.output)
            self.run = self._graph.watched(self._arrival)

    def _runs_without_context(self, graph: CudaGraph) -> bool:
        self._gpu.pop()
        try:
            graph.run()
        except EngineError:
            return False
        finally:
            self._gpu.push()
        return True

    def _enqueue(self) -> None:
        if self._device:
            self._gpu.cuda.memcpy_htod_async(self._device[0], self.input, self._stream)
        context = self._context
        if not context.execute_async_v3(self._stream.handle):
            raise EngineError(f"TensorRT did not run the engine: {self._reason()}")
        if self._device:
            self._gpu.cuda.memcpy_dtoh_async(self.output, self._device[1], self._stream)

    def _run_stream(self) -> None:
        self._enqueue()
        self._stream.synchronize()

    _run_copies = _run_stream

    def launch(self) -> None:
        """Enqueue one inference without waiting for it; the GPU's context has to be current."""
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()

    def split(self, obs: Float32) -> dict[str, float]:
        """One inference in its parts, milliseconds: copies by the host's clock, compute by CUDA events on the GPU."""
        cuda, clock = self._gpu.cuda, time.perf_counter_ns
        first, last = cuda.Event(), cuda.Event()
        begin = clock()
        self.input[...] = obs
        copied = clock()
        first.record(self._stream)
        self.launch()
        last.record(self._stream)
        self._stream.synchronize()
        computed = clock()
        self.output.copy()
        end = clock()
        return {
            "copy_in_ms": (copied - begin) / 1e6,
            "compute_ms": float(last.time_since(first)),
            "launch_and_wait_ms": (computed - copied) / 1e6,
            "copy_out_ms": (end - computed) / 1e6,
        }

    def close(self) -> None:
        """Free graph, context and buffers; the GPU's context has to be current."""
        self._stream.synchronize()
        self._free()

    def _free(self) -> None:
        self.run = _closed
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        self.__dict__.pop("_context", None)
        for memory in self._device:
            memory.free()
        self._device = []
        if self._arrival is not None:
            self._arrival.close()
            self._arrival = None
        buffers = (self.input.base, self.output.base)
        self.input = self.output = np.zeros((0, 0), np.float32)  # nothing may touch the freed memory
        for buffer in buffers:
            buffer.free()
        frames.clear_finished()  # before another context asks for this one's profile

    def _reason(self) -> str:
        return " / ".join(message for message in self._errors[-3:]) or "it gives no reason"


def _closed() -> None:
    raise EngineError("The engine is closed; load it again.")
