"""``TensorRTEngine``: runs a built engine, host to host, as fast as the hardware allows at batch 1."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from gate5.engine.base import ConfinedEngine, EngineInfo, Float32
from gate5.engine.tensorrt import compat, isolated
from gate5.engine.tensorrt import gpu as gpu_module
from gate5.engine.tensorrt.before_10 import frames, plans
from gate5.engine.tensorrt.chained import chained_ms
from gate5.engine.tensorrt.gpu import Gpu
from gate5.engine.tensorrt.slot import Slot
from gate5.errors import EngineError

_WIDE_SLOTS = 7
_TIED = ("gpu", "compute_capability", "driver")


class TensorRTEngine(ConfinedEngine):
    """One engine (of one plan or two, see ``plans``), one stream, a ``Slot`` for batch 1 and one per larger batch size.

    Of the latter at most seven are kept (before TensorRT 10 one: a profile belongs to one context); the oldest goes.
    """

    BACKEND = "tensorrt"

    @classmethod
    def open(cls, blob: bytes, metadata: dict[str, Any], path: str = "graph") -> TensorRTEngine:
        """Check the hardware, let a child process deserialise the plan, then do it here.

        Args:
            blob, metadata: of ``BuiltEngine``.
            path: ``graph``, ``stream`` or ``copies``, see ``Slot``.

        Raises:
            EngineError: another GPU, driver or TensorRT version than the engine was built for; a damaged plan; the
                library failed.
        """
        try:
            import tensorrt as trt
        except ImportError as error:
            raise EngineError(f"The engine needs TensorRT, which is not there ({error}).") from None
        gpu = Gpu()
        try:
            check_hardware(metadata, gpu.identity(), str(trt.__version__))
            isolated.deserialise(blob, str(metadata["blob_sha256"]))
            with gpu:
                return cls(trt, gpu, blob, metadata, path)
        except BaseException:
            gpu.release()
            raise

    def __init__(self, trt: Any, gpu: Gpu, blob: bytes, metadata: dict[str, Any], path: str) -> None:
        self._messages: list[str] = []
        self._gpu, self._path = gpu, path
        self._slots: dict[int, Slot] = {}
        self._logger = compat.logger(trt, self._messages)
        self._wide_limit = _WIDE_SLOTS if compat.profile_is_shared(trt) else 1
        hardware = gpu.identity()
        super().__init__(
            EngineInfo(
                backend=self.BACKEND,
                precision=str(metadata["precision"]),
                device=hardware["gpu"],
                obs_dim=int(metadata["obs_dim"]),
                act_dim=int(metadata["act_dim"]),
                batch_max=int(metadata["batch_max"]),
                versions={self.BACKEND: str(trt.__version__)},
                hardware=hardware,
                path=path,
            )
        )
        try:
            self._open(trt, blob)
        except BaseException:
            self._free()
            raise
        self._info = EngineInfo(**{**self._info.to_dict(), "path": self._first.path})

    def _open(self, trt: Any, blob: bytes) -> None:
        single, wide = plans.unpack(blob)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._deserialise(trt, single, largest=1 if wide else self._info.batch_max)
        self._wide_engine = self._deserialise(trt, wide, largest=self._info.batch_max) if wide else self._engine
        self._stream = self._gpu.cuda.Stream()
        self._first = self._make(1)

    def _deserialise(self, trt: Any, plan: bytes, largest: int) -> Any:
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"TensorRT does not read the engine: {' / '.join(self._messages[-3:])}")
        _check_tensors(trt, engine, {"obs": self._info.obs_dim, "action": self._info.act_dim}, largest)
        return engine

    def infer(self, obs: Float32, out: Float32 | None = None) -> Float32:
        """See ``Engine.infer``."""
        self._check(obs, out)
        slot = self._first
        if obs.shape[0] != 1 or slot.needs_context:
            slot = self._infer_in_context(obs)
        else:
            slot.input[...] = obs
            slot.run()
        if out is None:
            result: Float32 = slot.output.copy()
            return result
        out[...] = slot.output
        return out

    def _infer_in_context(self, obs: Float32) -> Slot:
        gpu = self._gpu
        gpu.push()
        try:
            slot = self._first if obs.shape[0] == 1 else self._slot(obs.shape[0])
            slot.input[...] = obs
            slot.run()
        except gpu.cuda.Error as error:
            raise EngineError(f"The GPU failed during an inference: {error}") from error
        finally:
            gpu.pop()
        return slot

    def split(self, obs: Float32) -> dict[str, float]:
        """One inference at batch 1 in its parts, milliseconds."""
        self._check(obs, None)
        with self._gpu:
            return self._first.split(obs)

    def gpu_ms(self, batch: int = 1) -> float:
        """Milliseconds of the GPU per inference, whatever the observations hold, see ``chained_ms``.

        Args:
            batch: observations in an inference, up to ``info.batch_max``.

        Raises:
            EngineError: the GPU failed.
        """
        with self._gpu as gpu:
            try:
                return chained_ms(self._slot(batch).launch, gpu.cuda, self._stream)
            except gpu.cuda.Error as error:
                raise EngineError(f"The GPU failed while the engine was timed: {error}") from error

    def device_state(self) -> dict[str, Any]:
        """Clocks, temperature, power; never call it while timing."""
        return gpu_module.state()

    def poison(self) -> None:
        """See ``Engine.poison``; the GPU writes into these very buffers."""
        for slot in self._slots.values():
            slot.output.fill(np.nan)

    def close(self) -> None:
        """Free graphs, contexts, buffers, the engine and the hold on the GPU's context."""
        if self._closed:
            return
        super().close()
        with self._gpu:
            self._free()
        self._gpu.release()

    def __enter__(self) -> TensorRTEngine:
        return self

    def _free(self) -> None:
        for slot in self._slots.values():
            with contextlib.suppress(self._gpu.cuda.Error):
                slot.close()
        self._slots = {}
        for name in ("_first", "_stream", "_engine", "_wide_engine", "_runtime"):
            self.__dict__.pop(name, None)
        frames.clear_finished()

    def _slot(self, batch: int) -> Slot:
        slot = self._slots.pop(batch, None)
        if slot is not None:
            self._slots[batch] = slot  # youngest last
            return slot
        if len(self._slots) > self._wide_limit:
            oldest = next(size for size in self._slots if size != 1)
            self._slots.pop(oldest).close()
        return self._make(batch)

    def _make(self, batch: int) -> Slot:
        engine = self._engine if batch == 1 else self._wide_engine
        profile = 0 if batch == 1 else int(engine.num_optimization_profiles) - 1
        try:
            slot = Slot(self._gpu, engine, self._stream, batch, self._path, profile, self._messages)
        except self._gpu.cuda.Error as error:
            raise EngineError(f"The GPU has no room for batch {batch} ({error}).") from error
        self._slots[batch] = slot
        return slot


def check_hardware(metadata: dict[str, Any], here: dict[str, Any], version: str) -> None:
    """Refuse an engine that was built for something else, before a byte of it is read.

    Raises:
        EngineError: names both sides.
    """
    built = metadata.get("hardware", {})
    pairs = [(name, built.get(name), here.get(name)) for name in _TIED]
    pairs.append(("TensorRT", metadata.get("versions", {}).get("tensorrt"), version))
    different = [f"{name.replace('_', ' ')} {was}, here {now}" for name, was, now in pairs if was != now]
    if different:
        raise EngineError(f"The engine was built for {'; '.join(different)}: build it again on this machine.")


def _check_tensors(trt: Any, engine: Any, sizes: dict[str, int], largest: int) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    modes = {name: engine.get_tensor_mode(name) for name in names}
    expected = {"obs": trt.TensorIOMode.INPUT, "action": trt.TensorIOMode.OUTPUT}
    if modes != expected:
        raise EngineError(f"The engine has the tensors {names}; it needs the input `obs` and the output `action`.")
    for name, size in sizes.items():
        shape, dtype = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
        # A plan for batch 1 alone has that size. Where it is the first profile's only, TensorRT 8.5 tells it all the
        # same for the output.
        batches = (-1, 1) if name == "action" or largest == 1 else (-1,)
        if shape[1:] != (size,) or shape[0] not in batches or dtype != trt.DataType.FLOAT:
            raise EngineError(f"The engine's {name} is {dtype} {shape}; it has to be float32 (-1, {size}).")
