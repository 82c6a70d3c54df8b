"""``quick``: many episodes of all scenarios, for tuning and training; a release is judged by ``gate5.evaluation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.plant.base import Controller, Float64, Plant, objective


@dataclass(frozen=True)
class QuickScore:
    """One entry per episode, ``[B]``.

    Attributes:
        scenarios: each episode's scenario.
        returns: sum of rewards.
        violations: violating steps, summed over constraints; a solver failure counts.
        margins: smallest margin over time, ``[constraints, B]``, ``inf`` where a constraint never applied, ``-inf``
            where its value was not finite.
        costs: sum of what the caller's ``cost`` said.
        terms: mean over the steps of each term that the plant declares, ``[terms, B]``.
    """

    scenarios: tuple[str, ...]
    returns: Float64
    violations: Float64
    margins: Float64
    costs: Float64
    terms: Float64

    def by_scenario(self, values: Float64) -> dict[str, Float64]:
        """Split ``[B]`` (or ``[n, B]``) by scenario, in the order in which scenarios appear."""
        names = np.array(self.scenarios)
        return {name: values[..., names == name] for name in dict.fromkeys(self.scenarios)}

    def part(self, rows: slice) -> QuickScore:
        """Some of the episodes."""
        return QuickScore(
            self.scenarios[rows], self.returns[rows], self.violations[rows], self.margins[:, rows], self.costs[rows],
            self.terms[:, rows],
        )  # fmt: skip


def quick(
    plant: Any,
    controller: Controller,
    scenarios: Sequence[str],
    seeds: Sequence[int],
    cost: Callable[[Mapping[str, Float64]], Float64] | None = None,
) -> QuickScore:
    """Drive one episode per pair of scenario and seed: those of one length in one batch, so that none waits for others.

    Args:
        plant: a ``Plant`` that also has ``reset_mixed``.
        controller: reset to each batch's size first. One that is several, each with its own part of the rows in order,
            needs as many episodes of a length in each part.
        scenarios, seeds: one of each per episode.
        cost: of a step, ``[B]``, from the plant's variables.
    """
    lengths = np.array([plant.scenarios[name].steps for name in scenarios])
    groups: list[list[int]] = [np.flatnonzero(lengths == length).tolist() for length in np.unique(lengths)]
    found = [_drive(plant, controller, [scenarios[i] for i in g], [seeds[i] for i in g], cost) for g in groups]
    order = np.argsort(np.concatenate(groups))
    whole = {
        name: np.concatenate([getattr(score, name) for score in found], axis=-1)[..., order]
        for name in ("returns", "violations", "margins", "costs", "terms")
    }
    return QuickScore(tuple(scenarios), **whole)


def _drive(
    plant: Any,
    controller: Controller,
    scenarios: Sequence[str],
    seeds: Sequence[int],
    cost: Callable[[Mapping[str, Float64]], Float64] | None,
) -> QuickScore:
    batch = len(seeds)
    obs = plant.reset_mixed(scenarios, seeds)
    controller.reset(batch)
    declared = objective(plant)
    live = np.ones(batch, dtype=np.bool_)
    returns, violations, costs, steps = (np.zeros(batch) for _ in range(4))
    margins = np.full((len(plant.constraints), batch), np.inf)
    terms = np.zeros((len(declared), batch))
    for _ in range(max(plant.scenarios[name].steps for name in scenarios)):
        action, _ = controller.predict(obs)
        step = plant.step(action)
        steps += live
        returns += np.where(live, step.reward, 0.0)
        if declared:
            terms += np.where(live, np.stack([step.variables[term.variable] for term in declared]), 0.0)
        if cost is not None:
            costs += np.where(live, cost(step.variables), 0.0)
        broken = (live & step.solver_failed).astype(np.float64)
        for row, constraint in enumerate(plant.constraints):
            margin = np.nan_to_num(constraint.margin(step.variables[constraint.variable]), nan=-np.inf, posinf=np.inf)
            applies = live if constraint.applies is None else live & (step.variables[constraint.applies] != 0.0)
            margins[row] = np.minimum(margins[row], np.where(applies, margin, np.inf))
            broken += applies & ~(margin >= 0.0)
        violations += broken
        obs, live = step.obs, live & ~(step.terminated | step.truncated)
        if not live.any():
            break
    return QuickScore(tuple(scenarios), returns, violations, margins, costs, terms / steps)


def pairs(plant: Plant, episodes: int, seed: int) -> tuple[list[str], list[int]]:
    """``episodes`` episodes of each scenario, on the seeds ``seed`` to ``seed + episodes - 1``."""
    names = [name for name in plant.scenarios for _ in range(episodes)]
    return names, [seed + i for _ in plant.scenarios for i in range(episodes)]


def worst_margins(plant: Plant, score: QuickScore) -> dict[str, dict[str, float]]:
    """Smallest margin by scenario and constraint; constraints that never applied are left out."""
    table: dict[str, dict[str, float]] = {}
    for name, margins in score.by_scenario(score.margins).items():
        smallest = margins.min(axis=1)
        table[name] = {c.name: float(m) for c, m in zip(plant.constraints, smallest, strict=True) if m < np.inf}
    return table
