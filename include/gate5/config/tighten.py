"""What a channel demands, put over what a run says: the stricter of the two in everything, and never the looser."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

_SLA = "sla_p99_ms"
#: From the weakest on.
_VETOES = (False, "unattended", True)


def tighten(config: Mapping[str, Any], demands: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that asks for no less than a channel demands.

    Args:
        config: a release's configuration as plain JSON types.
        demands: a channel's, as plain JSON types: the section ``channels.NAME``.
    """
    found: dict[str, Any] = copy.deepcopy(dict(config))
    release, gate, evaluation = found["release"], found["gate"], found["evaluation"]
    if demands.get("approval") == "required" or demands.get("two_person") or demands.get("approvers"):
        release["approval"] = "required"
    if demands.get("require_backend") is not None:
        release["require_backend"] = demands["require_backend"]
    if demands.get(_SLA) is not None:
        gate[_SLA] = min(gate[_SLA], demands[_SLA])
    gate["rules"] = _rules(gate["rules"], demands.get("rules") or (), gate[_SLA])
    if demands.get("episodes") is not None:
        evaluation["episodes"] = max(evaluation["episodes"], demands["episodes"])
    if demands.get("scenarios") and evaluation["scenarios"] is not None:
        missing = [name for name in demands["scenarios"] if name not in evaluation["scenarios"]]
        evaluation["scenarios"] = [*evaluation["scenarios"], *missing]
    return found


def _rules(said: Sequence[Mapping[str, Any]], demanded: Sequence[Mapping[str, Any]], sla: float) -> list[Any]:
    """The run's rules, each one that is looser than the channel's replaced by it, and those that it lacks added."""
    wanted = {rule["name"]: rule for rule in demanded}
    rules = [
        rule if rule["name"] not in wanted or _as_strict(rule, wanted[rule["name"]], sla) else wanted[rule["name"]]
        for rule in said
    ]
    return [*rules, *(rule for name, rule in wanted.items() if name not in {rule["name"] for rule in said})]


def _as_strict(rule: Mapping[str, Any], demand: Mapping[str, Any], sla: float) -> bool:
    if (rule["metric"], rule["op"]) != (demand["metric"], demand["op"]):
        return False
    if _VETOES.index(rule["veto"]) < _VETOES.index(demand["veto"]):
        return False
    named = {*(rule.get("by_scenario") or ()), *(demand.get("by_scenario") or ())}
    return all(
        _at_least(rule["op"], *(_threshold(each, name, sla) for each in (rule, demand))) for name in (None, *named)
    )


def _threshold(rule: Mapping[str, Any], scenario: str | None, sla: float) -> float:
    said = sla if rule["threshold"] == _SLA else rule["threshold"]
    return float((rule.get("by_scenario") or {}).get(scenario, said))


def _at_least(op: str, mine: float, theirs: float) -> bool:
    if op in ("<", "<="):
        return mine <= theirs
    return mine >= theirs if op in (">", ">=") else mine == theirs
