"""Stable-Baselines3's own policy class, built anew around an archive's tensors: the reference semantics itself."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.checkpoint import classes, unpickle
from gate5.checkpoint.archive import Archive
from gate5.checkpoint.cost import affordable
from gate5.checkpoint.reference import Rows, join_rows, split_rows
from gate5.checkpoint.signature import Signature
from gate5.checkpoint.spaces import Space
from gate5.checkpoint.spec import Float32, NormaliserSpec, PolicySpec
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

if TYPE_CHECKING:
    import torch

#: Tensors that play no part in the action, so that an archive without them is whole enough.
_NEEDLESS = ("value_net.", "mlp_extractor.value_net.", "log_std", "vf_features_extractor.", "critic", "lstm_critic.",
             "q_net_target.", "quantile_net_target.", "actor_target.", "actor.log_std")  # fmt: skip


@dataclass(frozen=True)
class Source:
    """What the archive says of its policy: the class's full name, its settings, and whether gSDE is on."""

    name: str
    kwargs: dict[str, Any]
    use_sde: bool

    @classmethod
    def of(cls, archive: Archive, uri: str) -> Source:
        """Of an archive that ``understand`` has understood."""
        kwargs = classes.policy_kwargs(archive.data, uri)
        return cls(classes.policy_class(archive.data, uri)[0], kwargs, bool(archive.data.get("use_sde", False)))


def sb3_policy(policy: PolicySpec, tensors: dict[str, torch.Tensor], source: Source) -> Any:
    """The policy, ``None`` where the installed Stable-Baselines3 has no such class or cannot hold these tensors.

    Raises:
        CheckpointError: the action needs a tensor that is not there, or there is one that it could need.
        ImportError: Stable-Baselines3 (or sb3-contrib) is not installed.
    """
    if any(key.startswith("mlp_extractor.shared_net.") for key in tensors):
        return None  # removed from SB3 in 1.8
    if not affordable(policy, source.kwargs, sum(tensor.numel() for tensor in tensors.values())):
        return None
    module, _, name = source.name.rpartition(".")
    policy_class = getattr(importlib.import_module(module), name)
    assert policy.observation is not None
    assert policy.action is not None
    schedule: tuple[Any, ...] = () if "ars" in module else (lambda _: 0.0,)
    try:
        spaces = (gymnasium_space(policy.observation), gymnasium_space(policy.action))
        network = policy_class(*spaces, *schedule, **_arguments(policy, source))
        left_out = network.load_state_dict(tensors, strict=False)
    except Exception:  # noqa: BLE001 - of settings that contradict the tensors its constructor raises anything
        return None
    _check_whole(left_out, tensors)
    if policy.squash and not policy.bijector:
        network._squash_output = True  # what its constructor refuses today and its predict does
    return network


def _check_whole(left_out: Any, tensors: dict[str, torch.Tensor]) -> None:
    """What ``load_state_dict`` left out plays no part in the action, or lies in the archive under another name."""
    for key in left_out.missing_keys:
        shared = key.removeprefix("pi_")  # one extractor has two names since SB3 1.7
        if not key.startswith(_NEEDLESS) and not (shared != key and shared in tensors):
            raise CheckpointError(
                f"The policy has no tensor {excerpt(key)}, which Stable-Baselines3's own policy of these settings has: "
                "the archive is not complete; save it again."
            )
    for key in left_out.unexpected_keys:
        if not key.startswith(_NEEDLESS):
            raise CheckpointError(
                f"The policy has the tensor {excerpt(key)}, which Stable-Baselines3's own policy of these settings has "
                "not: what it does cannot be known; save the policy as it was trained."
            )


def _arguments(policy: PolicySpec, source: Source) -> dict[str, Any]:
    skipped = ("optimizer_class", "optimizer_kwargs", "lr_schedule", "device", "sde_net_arch")
    arguments = {key: _plain(key, value) for key, value in source.kwargs.items() if key not in skipped}
    if classes.POLICIES[source.name] != "ars":  # which has none
        arguments["optimizer_class"] = _NoOptimizer
    if source.use_sde:
        arguments["use_sde"] = True
    if policy.squash and not policy.bijector:
        arguments["squash_output"] = False
    if policy.clip_mean is not None:
        arguments["clip_mean"] = policy.clip_mean
    return arguments


class _NoOptimizer:
    """Nothing is trained here, and torch's own optimisers import its compiler, which takes a second and more."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def _plain(key: str, value: Any) -> Any:
    """A class by its name, only of those that ``gate5.checkpoint.classes`` admits; anything else as it is."""
    name = unpickle.named(value)
    if isinstance(value, unpickle.Unknown):
        raise TypeError(f"{key} is of a class that is not known")  # whose truth would be that of an empty table
    if name is None:
        return value
    module, _, attribute = name.rpartition(".")
    if key not in ("activation_fn", "features_extractor_class"):
        raise TypeError(key)
    return getattr(importlib.import_module(module), attribute)  # `understand` refused every other class


def gymnasium_space(space: Space) -> Any:
    """The same space as Gymnasium's own object."""
    from gymnasium import spaces

    if space.kind == "Dict":
        return spaces.Dict([(key, gymnasium_space(part)) for key, part in space.parts])
    if space.kind == "Discrete":
        return spaces.Discrete(space.choices[0])
    if space.kind == "MultiDiscrete":
        return spaces.MultiDiscrete(list(space.choices))
    if space.kind == "MultiBinary":
        return spaces.MultiBinary(space.shape if len(space.shape) > 1 else space.size)
    dtype = np.dtype(space.dtype)
    with np.errstate(over="ignore"):
        low, high = (side.reshape(space.shape).astype(dtype) for side in (space.low, space.high))
    return spaces.Box(low, high, space.shape, dtype.type)


def sb3_reference(
    network: Any, policy: PolicySpec, normaliser: NormaliserSpec | None, rows: Rows, signature: Signature
) -> Float32:
    """Output rows of ``predict(normalize_obs(obs), deterministic=True)`` of ``sb3_policy``'s policy."""
    assert policy.observation is not None
    given = split_rows(policy, normaliser, signature, rows)
    observations: Any = {
        key: _typed(given.observations[key], space, normaliser, key) for key, space in policy.observation.leaves
    }
    if policy.observation.kind != "Dict":
        observations = observations["obs"]
    extra: dict[str, Any] = {}
    if policy.mask:
        extra["action_masks"] = given.mask > 0.5
    if policy.lstm:
        extra["state"] = tuple(np.stack(given.states[i::2]) for i in (0, 1))
        extra["episode_start"] = np.zeros(len(rows), dtype=bool)
    with _one_warning_less():
        action, state = network.predict(observations, deterministic=True, **extra)
    states: list[Any] = list(given.frames)
    if policy.lstm:
        states += [state[part][layer] for layer in range(len(policy.lstm)) for part in (0, 1)]
    return join_rows(signature, np.asarray(action).reshape(len(rows), policy.act_dim), states)


def _typed(values: Any, space: Space, normaliser: NormaliserSpec | None, key: str) -> Any:
    """As the environment gives it: whole numbers as integers, unless they were normalised."""
    if normaliser is not None and normaliser.part(key, space) is not None:
        return values
    if space.kind == "Discrete":
        return np.round(values).astype(np.int64).reshape(len(values))
    return np.round(values).astype(space.dtype) if space.whole else values


@contextlib.contextmanager
def _one_warning_less() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
