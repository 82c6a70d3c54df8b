"""The search for the worst case: random draws, then evolution strategies from the worst of them (package ``cmaes``).

The budget is counted in control steps, not seconds, and every generator has a fixed seed: the same candidate gets the
same worst case every time, on a busy machine too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gate5.errors import ConfigError
from gate5.plant.base import Controller, Plant
from gate5.plant.disturbance import Disturbance, disturbable
from gate5.robustness.rollout import Episodes, Progress, rollout, scale

Vector = NDArray[np.float64]

#: Episodes that are driven together; strategies that search side by side, each from another start.
BATCH = 256
STRATEGIES = 4
#: Share of the budget that looks everywhere before the strategies go down.
RANDOM_SHARE = 0.25
#: A strategy that has gained less than this over so many generations begins anew elsewhere.
PATIENCE, LEAST_GAIN = 12, 1e-4
#: The fewest episodes that are a search.
LEAST = 8
#: What stands for a margin that is not finite.
FAR = 1e6


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        numbers: of the worst episode.
        found_by: ``random`` or ``search``.
        evaluations: episodes that were driven.
        curve: after each batch, ``(evaluations, smallest share so far)``.
        smallest: the smallest margin that was seen of each constraint, less the integration error, in its unit.
    """

    numbers: dict[str, float]
    found_by: str
    evaluations: int
    curve: tuple[tuple[int, float], ...]
    smallest: dict[str, float]


def search(
    plant: Plant,
    controller: Controller,
    scenario: str,
    *,
    seed: int,
    control_steps: int,
    progress: Progress | None = None,
) -> Found:
    """Look for the disturbances, within their declared ranges, that bring an episode closest to a limit.

    Args:
        plant: declares its disturbances; those that it draws are searched.
        controller: who drives.
        seed: of the search, and of what an episode draws beside its numbers.
        control_steps: the budget; an episode costs its scenario's length.

    Raises:
        ConfigError: the budget does not pay for a search.
    """
    inner = disturbable(plant)
    assert inner is not None, "the caller asks only plants that declare disturbances"
    declared = [d for d in inner.disturbances(scenario) if d.role == "drawn"]
    budget = control_steps // plant.scenarios[scenario].steps
    if declared and budget < LEAST:
        raise ConfigError(
            f"falsification.control_steps is {control_steps:,}, which pays for {budget} episodes of {scenario}: "
            f"give at least {LEAST * plant.scenarios[scenario].steps:,}."
        )

    def drive(points: Vector) -> Episodes:
        numbers = [_numbers(point, declared) for point in points]
        return rollout(plant, controller, scenario, [seed] * len(numbers), numbers, batch=BATCH)

    return _Search(drive, declared, seed, budget, progress).run()


class _Search:
    """Random points first; then strategies, each after the constraint that the random points came closest to.

    How close a constraint is, is counted in standard deviations of its margin over the random points: a limit that a
    variable always keeps the same small distance to is no aim, one that a variable swings toward is.
    """

    def __init__(
        self,
        drive: Callable[[Vector], Episodes],
        declared: Sequence[Disturbance],
        seed: int,
        budget: int,
        progress: Progress | None,
    ) -> None:
        self._drive, self._declared, self._seed = drive, declared, seed
        self._budget, self._progress = budget, progress
        self._used = 0
        self._best: tuple[float, Vector, str] = (np.inf, np.full(len(declared), 0.5), "random")
        self._curve: list[tuple[int, float]] = []
        self._smallest: dict[str, float] = {}

    def run(self) -> Found:
        """Spend the budget; where an episode draws nothing, the one that there is is the worst."""
        if not self._declared:
            self._look(np.zeros((1, 0)), "random")
            return self._found()
        pool, aims = self._random()
        began = [0] * len(aims)
        strategies = [self._strategy(pool, aim, began, i) for i, aim in enumerate(aims)]
        least = len(strategies) * 4
        while strategies and self._used + least <= self._budget:
            each = min(BATCH, self._budget - self._used) // len(strategies)
            points = np.concatenate([strategy.ask(each) for strategy in strategies])
            values = self._look(points, "search")
            for i, strategy in enumerate(strategies):
                if strategy.tell(values[aims[i].row, i * each : (i + 1) * each]):
                    strategies[i] = self._strategy(pool, aims[i], began, i)
        return self._found()

    def _found(self) -> Found:
        numbers = _numbers(self._best[1], self._declared)
        return Found(numbers, self._best[2], self._used, tuple(self._curve), dict(sorted(self._smallest.items())))

    def _random(self) -> tuple[Vector, list[_Aim]]:
        rng = np.random.default_rng([self._seed, 11])
        size = len(self._declared)
        pools, margins = [], []
        while self._used < max(int(self._budget * RANDOM_SHARE), min(BATCH, self._budget)):
            points = rng.random((min(BATCH, self._budget - self._used), size))
            points[rng.random(points.shape) < 0.1] = 1.0  # the ends of the ranges are where a plant is least at ease
            points[rng.random(points.shape) < 0.1] = 0.0
            pools.append(points)
            margins.append(self._look(points, "random"))
        return np.concatenate(pools), _aims(np.concatenate(margins, axis=1))

    def _look(self, points: Vector, by: str) -> Vector:
        """Drive points; their net margins in each constraint's scale, ``[constraints, B]``."""
        found = self._drive(points)
        shares = found.net_shares
        worst = int(np.argmin(shares))
        if shares[worst] < self._best[0]:
            self._best = (float(shares[worst]), points[worst].copy(), by)
        self._used += len(points)
        self._curve.append((self._used, float(np.clip(self._best[0], -FAR, FAR))))
        net = found.margins - found.errors[:, None]
        for constraint, row in zip(found.constraints, net, strict=True):
            if row.min() < np.inf:
                before = self._smallest.get(constraint.name, np.inf)
                self._smallest[constraint.name] = float(np.clip(row.min(), -FAR, before))
        if self._progress is not None:
            self._progress(min(self._used, self._budget), self._budget)
        scaled = net / np.array([scale(c) for c in found.constraints])[:, None]
        return np.clip(np.where(found.broke, -np.inf, scaled), -FAR, FAR)

    def _strategy(self, pool: Vector, aim: _Aim, began: list[int], i: int) -> _Strategy:
        start = pool[aim.order[began[i] % len(aim.order)]]
        began[i] += 1
        return _Strategy(start, (self._seed * 1009 + 101 * began[i] + i) % 2**31, max(BATCH // STRATEGIES, 4))


@dataclass(frozen=True)
class _Aim:
    """A constraint (its row) that a strategy goes after, and the random points in order of their margin to it."""

    row: int
    order: list[int]


def _aims(margins: Vector) -> list[_Aim]:
    """The constraints that come closest, in standard deviations; as many as strategies, the closest again if fewer."""
    moving = [row for row in range(margins.shape[0]) if margins[row].min() < FAR]
    closeness = {row: margins[row].min() / max(margins[row][margins[row] < FAR].std(), 1e-9) for row in moving}
    ranked = sorted(moving, key=lambda row: closeness[row])
    chosen = [ranked[i % len(ranked)] for i in range(STRATEGIES)] if ranked else []
    return [_Aim(row, np.argsort(margins[row], kind="stable").tolist()) for row in chosen]


class _Strategy:
    """One evolution strategy (separable CMA-ES, Ros and Hansen 2008) in the unit cube."""

    def __init__(self, start: Vector, seed: int, population: int) -> None:
        try:
            from cmaes import SepCMA
        except ImportError:
            raise ConfigError(
                "The search for the worst case needs the package cmaes: pip install 'gate5[plant]', or run the other "
                "stages without it."
            ) from None
        bounds = np.tile([0.0, 1.0], (start.size, 1))
        inside = np.clip(start, 1e-3, 1.0 - 1e-3)
        self._cma = SepCMA(mean=inside, sigma=0.2, bounds=bounds, seed=seed, population_size=population)
        self._asked: list[Vector] = []
        self._best, self._since = np.inf, 0

    def ask(self, count: int) -> Vector:
        """The next points; where the budget ends, fewer than a generation."""
        self._asked = [self._cma.ask() for _ in range(self._cma.population_size)][:count]
        return np.array(self._asked)

    def tell(self, values: Vector) -> bool:
        """Take in their values; returns whether the strategy has come to rest."""
        if len(values) < self._cma.population_size:
            return False
        self._cma.tell(list(zip(self._asked, values.tolist(), strict=True)))
        lowest = float(values.min())
        self._since = 0 if lowest < self._best - LEAST_GAIN else self._since + 1
        self._best = min(self._best, lowest)
        return self._since >= PATIENCE or self._cma.should_stop()


def _numbers(point: Vector, declared: Sequence[Disturbance]) -> dict[str, float]:
    """From the unit cube to the declared ranges; integers are rounded."""
    values = {d.name: float(d.low + u * (d.high - d.low)) for d, u in zip(declared, point.tolist(), strict=True)}
    return {d.name: float(round(values[d.name])) if d.whole else values[d.name] for d in declared}


def usable(numbers: Mapping[str, float], declared: Sequence[Disturbance]) -> bool:
    """Whether an earlier case's numbers are still declared and within their ranges."""
    known = {d.name: d for d in declared}
    return all(n in known and known[n].low <= v <= known[n].high for n, v in numbers.items())
