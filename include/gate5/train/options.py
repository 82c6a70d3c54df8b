"""``settings_of``: a training's settings from ``retrain`` of a configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError
from gate5.plant.declared import closest
from gate5.train.ascent import AscentConfig
from gate5.train.gradient import GradientConfig
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.settings import FROM_NOTHING, PPOConfig, TrainingSettings

#: Whole numbers that may be zero; all others are at least 1.
_MAY_BE_ZERO = {"generations", "hardest", "iterations", "seed"}


def settings_of(config: ReleaseConfig, seed: int, *, report_episodes: int = 200) -> TrainingSettings:
    """The settings that ``retrain`` asks for: the defaults with ``retrain.options`` changed.

    Args:
        seed: of the training.
        report_episodes: see ``TrainingSettings``.

    Raises:
        ConfigError: there is no such option, or its value is not one.
    """
    wanted = config.retrain
    defaults = {
        "imitation": ImitationConfig(),
        "ppo": PPOConfig() if wanted.imitation else FROM_NOTHING,
        "gradient": GradientConfig(),
        "ascent": AscentConfig(),
        "polish": PolishConfig(),
    }
    for name in wanted.options:
        if name not in defaults:
            raise ConfigError(f"There is no retrain.options.{name}: {closest(name, defaults)}")
    made = {name: _changed(default, name, wanted.options.get(name, {})) for name, default in defaults.items()}
    return TrainingSettings(
        steps=wanted.steps,
        seed=seed,
        imitation=wanted.imitation,
        baseline=config.baseline,
        ppo=made["ppo"],
        imitate=made["imitation"],
        gradient=made["gradient"],
        ascent=made["ascent"],
        polish=made["polish"],
        report_episodes=report_episodes,
    )


def _changed(default: Any, name: str, values: Mapping[str, Any]) -> Any:
    plain = {field.name: getattr(default, field.name) for field in dataclasses.fields(default)}
    for key, value in values.items():
        where = f"retrain.options.{name}.{key}"
        if key not in plain:
            raise ConfigError(f"There is no {where}: {closest(key, plain)}")
        if isinstance(plain[key], int) and isinstance(value, int) and value < (0 if key in _MAY_BE_ZERO else 1):
            raise ConfigError(f"{where} is {value}: give {0 if key in _MAY_BE_ZERO else 1} or more.")
    if "activation" in values and values["activation"] not in ("tanh", "relu"):
        raise ConfigError(f"retrain.options.{name}.activation is {values['activation']!r}: give tanh or relu.")
    try:
        return TypeAdapter(type(default)).validate_python({**plain, **values})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("retrain.options", name, *first["loc"]))
        raise ConfigError(f"{where} is {first['input']!r}: {first['msg']}.") from None
