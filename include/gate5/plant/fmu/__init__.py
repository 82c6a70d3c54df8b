"""Functional Mock-up Units (FMI 2.0 and 3.0, co-simulation) as plants: ``plant: {id: "fmu:PATH"}``."""

from __future__ import annotations

from gate5.plant.fmu.plant import FMUPlant

__all__ = ["FMUPlant"]
