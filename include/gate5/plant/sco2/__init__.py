"""The shipped plant: a 10 MWe simple recuperated supercritical-CO2 Brayton cycle on waste heat (docs/plant.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate5.plant.sco2.plant import SCO2Plant

if TYPE_CHECKING:
    from gate5.plant.sco2.env import SCO2Env

__all__ = ["SCO2Env", "SCO2Plant"]


def __getattr__(name: str) -> Any:
    # Gymnasium is imported only where the environment is asked for.
    if name == "SCO2Env":
        from gate5.plant.sco2.env import SCO2Env

        return SCO2Env
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
