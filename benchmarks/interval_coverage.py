"""How often the gate's interval of a mean difference is too good: its low end above the true mean, by pairs.

    python -m benchmarks.interval_coverage [--repetitions 20000]

Differences are drawn whose true mean is known; `paired_bootstrap` and the bootstrap-t get the same ones and the same
resamples. BCa is left out: SciPy, which has it, is none of our requirements. Writes docs/results/interval-coverage.md
and .json. A minute of one processor.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import description, table, write

PAIRS = (2, 5, 10, 50, 150, 500)
CONFIDENCE, STRICTER, RESAMPLES = 0.95, 0.99, 2_000
BLOCK = 100  # repetitions that share resamples, as two evaluations with the same seed do
CHANCE, SKEW = 0.02, 1.0
_NO_SPREAD = 1e-12  # of the mean square: rounding, and not spread

Floats = NDArray[np.float64]


class Kind(NamedTuple):
    """Differences of one kind: how they are drawn, ``(generator, shape)``, and their true mean."""

    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]
    mean: float


KINDS = {
    "normal": Kind(lambda generator, shape: generator.standard_normal(shape), 0.0),
    "left-skewed": Kind(lambda generator, shape: -generator.lognormal(0.0, SKEW, shape), -math.exp(0.5 * SKEW**2)),
    "rare losses": Kind(lambda generator, shape: -(generator.random(shape) < CHANCE).astype(np.float64), -CHANCE),
}


class LowEnds(NamedTuple):
    """Low ends of the mean's intervals, each ``[R]``; ``studentised`` is -inf where it gives no bound."""

    percentile: Floats
    stricter: Floats
    studentised: Floats


def main() -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20_000)
    repetitions = parser.parse_args().repetitions
    rows = []
    for name, kind in KINDS.items():
        for pairs in PAIRS:
            rows.append({"differences": name, "pairs": pairs, **shares(kind, pairs, repetitions)})
            print(rows[-1], flush=True)
    page(rows, repetitions)
    return 0


def shares(kind: Kind, pairs: int, repetitions: int) -> dict[str, float]:
    """The shares of repetitions whose low end lies above the true mean, and of those without a bound."""
    found = []
    for block in range(math.ceil(repetitions / BLOCK)):
        count = min(BLOCK, repetitions - block * BLOCK)
        # The differences' generator is none of the resamples' own, whose seed is the block's number.
        generator = np.random.default_rng((pairs, block))
        found.append(low_ends(kind.draw(generator, (count, pairs)), resamples=RESAMPLES, seed=block))
    percentile, stricter, studentised = (np.concatenate(ends) for ends in zip(*found, strict=True))
    return {
        "percentile": float(np.mean(percentile > kind.mean)),
        "percentile_stricter": float(np.mean(stricter > kind.mean)),
        "bootstrap_t": float(np.mean(studentised > kind.mean)),
        "bootstrap_t_unbounded": float(np.mean(~np.isfinite(studentised))),
    }


def low_ends(differences: Floats, *, resamples: int, seed: int) -> LowEnds:
    """The intervals' low ends for many evaluations at once; the first is what ``paired_bootstrap`` gives.

    Args:
        differences: one row per evaluation, ``[R, N]``.
        resamples: how many times the pairs are drawn again, the same ones for every row.
        seed: of those draws; ``paired_bootstrap`` with it draws the same.
    """
    pairs = differences.shape[1]
    drawn = np.random.default_rng(seed).integers(0, pairs, (resamples, pairs))
    cells = drawn + pairs * np.arange(resamples)[:, None]
    weights = np.bincount(cells.ravel(), minlength=resamples * pairs).reshape(resamples, pairs).astype(np.float64)
    means = differences @ weights.T / pairs  # [R, resamples]
    tails = [50.0 * (1.0 - confidence) for confidence in (CONFIDENCE, STRICTER)]
    low, stricter = np.percentile(means, tails, axis=1)
    return LowEnds(low, stricter, _studentised(differences, means, differences**2 @ weights.T / pairs))


def _studentised(differences: Floats, means: Floats, squares: Floats) -> Floats:
    """The bootstrap-t's low ends (Efron and Tibshirani 1993, chapter 12).

    A resample without spread lies infinitely many standard errors off. Where that are too many of them, or the pairs
    themselves have no spread, there is no bound.
    """
    off = means - differences.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(off / _spread(means, squares), nan=0.0, posinf=np.inf, neginf=-np.inf)
    # "higher": between a number and infinity nothing can be interpolated.
    upper = np.percentile(ratio, 50.0 * (1.0 + CONFIDENCE), axis=1, method="higher")
    spread = _spread(differences.mean(axis=1), (differences**2).mean(axis=1))
    bounded = np.isfinite(upper) & (spread > 0.0)
    ends: Floats = np.where(bounded, differences.mean(axis=1) - np.where(bounded, upper, 0.0) * spread, -np.inf)
    return ends


def _spread(means: Floats, squares: Floats) -> Floats:
    """The standard deviation, 0 where only rounding is left of it."""
    variance = squares - means**2
    spread: Floats = np.sqrt(np.where(variance > _NO_SPREAD * squares, variance, 0.0))
    return spread


def page(rows: list[dict[str, Any]], repetitions: int) -> None:
    """Write the page and its numbers."""
    nominal, strict = 50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 - STRICTER)
    head = ("differences", "pairs", f"percentile, {CONFIDENCE:g}", f"percentile, {STRICTER:g}",
            f"bootstrap-t, {CONFIDENCE:g}", "bootstrap-t without a bound")  # fmt: skip
    keys = ("percentile", "percentile_stricter", "bootstrap_t", "bootstrap_t_unbounded")
    lines = [(row["differences"], str(row["pairs"]), *(f"{100.0 * row[key]:.1f} %" for key in keys)) for row in rows]
    error = 100.0 * math.sqrt(0.01 * nominal * (1.0 - 0.01 * nominal) / repetitions)
    text = [
        "How often the low end of the interval of a mean difference lies above the true mean, so that a policy",
        f"looks better than it is; nominal at the confidence {CONFIDENCE:g} is {nominal:.2g} %,",
        f"at {STRICTER:g} {strict:.2g} %.",
        "*percentile* is what the gate judges by (`paired_bootstrap`), *bootstrap-t* what it could; where that gives",
        "no bound it is not counted as above the mean, and no rule could pass.",
        "",
        f"*normal*: mean 0, deviation 1. *left-skewed*: minus a log-normal, sigma {SKEW:g}. *rare losses*: -1 in",
        f"{100.0 * CHANCE:g} % of the pairs, else 0. {repetitions:,} repetitions, {RESAMPLES:,} resamples; the",
        f"standard error of {nominal:g} % is {error:.2f} %.",
        "",
        *table(head, lines),
        "",
        "Where no pair shows a loss the percentile interval has no width: no confidence makes it see what was not",
        "drawn, more pairs do. BCa is not measured: SciPy is none of the requirements.",
    ]
    result = {
        "machine": description(("gymnasium",)), "rows": rows, "repetitions": repetitions, "resamples": RESAMPLES,
        "confidence": CONFIDENCE, "stricter": STRICTER, "nominal": nominal / 100.0,
    }  # fmt: skip
    title = "How often the interval of a difference is too good"
    write("interval-coverage", title, "python -m benchmarks.interval_coverage", result, text)


if __name__ == "__main__":
    sys.exit(main())
