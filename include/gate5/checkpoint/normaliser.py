"""Reads VecNormalize's statistics."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from gate5.checkpoint import unpickle
from gate5.checkpoint.spec import Float64, NormaliserSpec
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

_MOST_NUMBERS = 4_000_000


def read_normaliser(data: bytes, *, trust_pickle: bool) -> NormaliserSpec | None:
    """The statistics of the observations; ``None`` where ``norm_obs`` is off.

    Raises:
        CheckpointError: the pickle is not a VecNormalize, is damaged or unsafe, or its numbers cannot be used.
    """
    state = _trusted(data) if trust_pickle else _restricted(data)
    if not _truth(state.get("norm_obs", True)):
        return None
    statistics = state.get("obs_rms")
    if isinstance(statistics, dict):
        if not 1 <= len(statistics) <= 1000:
            raise CheckpointError("vecnormalize.pkl normalises a dictionary of no or too many keys; save it again.")
        if not all(isinstance(key, str) and key.isidentifier() and len(key) <= 64 for key in statistics):
            raise CheckpointError("vecnormalize.pkl normalises a key that is no name of letters; save it again.")
        parts = tuple((key, _statistics(value, state)) for key, value in statistics.items())
        mean = np.concatenate([part.mean.reshape(-1) for _, part in parts])
        var = np.concatenate([part.var.reshape(-1) for _, part in parts])
        first = parts[0][1]
        return NormaliserSpec(mean, var, first.epsilon, first.clip, first.count, parts)
    return _statistics(statistics, state)


def _statistics(statistics: Any, state: dict[str, Any]) -> NormaliserSpec:
    values = statistics.attributes if isinstance(statistics, unpickle.Bag) else getattr(statistics, "__dict__", {})
    try:
        mean, var = (_numbers(values[key]) for key in ("mean", "var"))
        count = _number(values["count"], "count")
        epsilon, clip = (_number(state[key], key) for key in ("epsilon", "clip_obs"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"vecnormalize.pkl lacks the observation statistics ({excerpt(error, 200)!r}); save it again."
        ) from None
    spec = NormaliserSpec(mean, var, epsilon, clip, count)
    _check(spec)
    return spec


def _numbers(value: Any) -> Float64:
    """An array's numbers; a list could be as large as it likes once it is an array."""
    value = unpickle.plain(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise TypeError(f"mean or variance is no array of numbers but {excerpt(value, 40)}")
    if value.size > _MOST_NUMBERS:
        raise ValueError(f"mean or variance of {value.size} numbers, more than the {_MOST_NUMBERS} that gate5 reads")
    return value.astype(np.float64)


def _number(value: Any, what: str) -> float:
    value = unpickle.plain(value)
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is no number but {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} is a number that no float holds") from None


def _truth(value: Any) -> bool:
    """A bool or NumPy's bool; ``np.bool_(False)`` arrives as an array that is not yet one.

    Raises:
        CheckpointError: it is neither.
    """
    value = unpickle.plain(value)
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise CheckpointError(f"vecnormalize.pkl: norm_obs is {excerpt(value, 40)}, not true or false; save it again.")


def _restricted(data: bytes) -> dict[str, Any]:
    found = unpickle.read(data, "vecnormalize.pkl", trustable=True)
    if not isinstance(found, unpickle.NormalizeBag):
        kind = found.kind if isinstance(found, unpickle.Bag) else type(found).__name__
        raise CheckpointError(f"vecnormalize.pkl holds {kind}, not a VecNormalize; save it with VecNormalize.save().")
    return found.attributes


def _trusted(data: bytes) -> dict[str, Any]:
    try:
        found = pickle.loads(data)  # noqa: S301 - the user asked for it by name
    except Exception as error:  # noqa: BLE001 - unpickling can raise anything
        raise CheckpointError(
            f"vecnormalize.pkl cannot be unpickled ({type(error).__name__}: {excerpt(error, 200)})."
        ) from None
    if not hasattr(found, "obs_rms") and not hasattr(found, "norm_obs"):
        raise CheckpointError(f"vecnormalize.pkl holds {type(found).__name__}, not a VecNormalize.")
    return dict(vars(found))


def _check(spec: NormaliserSpec) -> None:
    if spec.mean.ndim == 0 or spec.mean.size == 0 or spec.mean.shape != spec.var.shape:
        raise CheckpointError(
            f"vecnormalize.pkl has a mean of shape {spec.mean.shape} and a variance of shape {spec.var.shape}; "
            "both have to have the shape of an observation."
        )
    if not (np.isfinite(spec.mean).all() and np.isfinite(spec.var).all()):
        index = int(np.flatnonzero(~(np.isfinite(spec.mean) & np.isfinite(spec.var)))[0])
        raise CheckpointError(
            f"vecnormalize.pkl: mean or variance of observation {index} is NaN or infinite; "
            "choose an earlier checkpoint."
        )
    if (spec.var < 0).any() or not spec.epsilon >= 0 or (spec.var + spec.epsilon <= 0).any():
        index = int(np.argmin(spec.var))
        raise CheckpointError(
            f"vecnormalize.pkl: the variance of observation {index} is {spec.var.flat[index]:g} with epsilon "
            f"{spec.epsilon:g}, by which nothing can be divided; save it again."
        )
    with np.errstate(over="ignore", under="ignore"):
        mean, std = spec.mean.astype(np.float32), np.sqrt(spec.var + spec.epsilon).astype(np.float32)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        index = int(np.flatnonzero(~(np.isfinite(mean) & np.isfinite(std) & (std > 0)))[0])
        raise CheckpointError(
            f"vecnormalize.pkl: observation {index} has the mean {spec.mean.flat[index]:g} and the variance "
            f"{spec.var.flat[index]:g}, which float32 cannot hold; the file is damaged or the observation diverged."
        )
    if not 0 <= spec.count < np.inf:
        raise CheckpointError(
            f"vecnormalize.pkl: count is {spec.count:g}, which is no number of observations; save it again."
        )
    if not spec.clip > 0:
        raise CheckpointError(f"vecnormalize.pkl: clip_obs is {spec.clip:g}, but it has to be above zero.")
