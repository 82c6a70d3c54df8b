"""What an engine is, whatever runs it."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.signature import StatefulRows
from gate5.errors import EngineError

Float32 = NDArray[np.float32]

_FLOAT32 = np.dtype(np.float32)  # to compare with the type itself takes three times as long
_thread = threading.get_ident


@dataclass(frozen=True)
class EngineInfo:
    """What runs the policy.

    Attributes:
        backend: ``tensorrt`` or ``onnxruntime``.
        precision: of the network's body as it was really built: ``fp32``, ``fp16``, ``bf16``.
        device: the GPU's or CPU's name.
        obs_dim, act_dim, batch_max: sizes; a batch above ``batch_max`` is refused.
        versions: of the libraries that built and run it.
        hardware: what the engine is tied to (GPU, compute capability, driver); empty for ONNX Runtime.
        path: how an inference is carried out (``cuda graph, mapped memory``, ``stream``, ``io binding``).
    """

    backend: str
    precision: str
    device: str
    obs_dim: int
    act_dim: int
    batch_max: int
    versions: dict[str, str]
    hardware: dict[str, Any] = field(default_factory=dict)
    path: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class BuiltEngine:
    """What ``build`` gives.

    Attributes:
        blob: the engine; for ONNX Runtime the ONNX graph that it runs.
        metadata: plain JSON types: what it is, of what it was made, and what it is tied to.
        timing_cache: TensorRT's timing cache after the build, for the next build on the same GPU and version.
    """

    blob: bytes
    metadata: dict[str, Any]
    timing_cache: bytes | None = None


class Engine(Protocol):
    """Runs the policy. Belongs to the thread that made it; close it, or use it in a ``with``."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def batch_max(self) -> int: ...

    def infer(self, obs: Float32, out: Float32 | None = None) -> Float32:
        """Actions float32 ``[B, act_dim]`` for raw observations float32 ``[B, obs_dim]``, 1 <= B <= ``batch_max``.

        Args:
            obs: raw observations, physical units.
            out: where to write the actions; ``None``: a new array. Either way the caller owns the result.

        Raises:
            EngineError: wrong shape or type, another thread, a closed engine, or the library failed.
        """
        ...

    def poison(self) -> None:
        """Fill every output buffer with NaN, so that a run that writes nothing cannot look plausible."""
        ...

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ConfinedEngine:
    """What all engines share: the thread check, the shape check and the context manager.

    Attributes:
        stands_in: whether this is the exported graph in the place of an engine that cannot run here.
    """

    stands_in = False

    def __init__(self, info: EngineInfo) -> None:
        self._info = info
        self._owner = _thread()
        self._single, self._single_out = (1, info.obs_dim), (1, info.act_dim)
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def batch_max(self) -> int:
        return self._info.batch_max

    def _check(self, obs: Float32, out: Float32 | None) -> None:
        """Raise what is wrong with a call; the usual one, of one observation, costs a few comparisons."""
        if (
            obs.shape == self._single
            and obs.dtype is _FLOAT32
            and (out is None or (out.shape == self._single_out and out.dtype is _FLOAT32))
            and _thread() == self._owner
            and not self._closed
        ):
            return
        self._check_all(obs, out)

    def _check_all(self, obs: Float32, out: Float32 | None) -> None:
        if self._closed:
            raise EngineError("The engine is closed; load it again.")
        if _thread() != self._owner:
            raise EngineError("An engine belongs to the thread that made it; load one engine in each thread.")
        width = self._info.obs_dim
        if obs.ndim != 2 or obs.shape[1] != width or not 1 <= obs.shape[0] <= self.batch_max:
            raise EngineError(
                f"Observations of shape {obs.shape} do not fit the engine; "
                f"it takes [B, {width}] with B from 1 to {self.batch_max}."
            )
        if obs.dtype != _FLOAT32:
            raise EngineError(f"Observations of type {obs.dtype} do not fit the engine; give float32.")
        if out is not None and (out.shape != (obs.shape[0], self._info.act_dim) or out.dtype != _FLOAT32):
            raise EngineError(
                f"`out` is {out.dtype} {out.shape}; it has to be float32 {(obs.shape[0], self._info.act_dim)}."
            )

    def close(self) -> None:
        self._closed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EngineController:
    """Lets an engine drive a plant: ``predict`` on any number of episodes, in chunks of the engine's largest batch.

    Args:
        engine: from ``gate5.engine.load``, which says what its rows are: a policy with a state gets it back each time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        signature = getattr(engine, "signature", None)
        self.rows = None if signature is None or signature.plain else StatefulRows(signature)
        self._given: Float32 | None = None
        self._nobodys: Float32 = np.zeros((1, engine.info.act_dim), np.float32)

    def reset(self, batch: int) -> None:
        """Episodes start: a state is zero again."""
        if self.rows is not None:
            self.rows.reset()

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for observations float32 ``[B, obs_dim]``."""
        obs = np.ascontiguousarray(obs, dtype=np.float32)
        if self.rows is None:
            return self._run(obs), None
        return self.rows.actions(self._run(self.rows.inputs(obs))), None

    def again(self) -> None:
        """Run the last single row once more and drop what comes out: nothing moves, and a GPU does not cool down.

        The row is what the engine was given, a policy's state in it; the state that comes out is not kept.
        """
        if self._given is not None:
            self.engine.infer(self._given, self._nobodys)

    def _run(self, rows: Float32) -> Float32:
        size = self.engine.batch_max
        if len(rows) == 1:
            self._given = rows
        if len(rows) <= size:
            return self.engine.infer(rows)
        return np.concatenate([self.engine.infer(rows[start : start + size]) for start in range(0, len(rows), size)])
