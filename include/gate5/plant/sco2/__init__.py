"""The shipped plant: a 10 MWe simple recuperated supercritical-CO2 Brayton cycle on waste heat (docs/plant.md)."""

from gate5.plant.sco2.plant import SCO2Plant

__all__ = ["SCO2Plant"]
