"""What commands give back that are no stages: each knows its line for a person and its JSON for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gate5.gate.report import GateReport
from gate5.pipeline.results import StageResult
from gate5.store import ChannelEntry


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

    def to_dict(self) -> dict[str, Any]:
        entries = [entry.to_dict() for entry in self.entries]
        return {"channel": self.channel, "store": self.store, "entries": entries, "text": self.line()}

    def line(self) -> str:
        if not self.entries:
            return f"Nothing was ever promoted on the channel {self.channel} of {self.store}."
        return "\n".join(f"{e.sequence:>4}  {e.at}  {e.kind:<8}  {e.release}  by {e.by}" for e in self.entries)


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
