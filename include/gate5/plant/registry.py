"""Opens the plant that a configuration names: ``sco2``, ``gymnasium:ENV_ID``, ``fmu:PATH`` or ``module:factory``."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from gate5.config.candidate import PlantConfig
from gate5.errors import Gate5Error, PlantError
from gate5.plant.base import Plant

_SHIPPED = ("sco2",)


def open_plant(config: PlantConfig) -> Plant:
    """The plant of ``config.id``, made with ``config.options``.

    Raises:
        PlantError: there is no such plant, an option does not fit, or what was made is not a plant.
    """
    identifier, options = config.id, dict(config.options)
    if identifier == "sco2":
        from gate5.plant.sco2 import SCO2Plant

        return SCO2Plant(**options)
    kind, _, rest = identifier.partition(":")
    if not rest:
        close = difflib.get_close_matches(identifier, _SHIPPED, n=1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else "give `sco2`, `gymnasium:ENV_ID`, `fmu:PATH` or `module:factory`."
        )
        raise PlantError(f"There is no plant {identifier!r}: {hint}")
    if kind == "gymnasium":
        from gate5.plant.gymnasium_env import GymnasiumPlant

        return _called(GymnasiumPlant, (rest,), options, identifier)
    if kind == "fmu":
        from gate5.plant.fmu import FMUPlant

        return _called(FMUPlant, (rest,), options, identifier)
    return _called(_factory(kind, rest, identifier), (), options, identifier)


def _factory(module: str, name: str, identifier: str) -> Any:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise PlantError(
            f"The plant {identifier!r} cannot be opened: {error}; the part before the colon must be an importable "
            "module (or `gymnasium` or `fmu`)."
        ) from None
    factory = getattr(found, name, None)
    if not callable(factory):
        close = difflib.get_close_matches(name, dir(found), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "name a class or function of it."
        raise PlantError(f"The plant {identifier!r}: the module {module} has no factory {name!r}: {hint}")
    return factory


def _called(factory: Any, arguments: tuple[Any, ...], options: dict[str, Any], identifier: str) -> Plant:
    try:
        plant = factory(*arguments, **options)
    except Gate5Error:
        raise
    except TypeError as error:
        raise PlantError(
            f"The plant {identifier!r} does not take the options {sorted(options)} ({error}); correct plant.options."
        ) from None
    if not isinstance(plant, Plant):
        missing = [name for name in _members() if not hasattr(plant, name)]
        raise PlantError(
            f"The plant {identifier!r} gave a {type(plant).__name__} that lacks {', '.join(missing)}: "
            "it must implement gate5.plant.base.Plant."
        )
    return plant


def _members() -> tuple[str, ...]:
    return (
        "name", "dt_s", "observation_space", "action_space", "scenarios", "constraints", "variables", "reset", "step",
    )  # fmt: skip
