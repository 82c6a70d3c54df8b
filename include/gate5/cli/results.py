"""What commands give back that are no stages: each knows its line for a person and its JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gate5.gate.report import GateReport
from gate5.pipeline.results import StageResult
from gate5.store import ChannelEntry, Hold
from gate5.store.announced import Candidate

UNVERIFIED = "NOT VERIFIED: no key was given, so that anybody may have written this; give --trust KEY.pub."


class Outcome(Protocol):
    """What every command gives back."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for ``--json``."""
        ...

    def line(self) -> str:
        """For a person; may have several lines."""
        ...


@dataclass(frozen=True)
class Several:
    """One result for each scenario."""

    results: Sequence[StageResult]

    def to_dict(self) -> dict[str, Any]:
        return {"evaluations": [result.to_dict() for result in self.results], "text": self.line()}

    def line(self) -> str:
        return "\n".join(result.line() for result in self.results)


@dataclass(frozen=True)
class Judged:
    """The gate's result with its table of rules."""

    result: StageResult
    report: GateReport

    def to_dict(self) -> dict[str, Any]:
        return {**self.result.to_dict(), "text": self.line()}

    def line(self) -> str:
        return self.report.table()


@dataclass(frozen=True)
class History:
    """A channel's log, newest first."""

    channel: str
    store: str
    entries: Sequence[ChannelEntry]
    verified: bool = True
    strays: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        entries = [entry.to_dict() for entry in self.entries]
        found = {"channel": self.channel, "store": self.store, "entries": entries, "text": self.line()}
        return {**found, "verified": self.verified, "strays": list(self.strays)}

    def line(self) -> str:
        if not self.entries:
            return f"Nothing was ever promoted on the channel {self.channel} of {self.store}."
        lines = [f"{e.sequence:>4}  {e.at}  {e.kind:<8}  {e.release}  by {e.by}" for e in self.entries]
        if not self.verified:
            lines.append(UNVERIFIED)
        return "\n".join([*lines, *(f"no entry, and read by nobody: {name}" for name in self.strays)])


@dataclass(frozen=True)
class Holds:
    """What a channel does not take until a person lifts it."""

    channel: str
    store: str
    holds: Sequence[Hold]
    verified: bool = True

    def to_dict(self) -> dict[str, Any]:
        found = {"channel": self.channel, "store": self.store, "holds": [hold.to_dict() for hold in self.holds]}
        return {**found, "verified": self.verified, "text": self.line()}

    def line(self) -> str:
        lines = [f"{hold.identities[0][:16]}  {hold.sentence()}" for hold in self.holds]
        lines = lines or [f"Nothing is held on the channel {self.channel} of {self.store}."]
        return "\n".join([*lines, *([] if self.verified else [UNVERIFIED])])


@dataclass(frozen=True)
class Candidates:
    """The candidates that were announced last, newest first."""

    store: str
    found: Sequence[Candidate]

    def to_dict(self) -> dict[str, Any]:
        return {"store": self.store, "candidates": [each.to_dict() for each in self.found], "text": self.line()}

    def line(self) -> str:
        if not self.found:
            return f"No candidate that was announced was received by a run yet ({self.store})."
        return "\n".join(
            f"{each.announcement.at[:19]}  {each.outcome:<15}  {each.announcement.uri}"
            + (f"  on {each.announcement.gpu}" if each.announcement.gpu else "")
            + (f"  run {each.run['run_id']}" if each.run.get("run_id") else "")
            + (f"\n    {each.sentence}" if each.sentence else "")
            for each in self.found
        )


@dataclass(frozen=True)
class Keys:
    """The store's keyring."""

    store: str
    version: int
    document: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.line()}

    def line(self) -> str:
        if self.version == 0:
            return f"{self.store} has no keyring: whatever key a reader trusts may sign; `gate5 keys add` begins one."
        lines = [f"version {self.version} of the keyring of {self.store}"]
        for key_id, key in self.document["keys"].items():
            root = "  root" if key_id in self.document["root"]["keys"] else ""
            closed = key["closed"]
            end = (
                f"  {'revoked' if closed['revoked'] else 'ended'} {closed['at']}: {closed['reason']}" if closed else ""
            )
            where = ", ".join(key["channels"] or ["every channel"])
            times = "".join(f"  {word} {key[word]}" for word in ("from", "until") if key[word])
            lines.append(f"{key_id[:16]}  {key['name']}  {where}{times}{root}{end}")
        return "\n".join([*lines, *(f"{name} demands {what}" for name, what in self.document["channels"].items())])


@dataclass(frozen=True)
class NewKey:
    """A signing key that has been made."""

    private: str
    public: str
    key_id: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.line()}

    def line(self) -> str:
        return f"wrote {self.private} and {self.public}; keep the first one secret"


@dataclass(frozen=True)
class Trained:
    """A candidate that has been trained."""

    checkpoint: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.line()}

    def line(self) -> str:
        return f"wrote {self.checkpoint}"
