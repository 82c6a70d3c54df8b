"""``Search``: a small evolution strategy with a diagonal covariance (sep-CMA-ES, Ros and Hansen, PPSN 2008)."""

from __future__ import annotations

import numpy as np

from gate5.plant.base import Float64


class Search:
    """Maximises a function of ``n`` numbers, starting at zero with the standard deviation ``sigma``.

    Ask for a population, judge it, tell the scores; the same seed gives the same search.
    """

    def __init__(self, n: int, *, sigma: float = 1.0, population: int = 24, seed: int = 0) -> None:
        self.mean, self.sigma, self.population = np.zeros(n), sigma, population
        self._random = np.random.default_rng(seed)
        parents = population // 2
        weights = np.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
        self._weights = weights / weights.sum()
        mass = 1.0 / float((self._weights**2).sum())
        self._variance, self._path_c, self._path_s = np.ones(n), np.zeros(n), np.zeros(n)
        self._share_s = (mass + 2) / (n + mass + 5)
        self._damping = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (n + 1)) - 1) + self._share_s
        self._share_c = (4 + mass / n) / (n + 4 + 2 * mass / n)
        rank_one = 2 / ((n + 1.3) ** 2 + mass)
        rank_many = min(1 - rank_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        faster = (n + 2) / 3
        self._rank_one, self._rank_many = min(1.0, rank_one * faster), min(1 - rank_one, rank_many * faster)
        self._mass, self._expected = mass, np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))

    def ask(self) -> Float64:
        """A population ``[population, n]``."""
        self._steps = self._random.standard_normal((self.population, self.mean.size))
        return np.asarray(self.mean + self.sigma * np.sqrt(self._variance) * self._steps, dtype=np.float64)

    def tell(self, scores: Float64) -> None:
        """The scores of what ``ask`` gave, larger is better; what is not finite counts as worst."""
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf, neginf=-1e300))[: self._weights.size]
        best = self._steps[order]
        step = self._weights @ best
        self.mean = self.mean + self.sigma * np.sqrt(self._variance) * step
        c, s = self._share_c, self._share_s
        self._path_s = (1 - s) * self._path_s + np.sqrt(s * (2 - s) * self._mass) * step
        self._path_c = (1 - c) * self._path_c + np.sqrt(c * (2 - c) * self._mass) * np.sqrt(self._variance) * step
        keep = max(0.0, 1 - self._rank_one - self._rank_many)
        many = self._weights @ (self._variance * best**2)
        self._variance = keep * self._variance + self._rank_one * self._path_c**2 + self._rank_many * many
        length = float(np.linalg.norm(self._path_s))
        self.sigma *= float(np.exp(min(1.0, s / self._damping * (length / self._expected - 1))))
