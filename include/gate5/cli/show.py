"""``gate5 show`` and ``gate5 diff``: what a release is and where it stands, and what tells two of them apart."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gate5 import store
from gate5.cli.release_files import find, own_keys
from gate5.config.models import ReleaseConfig
from gate5.edge.release_files import ReleaseFiles
from gate5.evaluation import EvaluationReport
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.store import claims, evidence
from gate5.store.candidate import candidates_of
from gate5.store.channel import Log, known_channels
from gate5.store.held import state_of
from gate5.store.keyring import keyring

#: Of each scenario, beside what the rules look at.
_NUMBERS = ("rl.return_mean", "baseline.return_mean", "rl.violations", "difference.low_percent")


@dataclass(frozen=True)
class Shown:
    """A release: what it is, its verdict, who and when, and where it stands."""

    about: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {**self.about, "text": self.line()}

    def line(self) -> str:
        about = self.about
        lines = [f"{about['release']}  {about['plant']}, {about['backend']} {about['precision']}"]
        lines += [f"  {name}: {about[name]}" for name in _LINES if about.get(name)]
        lines += [f"  channel {each['channel']}: {each['text']}" for each in about["channels"]]
        lines += [f"  plants of {each['channel']}: {each['text']}" for each in about["evidence"]]
        lines += [f"  not met: {sentence}" for sentence in about["not_met"]]
        if not about["verified"]:
            lines.append("  NOT VERIFIED: no key was given; give --trust KEY.pub.")
        return "\n".join(lines)


_LINES = ("identity", "function", "verdict", "checkpoint", "device", "finished_on", "approved_by", "run", "commit")


@dataclass(frozen=True)
class Differences:
    """What tells two releases apart: ``(name, A's, B's)`` by section; a section without any is empty."""

    a: str
    b: str
    sections: Mapping[str, Sequence[tuple[str, Any, Any]]]

    def to_dict(self) -> dict[str, Any]:
        rows = {
            section: [{"name": name, "a": one, "b": other} for name, one, other in found]
            for section, found in self.sections.items()
        }
        return {"a": self.a, "b": self.b, "differences": rows, "text": self.line()}

    def line(self) -> str:
        lines = [f"{self.a} -> {self.b}"]
        for section, rows in self.sections.items():
            lines.append(f"{section}: {'the same' if not rows else f'{len(rows)} differ'}")
            lines += [f"  {name}: {_short(one)} -> {_short(other)}" for name, one, other in rows]
        return "\n".join(lines)


def show(config: ReleaseConfig, arguments: argparse.Namespace) -> Shown:
    """One release; without a name the channel's current one."""
    files = find(config, arguments.release, arguments.channel, arguments.trust)
    about = _about(files)
    channels = [] if arguments.release and "/" in arguments.release else _standings(config, files, arguments.trust)
    told = {"not_met": _not_met(files), "verified": files.verified, "evidence": _evidence(config, files, arguments)}
    return Shown({**about, "channels": channels, **told})


def diff(config: ReleaseConfig, arguments: argparse.Namespace) -> Differences:
    """Two releases, section by section."""
    one, other = (find(config, name, None, arguments.trust) for name in (arguments.a, arguments.b))
    sections = {
        "policy": _changed(_policy(one), _policy(other)),
        "config": _changed(_config(one), _config(other)),
        "rules": _changed(_rules(one), _rules(other)),
        "numbers": _changed(_measured(one), _measured(other)),
        "scenarios": _changed(_scenarios(one), _scenarios(other)),
    }
    return Differences(one.release.id, other.release.id, sections)


def configure_show(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 show``."""
    name = "a release's id, or a folder of `gate5 pull` (default: the channel's current one)"
    parser.add_argument("release", nargs="?", metavar="RELEASE", help=name)
    parser.add_argument("--channel", metavar="NAME", help="default: release.channel of the configuration")
    _add_trust(parser)


def configure_diff(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gate5 diff``."""
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a release's id, or a folder of `gate5 pull`")
    _add_trust(parser)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trust", action="append", default=[], metavar="KEY.pub", help="public key file; repeatable")


def _about(files: ReleaseFiles) -> dict[str, Any]:
    release = files.release
    provenance, policy = release.provenance, candidates_of(release)[0]
    engine, built = provenance.get("engine") or {}, provenance.get("built_with") or {}
    return {
        "release": release.id,
        "identity": policy.identity,
        "function": policy.function,
        "plant": policy.plant,
        "backend": policy.target,
        "precision": policy.precision,
        "device": engine.get("device"),
        "verdict": release.verdict,
        "checkpoint": (provenance.get("checkpoint") or {}).get("uri"),
        "approved_by": provenance.get("approved_by"),
        "started_on": (provenance.get("run") or {}).get("started_on"),
        "finished_on": (provenance.get("run") or {}).get("finished_on"),
        "run": (provenance.get("run") or {}).get("id"),
        "commit": built.get("commit"),
        "signed_by": list(release.signed_by),
        "files": dict(release.files),
    }


def _standings(config: ReleaseConfig, files: ReleaseFiles, trust: Sequence[str]) -> list[dict[str, Any]]:
    """Where the release stands on each channel of the store that knows it or holds its policy."""
    opened = store.open_store(config.store)
    keys = store.load_public_keys(trust) if trust else own_keys(opened)
    names = [each.identity for each in candidates_of(files.release)]
    found = []
    for channel in known_channels(opened):
        log = Log(opened, channel, keys)
        newest = log.newest()
        if newest is None:
            continue
        hold = state_of(opened, newest).on(names)
        after = claims.claimed(log, files.release.id)
        entry = None
        if newest.release == files.release.id:
            entry = log.at(newest.since)
        elif after is not None:
            entry = claims.find(log, after, newest.sequence, claims.of_release(files.release.id))
        if hold is None and entry is None:
            continue
        now_there = newest.release == files.release.id
        text = "held: " + hold.sentence() if hold else ""
        if entry is not None:
            since = f"current since {entry.at}" if now_there else f"was there from {entry.at}; now {newest.release}"
            text = "; ".join(filter(None, (f"{since}, by {entry.by}: {entry.reason}", text)))
        said = {"current": now_there, "hold": hold.to_dict() if hold else None}
        found.append({"channel": channel, **said, "entry": entry.to_dict() if entry else None, "text": text})
    return found


def _evidence(config: ReleaseConfig, files: ReleaseFiles, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What plants reported of the release, by the channel that they pulled it from; of a folder nothing is asked."""
    if arguments.release and "/" in arguments.release:
        return []
    opened = store.open_store(config.store)
    given = store.load_public_keys(arguments.trust) if arguments.trust else own_keys(opened)
    keys = None if given is None else keyring(opened, given)
    found = []
    for channel in evidence.channels(opened, files.release.id):
        record = evidence.record(opened, channel, files.release.id, keys)
        found.append({"channel": channel, **record.totals(), "text": record.line()})
    return found


def _not_met(files: ReleaseFiles) -> list[str]:
    if "gate.json" not in files.release.files:
        return []
    rules = GateReport.from_dict(files.read_json("gate.json")).rules
    return [rule.sentence() for rule in rules if rule.outcome in ("fail", "missing")]


def _policy(files: ReleaseFiles) -> dict[str, Any]:
    about = _about(files)
    return {name: about[name] for name in ("identity", "function", "plant", "backend", "precision", "device")}


def _config(files: ReleaseFiles) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else name, inner)
        elif prefix != "gate.rules":
            found[prefix] = value

    walk("", files.read_json("config.json"))
    return found


def _rules(files: ReleaseFiles) -> dict[str, Any]:
    rules = files.read_json("config.json")["gate"]["rules"]
    return {rule["name"]: {key: rule[key] for key in ("metric", "op", "threshold", "veto")} for rule in rules}


def _measured(files: ReleaseFiles) -> dict[str, Any]:
    if "gate.json" not in files.release.files:
        return {}
    return {rule.metric: rule.measured for rule in GateReport.from_dict(files.read_json("gate.json")).rules}


def _scenarios(files: ReleaseFiles) -> dict[str, Any]:
    if "comparison.json" not in files.release.files:
        return {}
    report = EvaluationReport.from_dict(files.read_json("comparison.json"))
    metrics = report.metrics()
    names = [f"evaluation.{row.scenario}.{number}" for row in report.scenarios for number in _NUMBERS]
    return {name.removeprefix("evaluation."): metrics.get(name) for name in names}


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [*one, *(name for name in other if name not in one)]
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else canonical.dumps(value).decode().replace("\n", "")
    return text if len(text) <= 90 else text[:87] + "..."
