"""Reads VecNormalize's statistics."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from gate5.checkpoint import unpickle
from gate5.checkpoint.spec import NormaliserSpec
from gate5.errors import CheckpointError


def read_normaliser(data: bytes, *, trust_pickle: bool) -> NormaliserSpec | None:
    """The statistics of the observations; ``None`` where ``norm_obs`` is off.

    Raises:
        CheckpointError: the pickle is not a VecNormalize, is damaged or unsafe, or its numbers cannot be used.
    """
    state = _trusted(data) if trust_pickle else _restricted(data)
    if not state.get("norm_obs", True):
        return None
    statistics = state.get("obs_rms")
    if isinstance(statistics, dict):
        raise CheckpointError(
            f"vecnormalize.pkl normalises a dictionary of observations ({', '.join(map(str, statistics))}); "
            "gate5 takes policies on one flat vector: use gymnasium.wrappers.FlattenObservation and retrain."
        )
    values = statistics.attributes if isinstance(statistics, unpickle.Bag) else vars(statistics) if statistics else {}
    try:
        mean, var = (np.asarray(unpickle.plain(values[key]), dtype=np.float64) for key in ("mean", "var"))
        count = float(unpickle.plain(values["count"]))
        epsilon, clip = (float(unpickle.plain(state[key])) for key in ("epsilon", "clip_obs"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"vecnormalize.pkl lacks the observation statistics ({error!r}); save it again."
        ) from None
    spec = NormaliserSpec(mean, var, epsilon, clip, count)
    _check(spec)
    return spec


def _restricted(data: bytes) -> dict[str, Any]:
    found = unpickle.read(data, "vecnormalize.pkl")
    if not isinstance(found, unpickle.NormalizeBag):
        kind = found.kind if isinstance(found, unpickle.Bag) else type(found).__name__
        raise CheckpointError(f"vecnormalize.pkl holds {kind}, not a VecNormalize; save it with VecNormalize.save().")
    return found.attributes


def _trusted(data: bytes) -> dict[str, Any]:
    try:
        found = pickle.loads(data)  # noqa: S301 - the user asked for it by name
    except Exception as error:  # noqa: BLE001 - unpickling can raise anything
        raise CheckpointError(f"vecnormalize.pkl cannot be unpickled ({type(error).__name__}: {error}).") from None
    if not hasattr(found, "obs_rms") and not hasattr(found, "norm_obs"):
        raise CheckpointError(f"vecnormalize.pkl holds {type(found).__name__}, not a VecNormalize.")
    return dict(vars(found))


def _check(spec: NormaliserSpec) -> None:
    if spec.mean.ndim != 1 or spec.mean.shape != spec.var.shape:
        raise CheckpointError(
            f"vecnormalize.pkl has a mean of shape {spec.mean.shape} and a variance of shape {spec.var.shape}; "
            "gate5 takes observations that are one flat vector."
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
            f"vecnormalize.pkl: the variance of observation {index} is {spec.var[index]:g} with epsilon "
            f"{spec.epsilon:g}, by which nothing can be divided; save it again."
        )
    with np.errstate(over="ignore", under="ignore"):
        mean, std = spec.mean.astype(np.float32), np.sqrt(spec.var + spec.epsilon).astype(np.float32)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        index = int(np.flatnonzero(~(np.isfinite(mean) & np.isfinite(std) & (std > 0)))[0])
        raise CheckpointError(
            f"vecnormalize.pkl: observation {index} has the mean {spec.mean[index]:g} and the variance "
            f"{spec.var[index]:g}, which float32 cannot hold; the file is damaged or the observation diverged."
        )
    if not spec.clip > 0:
        raise CheckpointError(f"vecnormalize.pkl: clip_obs is {spec.clip:g}, but it has to be above zero.")
