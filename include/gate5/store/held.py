"""Holds: what a channel does not take again until a person lifts it.

A rollback holds what it takes out, in its own entry; a person's Reject and ``gate5 hold`` write entries of the kind
``hold``, ``gate5 release-hold`` one of the kind ``lift``. What is in force lies in a blob that every entry names
(``state``), so that whoever reads the newest entry knows all holds, however long the log is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gate5.errors import IntegrityError, RefusedError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store.artifact_store import ArtifactStore, blob_name
from gate5.store.entry import ChannelEntry

_TEXTS = ("release", "by", "reason", "at", "kind")


@dataclass(frozen=True)
class Hold:
    """One policy that a channel does not take.

    Attributes:
        identities: of ``gate5.store.candidate.Candidate``: any of these is held; the first is the hold's own name.
        release: the release that it was put on; empty where none was made.
        kind: ``rollback``, ``reject`` or ``hold``.
        by, reason, at: who, why and when.
        candidate: what is held, for a reader: ``function``, ``plant``, ``target``, ``precision``.
    """

    identities: tuple[str, ...]
    release: str
    kind: str
    by: str
    reason: str
    at: str
    candidate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a person calls it: the release, else the identity's first digits."""
        return self.release or self.identities[0][:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "identities": list(self.identities), "candidate": dict(self.candidate)}

    @classmethod
    def from_dict(cls, data: Any) -> Hold:
        """The inverse of ``to_dict``; a field that a later version added is ignored.

        Raises:
            ValueError: it is no hold.
        """
        try:
            names, candidate = data["identities"], data.get("candidate") or {}
            texts = {name: data[name] for name in _TEXTS}
            good = names and all(isinstance(each, str) for each in (*names, *texts.values()))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a hold: {error!r}") from None
        if not good or not isinstance(names, list) or not isinstance(candidate, Mapping):
            raise ValueError("not a hold: its fields are of other types")
        return cls(tuple(names), candidate=dict(candidate), **texts)

    def sentence(self) -> str:
        """Who put it there, when and why."""
        verb = {"rollback": "rolled back", "reject": "rejected"}.get(self.kind, "held")
        return f"{self.name} was {verb} by {self.by} on {self.at}: {self.reason}"


@dataclass(frozen=True)
class State:
    """What earlier entries of a channel left in force.

    Attributes:
        holds: oldest first.
        lifted: identities whose hold was lifted, and that were not promoted since: they may be promoted once more.
        other: what a later version of gate5 keeps there; carried on.
    """

    holds: tuple[Hold, ...] = ()
    lifted: tuple[str, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)

    def on(self, names: Iterable[str]) -> Hold | None:
        """The hold on a policy, by its identities; ``None``: it is not held."""
        wanted = set(names)
        return next((hold for hold in self.holds if wanted & set(hold.identities)), None)

    def may_return(self, names: Iterable[str]) -> bool:
        """Whether a release that was on the channel before may be promoted again: its hold was lifted."""
        return bool(set(names) & set(self.lifted))

    def adding(self, hold: Hold) -> State:
        """With a further hold."""
        lifted = tuple(name for name in self.lifted if name not in hold.identities)
        return State((*self.holds, hold), lifted, self.other)

    def lifting(self, holds: Iterable[Hold]) -> State:
        """Without these holds."""
        gone = list(holds)
        names = [name for hold in gone for name in hold.identities]
        rest = tuple(hold for hold in self.holds if hold not in gone)
        return State(rest, tuple(dict.fromkeys((*self.lifted, *names))), self.other)

    def returned(self, names: Iterable[str]) -> State:
        """After a promotion of what was lifted."""
        back = set(names)
        return State(self.holds, tuple(name for name in self.lifted if name not in back), self.other)


def state_of(store: ArtifactStore, entry: ChannelEntry | None) -> State:
    """What is in force after an entry: no request where nothing is, else one, and none where it was read before.

    Raises:
        IntegrityError: the state is missing or damaged: nobody can say what is held, and nothing is promoted.
    """
    if entry is None or entry.state is None:
        return State()
    data = store.remembered(blob_name(entry.state)) if len(entry.state) == 64 else None
    try:
        if data is None or sha256(data) != entry.state:
            raise ValueError("it is not there, or not what it was")
        document = canonical.loads(data)
        other = {name: value for name, value in document.items() if name not in ("holds", "lifted", "request")}
        return State(tuple(map(Hold.from_dict, document["holds"])), tuple(map(str, document["lifted"])), other)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"What the channel {entry.channel} of {store.uri} holds back cannot be read (the blob {entry.state}: "
            f"{error}): restore it from a backup."
        ) from None


def kept(store: ArtifactStore, state: State) -> str | None:
    """Write a state; returns its hash for the entry that follows, ``None`` where nothing is in force."""
    if not state.holds and not state.lifted and not state.other:
        return None
    document = {**state.other, "holds": [hold.to_dict() for hold in state.holds], "lifted": list(state.lifted)}
    # Unique, so that no state is ever an old blob that a clean-up may be about to remove.
    return store.put_blob(canonical.dumps({**document, "request": secrets.token_hex(8)}))


def refuse_held(channel: str, state: State, names: Iterable[str]) -> None:
    """Refuse a policy that is held.

    Raises:
        RefusedError: it is; the text says who put the hold there and why.
    """
    hold = state.on(names)
    if hold is not None:
        raise RefusedError(
            f"This policy is held on the channel {channel}: {hold.sentence()}. A person can lift the hold with "
            f"`gate5 release-hold {hold.name} --channel {channel} --by NAME --reason WHY`."
        )
