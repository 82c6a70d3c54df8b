"""Reads VecNormalize's statistics."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from gate5.checkpoint import unpickle
from gate5.checkpoint.spaces import usable_key
from gate5.checkpoint.spec import Float64, NormaliserSpec
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

_MOST_NUMBERS = 4_000_000


def read_normaliser(data: bytes, *, trust_pickle: bool) -> NormaliserSpec | None:
    """The statistics of the observations; ``None`` where ``norm_obs`` is off.

    Raises:
        CheckpointError: the pickle is not a VecNormalize, is damaged or unsafe, or its numbers cannot be used.
    """
    found = _trusted(data) if trust_pickle else None
    state = dict(vars(found)) if found is not None else _restricted(data)
    if not _truth(state.get("norm_obs", True)):
        return None
    spec = _spec(state)
    if found is not None and spec is not None:
        _compare_with_itself(found, spec)
    return spec


def _spec(state: dict[str, Any]) -> NormaliserSpec | None:
    statistics = state.get("obs_rms")
    if isinstance(statistics, dict):
        if not 1 <= len(statistics) <= 1000:
            raise CheckpointError("vecnormalize.pkl normalises a dictionary of no or too many keys; save it again.")
        strange = next((key for key in statistics if not usable_key(key)), None)
        if strange is not None:
            raise CheckpointError(
                f"vecnormalize.pkl normalises the key {excerpt(strange, 80)!r}, which is no short text."
            )
        statistics = _normalised_keys(statistics, state.get("norm_obs_keys"))
        if not statistics:
            return None
        parts = tuple((key, _statistics(value, state)) for key, value in statistics.items())
        mean = np.concatenate([part.mean.reshape(-1) for _, part in parts])
        var = np.concatenate([part.var.reshape(-1) for _, part in parts])
        first = parts[0][1]
        return NormaliserSpec(mean, var, first.epsilon, first.clip, first.count, parts)
    return _statistics(statistics, state)


def _normalised_keys(statistics: dict[Any, Any], keys: Any) -> dict[Any, Any]:
    """Those of the keys that ``norm_obs_keys`` names, which may be fewer; old files have no such list and mean all."""
    if keys is None:
        return statistics
    if not isinstance(keys, list | tuple) or not all(isinstance(key, str) and key in statistics for key in keys):
        raise CheckpointError(
            f"vecnormalize.pkl: norm_obs_keys is {excerpt(keys, 80)}, not a list of keys that it has statistics of; "
            "save it again."
        )
    return {key: value for key, value in statistics.items() if key in keys}


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


def _trusted(data: bytes) -> Any:
    try:
        found = pickle.loads(data)  # noqa: S301 - the user asked for it by name
    except Exception as error:  # noqa: BLE001 - unpickling can raise anything
        raise CheckpointError(
            f"vecnormalize.pkl cannot be unpickled ({type(error).__name__}: {excerpt(error, 200)})."
        ) from None
    if not (hasattr(found, "norm_obs") and callable(getattr(found, "normalize_obs", None))):
        raise CheckpointError(f"vecnormalize.pkl holds {type(found).__name__}, not a VecNormalize.")
    return found


def _compare_with_itself(found: Any, spec: NormaliserSpec) -> None:
    """A trusted class may do something else with the same statistics: what it does is compared with what is exported.

    Raises:
        CheckpointError: it does something else, or does not run.
    """
    rng = np.random.default_rng(0)
    parts = dict(spec.parts) or {"": spec}
    size = np.array([0.0, 0.1, 1.0, 1.0, 2.0, 30.0, 1e4])
    rows = {
        key: part.mean + np.sqrt(part.var + part.epsilon) * rng.normal(size=(len(size), *part.mean.shape))
        * size.reshape(-1, *[1] * part.mean.ndim)
        for key, part in parts.items()
    }  # fmt: skip
    name = f"{type(found).__module__}.{type(found).__qualname__}"
    try:
        given = found.normalize_obs(rows if spec.parts else rows[""])
        after = {key: np.asarray(given[key] if spec.parts else given, np.float64) for key in parts}
        same = all(np.allclose(after[key], _formula(part, rows[key]), 1e-5, 1e-6) for key, part in parts.items())
    except Exception as error:  # noqa: BLE001 - it is somebody's class
        raise CheckpointError(
            f"vecnormalize.pkl holds {excerpt(name, 160)}, whose normalize_obs cannot be compared with VecNormalize's "
            f"({type(error).__name__}: {excerpt(error, 200)})."
        ) from None
    if not same:
        raise CheckpointError(
            f"vecnormalize.pkl holds {excerpt(name, 160)}, whose normalize_obs gives something else than "
            "clip((obs - mean) / sqrt(var + epsilon)) of its statistics, which is what would be exported: make it part "
            "of the plant, or train with VecNormalize itself."
        )


def _formula(spec: NormaliserSpec, rows: Float64) -> Float64:
    return np.asarray(np.clip((rows - spec.mean) / np.sqrt(spec.var + spec.epsilon), -spec.clip, spec.clip))


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
