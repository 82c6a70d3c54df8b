"""The objective's terms apart: what each costs under the policy and under the baseline, and whether it got worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gate5.evaluation.recording import Recording
from gate5.evaluation.statistics import mean, paired_bootstrap
from gate5.plant.base import Plant, Term, objective

#: What counts terms that are not shown to be no worse, and which of them: the essential ones, or the others.
_COUNTS = (("essential_inferior", True), ("other_inferior", False))

RETURN = Term("return", "", "reward", 0.0, 0.0, title="return of an episode", reported_only=True)


@dataclass(frozen=True)
class TermResult:
    """One term of the objective in one scenario; differences are policy minus baseline, paired on seeds.

    Attributes:
        name, title, unit, weight, currency, margin, essential: as declared (``gate5.plant.base.Term``).
        more_is_better: whether a larger value is the better one.
        policy, baseline: mean over episodes, in ``unit``; ``None``: a value is not finite, or there is no baseline.
        difference, low, high: mean of the paired differences and its bootstrap interval.
    """

    name: str
    title: str
    unit: str
    weight: float
    currency: str
    margin: float
    essential: bool
    more_is_better: bool
    policy: float | None
    baseline: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def excess(self) -> float | None:
        """How far the bad end of the interval lies beyond the margin; above 0: not shown to be no worse."""
        if self.low is None or self.high is None:
            return None
        return (-self.low if self.more_is_better else self.high) - self.margin

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies on the bad side of zero."""
        if self.low is None or self.high is None:
            return False
        return self.high < 0.0 if self.more_is_better else self.low > 0.0

    @property
    def better(self) -> bool:
        """Whether the whole interval lies on the good side of zero."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0.0 if self.more_is_better else self.high < 0.0

    def cost(self, value: float | None) -> float | None:
        """A value of the term in ``currency`` per hour."""
        return None if value is None else self.weight * value

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix."""
        return {
            "policy": self.policy,
            "baseline": self.baseline,
            "difference.mean": self.difference,
            "difference.low": self.low,
            "difference.high": self.high,
            "difference.excess": self.excess,
        }


def per_episode(plant: Plant, tape: Recording) -> dict[str, list[float]]:
    """Each declared term's mean over an episode's steps, by term; of a plant without terms its return."""
    terms = objective(plant)
    if not terms:
        return {RETURN.name: [math.fsum(column.tolist()) for column in np.where(tape.live, tape.reward, 0.0).T]}
    steps = np.maximum(tape.live.sum(axis=0), 1)
    return {t.name: list(np.where(tape.live, tape.of(t.variable), 0.0).sum(axis=0) / steps) for t in terms}


def compare_terms(
    plant: Plant,
    policy: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]] | None,
    margins: Mapping[str, float],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[TermResult, ...]:
    """Every term of the plant; ``margins`` replace those that it declares."""
    rows = []
    for term in objective(plant) or (RETURN,):
        ours = [float(v) for v in policy[term.name]]
        theirs = None if baseline is None else [float(v) for v in baseline[term.name]]
        deltas = [] if theirs is None else [a - b for a, b in zip(ours, theirs, strict=True)]
        interval = paired_bootstrap(deltas, confidence=confidence, resamples=resamples, seed=seed)
        low, high = (None, None) if interval is None else interval
        rows.append(
            TermResult(
                name=term.name, title=term.title or term.name, unit=term.unit, weight=term.weight,
                currency=term.currency, margin=margins.get(term.name, term.margin), essential=term.essential,
                more_is_better=term.reported_only, policy=mean(ours),
                baseline=None if theirs is None else mean(theirs), difference=mean(deltas), low=low, high=high,
            )
        )  # fmt: skip
    return tuple(rows)


def term_metrics(terms: Sequence[TermResult]) -> dict[str, float | None]:
    """Flat numbers for the gate, without a prefix: each term's, and how many are not shown to be no worse.

    Without a baseline, with a term that could not be measured, or with no such term the counts are ``None``: nobody
    counted, and none of nothing is not zero.
    """
    flat: dict[str, float | None] = {f"{t.name}.{key}": value for t in terms for key, value in t.metrics().items()}
    for name, chosen in _COUNTS:
        found = [t.excess for t in terms if t.essential is chosen]
        known = [e for e in found if e is not None]
        flat[name] = float(sum(e > 0.0 for e in known)) if found and len(known) == len(found) else None
    flat["worse"] = float(sum(t.worse for t in terms)) if terms and terms[0].low is not None else None
    return flat


def nothing_to_count(scenario: str, terms: Sequence[TermResult]) -> dict[str, str]:
    """The counts of inferior terms that a plant's objective leaves without a term, to why there is none."""
    told: dict[str, str] = {}
    for name, chosen in _COUNTS:
        if terms and not any(t.essential is chosen for t in terms):
            why = f"the plant's objective has no {'essential' if chosen else 'other'} term"
            told |= {f"evaluation.{scenario}.{who}term.{name}": why for who in ("", "current.")}
    return told


def term_notes(scenario: str, terms: Sequence[TermResult]) -> dict[str, str]:
    """For the metrics that count inferior terms: which they are and by how much."""
    notes = {}
    for name, chosen in _COUNTS:
        told = [_told(t) for t in terms if t.essential is chosen and t.excess is not None and t.excess > 0.0]
        if told:
            notes[f"evaluation.{scenario}.term.{name}"] = "; ".join(told)
    return notes


def _told(t: TermResult) -> str:
    unit = "" if t.unit == "1" else f" {t.unit}"
    word = "worse" if t.worse else "not shown to be no worse"
    return (
        f"{t.name} is {word}: {t.difference:+.3g}{unit} ({t.low:+.3g} to {t.high:+.3g}) against a margin of "
        f"{t.margin:g}{unit}"
    )
