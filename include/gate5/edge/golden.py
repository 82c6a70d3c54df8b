"""Golden inputs: observations and the actions that the released engine gave for them, to be replayed where it runs."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.signature import Signature
from gate5.errors import IntegrityError

GOLDEN = "golden.npz"
#: How far the plant's engine may be from the recorded actions: what Gate 5's own rule allows an FP16 engine.
TOLERANCE = 1e-2
GOLDEN_INPUTS = 64

Float32 = NDArray[np.float32]


def pack_golden(obs: Float32, action: Float32, scale: Float32 | None = None) -> bytes:
    """The bytes of ``golden.npz``: observations ``[N, obs_dim]`` and the engine's actions ``[N, act_dim]``.

    Of a policy with several inputs and outputs these are rows (``gate5.checkpoint.signature``), states included.

    Args:
        scale: by what each column's differences are divided, see ``row_scale``; ``None``: by nothing.

    Their tolerance belongs into the release's provenance, see ``golden_provenance``.
    """
    buffer = io.BytesIO()
    widths = np.ones(np.shape(action)[1:], np.float32) if scale is None else np.asarray(scale, np.float32)
    np.savez_compressed(buffer, obs=np.asarray(obs, np.float32), action=np.asarray(action, np.float32), scale=widths)
    return buffer.getvalue()


def record_golden(engine: Any, every: Float32, signature: Signature | None) -> bytes:
    """What an engine answers to some of the observations, one at a time, as ``golden.npz``.

    Made on the machine that the engine was built for: the one that releases it may have no such device.

    Args:
        engine: open, ``infer(obs)``.
        every: float32 ``[N, obs_dim]``, N >= 1; up to ``GOLDEN_INPUTS`` are taken, evenly spread.
        signature: of the graph; ``None``: one observation in, one action out.
    """
    obs = np.ascontiguousarray(every[:: max(1, len(every) // GOLDEN_INPUTS)][:GOLDEN_INPUTS])
    action = np.concatenate([engine.infer(obs[at : at + 1]) for at in range(len(obs))])
    return pack_golden(obs, action, row_scale(signature, action))


def row_scale(signature: Signature | None, action: Float32) -> Float32:
    """By what the differences of output rows are divided: half the width of the action space, as in Gate 5's own rule.

    Scores and states, which come behind the action, are divided by the largest of them where it is above 1.
    """
    widths = np.ones(action.shape[1], np.float32)
    if signature is not None:
        widths[:] = np.maximum(1.0, np.abs(action).max(axis=0, initial=0.0))
        widths[: signature.acted] = signature.scale
    return widths


def golden_provenance(tolerance: float = TOLERANCE) -> dict[str, Any]:
    """``golden`` of a release's provenance, which is signed."""
    return {"file": GOLDEN, "tolerance": tolerance}


@dataclass(frozen=True)
class Golden:
    """Golden inputs of a release, read and found usable."""

    release: str
    obs: Float32
    action: Float32
    tolerance: float
    scale: Float32 | float = 1.0

    @classmethod
    def read(cls, data: bytes, provenance: Mapping[str, Any], release: str) -> Golden:
        """Read ``golden.npz``.

        Raises:
            IntegrityError: it cannot be read, is empty or not finite, or the provenance has no tolerance.
        """
        what = f"The golden inputs of {release}"
        try:
            tolerance = float(provenance["golden"]["tolerance"])
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                obs, action = arrays["obs"].astype(np.float32), arrays["action"].astype(np.float32)
                scale = arrays["scale"].astype(np.float32) if "scale" in arrays else np.ones(1, np.float32)
        except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise IntegrityError(f"{what} cannot be read: {type(error).__name__} at {error}.") from None
        if obs.ndim != 2 or action.ndim != 2 or len(obs) != len(action) or len(obs) == 0:
            raise IntegrityError(f"{what} prove nothing: obs {obs.shape}, action {action.shape}.")
        if not np.isfinite(action).all() or not 0 <= tolerance < np.inf:
            raise IntegrityError(f"{what} prove nothing: an action or the tolerance ({tolerance}) is not finite.")
        if not (np.isfinite(scale).all() and (scale > 0).all()) or scale.shape not in ((1,), action.shape[1:]):
            raise IntegrityError(f"{what} prove nothing: the widths of the actions are {scale.tolist()[:8]}.")
        return cls(release, obs, action, tolerance, scale)

    def replay(self, engine: Any) -> float:
        """The largest difference between the engine's actions and the golden ones; closes the engine.

        Raises:
            IntegrityError: it is above the tolerance or not finite, or the actions have another shape.
        """
        with contextlib.closing(engine):
            error = self.error(engine)
        if not error <= self.tolerance:  # written so that NaN is not within any tolerance
            raise IntegrityError(
                f"The engine of {self.release} is another function on this machine: golden actions differ by "
                f"{error:.3g}, allowed are {self.tolerance:.3g}."
            )
        return error

    def error(self, engine: Any) -> float:
        """The largest difference, whatever the tolerance; NaN where an action is not finite.

        Raises:
            IntegrityError: the actions have another shape.
        """
        # One at a time, as the plant asks.
        found = np.concatenate([engine.infer(self.obs[at : at + 1]) for at in range(len(self.obs))])
        if found.shape != self.action.shape:
            raise IntegrityError(
                f"The engine of {self.release} gives actions of shape {found.shape}, not {self.action.shape}."
            )
        return float(np.max(np.abs(found.astype(np.float64) - self.action) / self.scale))
