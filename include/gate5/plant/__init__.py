"""Plants: the protocol, and a registry that finds one by the ``plant.id`` of the configuration."""

from __future__ import annotations

from gate5.plant.base import Box, Constraint, Controller, Plant, Scenario, Step, Term, Variable, objective

__all__ = ["Box", "Constraint", "Controller", "Plant", "Scenario", "Step", "Term", "Variable", "objective"]
