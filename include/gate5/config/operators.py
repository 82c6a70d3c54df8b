"""The comparisons that a rule of Gate 5 can make: the one table of them.

A new operator is a new entry here: the configuration then admits it, the judge applies it, and the report shows it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema


@dataclass(frozen=True)
class Operator:
    """One comparison of a measured number with a threshold.

    Attributes:
        name: as it is written in a configuration.
        holds: whether ``measured OP threshold``.
        margin: how far the measurement is on the good side of the threshold, in the metric's unit: positive where there
            is room, negative where the rule is broken.
        text: in words, for a reader.
    """

    name: str
    holds: Callable[[float, float], bool]
    margin: Callable[[float, float], float]
    text: str


# 0.0 - x and not -x, so that no report shows "-0".
OPERATORS: Mapping[str, Operator] = {
    entry.name: entry
    for entry in (
        Operator("<", operator.lt, lambda measured, threshold: threshold - measured, "below"),
        Operator("<=", operator.le, lambda measured, threshold: threshold - measured, "at most"),
        Operator(">", operator.gt, lambda measured, threshold: measured - threshold, "above"),
        Operator(">=", operator.ge, lambda measured, threshold: measured - threshold, "at least"),
        Operator("==", operator.eq, lambda measured, threshold: 0.0 - abs(measured - threshold), "equal to"),
    )
}


def _known(name: str) -> str:
    if name not in OPERATORS:
        raise ValueError(f"it must be one of {', '.join(map(repr, OPERATORS))}")
    return name


#: The name of an operator, as a field of a configuration.
OperatorName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(OPERATORS)})]
