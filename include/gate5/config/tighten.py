"""What a channel demands, put over what a run says: the stricter of the two in everything, and never the looser."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gate5.config.channel import frozen
from gate5.errors import ConfigError

_SLA = "sla_p99_ms"
#: What a demanded SLA is judged by where a run has no rule of its own that vetoes on it.
_CHANNELS_SLA = {
    "name": "latency_p99_of_the_channel",
    "metric": "latency.p99_upper_ms",
    "op": "<",
    "threshold": _SLA,
    "why": "The channel demands this SLA.",
}
#: What is the same for all, because neither of two is the stricter one: on what, and against what is judged.
_SAME = ("plant", "baseline")
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
    if demands.get(_SLA) is not None and not any(_holds_the_sla(rule, gate[_SLA]) for rule in gate["rules"]):
        gate["rules"].append(_CHANNELS_SLA)
    if demands.get("confidence") is not None:
        for section in (evaluation, found["latency"]):
            section["confidence"] = max(section["confidence"], demands["confidence"])
    found.update({name: copy.deepcopy(demands[name]) for name in _SAME if demands.get(name) is not None})
    if demands.get("episodes") is not None:
        evaluation["episodes"] = max(evaluation["episodes"], demands["episodes"])
    if demands.get("scenarios") and evaluation["scenarios"] is not None:
        missing = [name for name in demands["scenarios"] if name not in evaluation["scenarios"]]
        evaluation["scenarios"] = [*evaluation["scenarios"], *missing]
    return found


def stricter(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two demands on one channel as one: the stricter of the two in everything; both as plain JSON types.

    Of two rules of one name ``other``'s counts, unless ``one``'s is as strict.

    Raises:
        ConfigError: nothing can meet both: they name other backends, plants or baselines, or no approver is in both.
    """
    found: dict[str, Any] = copy.deepcopy(dict(one))
    backends = sorted({each["require_backend"] for each in (one, other)} - {None})
    people = [each["approvers"] for each in (one, other) if each["approvers"]]
    everyone = [name for name in (people[0] if people else ()) if all(name in each for each in people)]
    other_of = [name for name in _SAME if one[name] and other[name] and one[name] != other[name]]
    if len(backends) > 1 or other_of or (people and not everyone):
        what = f"two {other_of[0]}s" if other_of else "approvers none of whom both name"
        what = f"the backends {' and '.join(backends)}" if len(backends) > 1 else what
        raise ConfigError(
            f"The run's configuration and the site's (GATE5_CONFIG) demand {what} of one channel: change one of them."
        )
    named = (_SLA, "episodes", "shadow_hours", "confidence")
    slas, episodes, hours, sure = ([each[name] for each in (one, other) if each[name] is not None] for name in named)
    sla = min(slas, default=None)
    scenarios = [*(one["scenarios"] or ()), *(other["scenarios"] or ())]
    found.update(
        require_backend=backends[0] if backends else None,
        approval="required" if "required" in (one["approval"], other["approval"]) else "none",
        approvers=everyone or None,
        signatures=max(one["signatures"], other["signatures"]),
        sla_p99_ms=sla,
        rules=_rules(one["rules"], other["rules"], math.inf if sla is None else sla),
        scenarios=list(dict.fromkeys(scenarios)) or None,
        episodes=max(episodes, default=None),
        shadow_hours=max(hours, default=None),
        confidence=max(sure, default=None),
        plant=one["plant"] or other["plant"],
        baseline=one["baseline"] or other["baseline"],
        quick=one["quick"] and other["quick"],
        require_proof=one["require_proof"] or other["require_proof"],
        two_person=one["two_person"] or other["two_person"],
        freeze=one["freeze"] if frozen(one["freeze"]) else other["freeze"],
    )
    return found


def _rules(said: Sequence[Mapping[str, Any]], demanded: Sequence[Mapping[str, Any]], sla: float) -> list[Any]:
    """The run's rules, each one that is looser than the channel's replaced by it, and those that it lacks added."""
    wanted = {rule["name"]: rule for rule in demanded}
    rules = [
        rule if rule["name"] not in wanted or _as_strict(rule, wanted[rule["name"]], sla) else wanted[rule["name"]]
        for rule in said
    ]
    return [*rules, *(rule for name, rule in wanted.items() if name not in {rule["name"] for rule in said})]


def _holds_the_sla(rule: Mapping[str, Any], sla: float) -> bool:
    """Whether a rule refuses what misses the SLA; an advisory or laxer one does not."""
    return (
        rule["metric"] == _CHANNELS_SLA["metric"]
        and rule["op"] in ("<", "<=")
        and rule.get("veto", True) is True
        and _threshold(rule, None, sla) <= sla
    )


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
