"""Another trained policy as the baseline: ``baseline: {kind: policy, checkpoint: PATH}``."""

from __future__ import annotations

import numpy as np

from gate5.checkpoint import Checkpoint, CheckpointFiles, read
from gate5.checkpoint.controller import TorchController
from gate5.errors import CheckpointError, ConfigError
from gate5.plant.base import Plant


class PolicyBaseline(TorchController):
    """A trained policy in PyTorch that a candidate is compared with; ``name`` is what a report calls it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.module, checkpoint.signature)
        self.name = f"policy {checkpoint.policy_sha256[:12]}"


def open_policy(files: CheckpointFiles, plant: Plant, *, trust_pickle: bool = False) -> PolicyBaseline:
    """The baseline of a checkpoint's files.

    Raises:
        CheckpointError: it cannot be read safely or does not fit the plant.
        ConfigError: PyTorch, which runs it, is not installed here.
    """
    try:
        checkpoint = read(files, trust_pickle=trust_pickle)
    except ImportError as error:
        raise ConfigError(
            f"baseline.kind is 'policy', which needs PyTorch where it runs, and {error}: pip install 'gate5[export]', "
            "or set baseline.kind to pid or none."
        ) from None
    check_fits(checkpoint, plant, "The baseline's policy")
    return PolicyBaseline(checkpoint)


def check_fits(checkpoint: Checkpoint, plant: Plant, what: str = "The policy") -> None:
    """Whether a policy's spaces are the plant's.

    Args:
        what: how the sentence begins.

    Raises:
        CheckpointError: they are not; the text has both sides.
    """
    observations, actions = plant.observation_space.size, plant.action_space.size
    taken = checkpoint.signature.observed
    if (taken, checkpoint.act_dim) != (observations, actions):
        hint = _frames_hint(checkpoint, observations)
        raise CheckpointError(
            f"{what} takes {taken} observations and gives {checkpoint.act_dim} actions, but the plant "
            f"{plant.name} has {observations} and {actions}: give a policy trained on this plant, "
            f"or set plant.id to its own{hint}."
        )
    low, high = np.asarray(checkpoint.action_low), np.asarray(checkpoint.action_high)
    if not (np.allclose(low, plant.action_space.low) and np.allclose(high, plant.action_space.high)):
        raise CheckpointError(
            f"{what}: its actions lie in [{low.tolist()}, {high.tolist()}], those of the plant {plant.name} in "
            f"[{plant.action_space.low.tolist()}, {plant.action_space.high.tolist()}]: train it on this plant."
        )
    _check_prepared(checkpoint, plant, what)


def _check_prepared(checkpoint: Checkpoint, plant: Plant, what: str) -> None:
    """Of a Box the bounds do not matter to a policy; what it makes one-hot, or divides by 255, must be that.

    A value beyond its choices is no error in a graph, but nothing at all: all zeros.
    """
    at, space = 0, plant.observation_space
    for encoder in checkpoint.policy.encoders:
        n = encoder.space.size // checkpoint.policy.frames
        for i, (low, high) in enumerate(zip(space.low[at : at + n], space.high[at : at + n], strict=True)):
            if not (encoder.space.choices or encoder.scale) or not np.isfinite((low, high)).all():
                continue
            most = encoder.space.choices[i] - 1 if encoder.space.choices else 255
            if low < 0 or high > most or (encoder.scale and high != most):
                name = space.names[at + i] if space.names else f"component {at + i}"
                raise CheckpointError(
                    f"{what} takes {name} from 0 to {most}, but the plant {plant.name} gives {name} from {low:g} to "
                    f"{high:g}: train it on this plant."
                )
        at += n


def _frames_hint(checkpoint: Checkpoint, observations: int) -> str:
    """What else may be wrong where the policy takes a whole number of the plant's observations."""
    whole, rest = divmod(checkpoint.obs_dim * checkpoint.policy.frames, observations)
    if checkpoint.signature.observed == observations or rest or whole < 2:
        return ""
    return f", or checkpoint.frame_stack: {whole} if it was trained with VecFrameStack"
