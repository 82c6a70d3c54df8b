"""``open_baseline``: the controller that a candidate is compared with, from the configuration."""

from __future__ import annotations

from gate5.checkpoint import CheckpointFiles, fetch
from gate5.config.evaluation import BaselineConfig
from gate5.control.gains import parse_gains, read_gains
from gate5.control.pid import PIDBaseline
from gate5.control.policy import open_policy
from gate5.errors import ConfigError
from gate5.io.paths import resolve_path
from gate5.plant.base import Controller, Plant


def open_baseline(
    config: BaselineConfig, plant: Plant, *, policy: CheckpointFiles | None = None, trust_pickle: bool = False
) -> Controller | None:
    """The baseline controller for ``plant``; ``None`` where the configuration asks for none.

    Args:
        config: which, and its gains or checkpoint.
        plant: what it drives.
        policy: the files of ``config.checkpoint`` where they were read before; ``None``: read now.
        trust_pickle: of a policy; see ``gate5.checkpoint.read``.

    Raises:
        ConfigError: the gains cannot be read, do not fit the plant, or the plant has none of its own.
        CheckpointError: the other policy cannot be read safely or does not fit the plant.
    """
    if config.kind == "none":
        return None
    if config.checkpoint is not None:
        return open_policy(
            policy or fetch(config.checkpoint, vecnormalize=config.vecnormalize), plant, trust_pickle=trust_pickle
        )
    if config.gains is not None:
        gains = read_gains(resolve_path(config.gains))
    else:
        own = getattr(plant, "baseline_gains", lambda: None)()
        if own is None:
            raise ConfigError(
                f"The plant {plant.name} has no PID gains of its own: set baseline.gains to a JSON file of gains, "
                "or baseline.kind to none."
            )
        gains = parse_gains(own, f"the gains of the plant {plant.name}")
    if gains.dt_s != plant.dt_s:
        raise ConfigError(
            f"The PID gains are for a control step of {gains.dt_s} s, but {plant.name}'s is {plant.dt_s} s."
        )
    space, actions = plant.observation_space, plant.action_space
    return PIDBaseline(gains, space.names, actions.low, actions.high, actions.names)
