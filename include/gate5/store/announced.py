"""What became of every announced candidate: which run took it, what has superseded it, how its run ended.

Each is an object that is created once, so that of any number of runs that receive the same announcement exactly one
takes it. They are for people and for the order of work; nothing is promoted because of them, and they are not signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from gate5.io import canonical
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore

#: Names begin with this minus the time of the announcement in ms, so that the newest comes first in a listing.
_LAST_MS = 10**14
#: How often the end of one candidate's run can be told (a run that is cleared ends again).
_ENDS = 50


@dataclass(frozen=True)
class Announcement:
    """An event on the asset ``gate5_candidate``.

    Attributes:
        uri: where the checkpoint is.
        sha256, vecnormalize_sha256: what whoever announced it saw there; ``None``: not told.
        at: when, ISO 8601, UTC, to the microsecond.
        gpu: the further kind of GPU (``other_gpus``) that is to judge it, apart from all others; ``None``: the first.
    """

    uri: str
    sha256: str | None
    vecnormalize_sha256: str | None
    at: str
    gpu: str | None = None

    @property
    def key(self) -> str:
        """The announcement's name: the same event has the same for a kind of GPU, wherever it is delivered."""
        return canonical.digest(self.to_dict())[:16]

    @property
    def order(self) -> tuple[datetime, str]:
        """What announcements are put in order by."""
        return datetime.fromisoformat(self.at), self.key

    @property
    def folder(self) -> str:
        """Where its records lie in the store."""
        when = datetime.fromisoformat(self.at).astimezone(timezone.utc)
        kind = "" if self.gpu is None else f"-{self.gpu}"
        return f"candidates/{_LAST_MS - int(when.timestamp() * 1000):014}-{self.key}{kind}/"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `gpu` is left out where it is the first kind, as before there were others."""
        return {name: value for name, value in asdict(self).items() if name != "gpu" or value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Announcement:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: it is not what ``to_dict`` gives.
        """
        wanted = {"uri", "sha256", "vecnormalize_sha256", "at"}
        if set(data) - {"gpu"} != wanted or not all(isinstance(data.get(key, ""), str) for key in ("uri", "at", "gpu")):
            raise ValueError(f"an announcement has {', '.join(sorted(wanted))}, and gpu where it is not the first kind")
        datetime.fromisoformat(data["at"])
        return cls(**data)


@dataclass(frozen=True)
class Candidate:
    """An announced candidate and what is known of it.

    Attributes:
        run: who took it (``dag_id``, ``run_id``); empty where nobody judges it.
        superseded_by: the key of the newer announcement that is judged instead.
        outcome: ``judging`` while the run has told no end, ``superseded``, or what the run ended with: ``promoted``,
            ``refused``, ``already_judged``, ``judged_again`` (in a further run, because the channel had moved on).
        sentence: the same for a reader.
        release: of one that was promoted.
    """

    announcement: Announcement
    run: Mapping[str, str] = field(default_factory=dict)
    superseded_by: str | None = None
    outcome: str = "judging"
    sentence: str = ""
    release: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        about = {"announcement": self.announcement.to_dict(), "run": dict(self.run), "key": self.announcement.key}
        return {**asdict(self), **about}


def take(store: ArtifactStore, announcement: Announcement, run: Mapping[str, str]) -> Candidate:
    """Let a run judge a candidate; what comes back says whether it does, or who took it before.

    Args:
        run: ``dag_id`` and ``run_id``.

    Raises:
        StoreError: the store cannot be used.
    """
    _create(store, f"{announcement.folder}taken.json", {"announcement": announcement.to_dict(), "run": dict(run)})
    return _required(store, announcement)


def take_again(
    store: ArtifactStore, announcement: Announcement, run: Mapping[str, str], before: Sequence[str]
) -> Candidate:
    """Let a run judge again what one of the runs ``before`` it has judged; what comes back says whether it does."""
    there = _required(store, announcement)
    if there.run.get("run_id") not in before:
        return there if there.run else take(store, announcement, run)
    said = {"announcement": announcement.to_dict(), "run": dict(run)}
    _create(store, f"{announcement.folder}taken-{len(_turns(store, announcement.folder)) + 1:02}.json", said)
    return _required(store, announcement)


def supersede(store: ArtifactStore, announcement: Announcement, newer: Announcement) -> Candidate:
    """Record that a newer candidate is judged instead; a run that took it before keeps it."""
    said = {"announcement": announcement.to_dict(), "superseded_by": newer.key, "newer": newer.uri}
    _create(store, f"{announcement.folder}taken.json", said)
    return _required(store, announcement)


def find(store: ArtifactStore, announcement: Announcement) -> Candidate | None:
    """What is known of a candidate; ``None``: nobody took it yet."""
    return _read(store, announcement.folder)


def end(store: ArtifactStore, announcement: Announcement, outcome: str, sentence: str, release: str | None) -> None:
    """Tell how the candidate's run ended. The same told again adds nothing."""
    said = {"outcome": outcome, "sentence": sentence[:1000], "release": release}
    for number in range(1, _ENDS):
        name = f"{announcement.folder}end-{number:02}.json"
        if _create(store, name, said):
            return
        there = _document(store, name)
        last = store.backend.read(f"{announcement.folder}end-{number + 1:02}.json") is None
        if last and {key: there.get(key) for key in said} == said:
            return


def recent(store: ArtifactStore, limit: int = 50) -> list[Candidate]:
    """The candidates that were announced last, newest first, of every kind of GPU."""
    found = (_read(store, folder) for folder in _folders(store.backend.list("candidates/", 4 * limit))[:limit])
    return [each for each in found if each is not None]


def newest(store: ArtifactStore, gpu: str | None) -> Candidate | None:
    """The candidate that was announced last of those that a run for one kind of GPU has received."""
    limit = 64
    while True:
        names = store.backend.list("candidates/", limit)
        for folder in _folders(names):
            found = _read(store, folder) if _gpu(folder) == gpu else None
            if found is not None:
                return found
        if len(names) < limit:
            return None
        limit *= 8


def _folders(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(f"candidates/{name.split('/')[1]}/" for name in names if name.count("/") == 2))


def _gpu(folder: str) -> str | None:
    """The kind of GPU that a folder's name says."""
    return folder.strip("/").partition("/")[2].partition("-")[2].partition("-")[2] or None


def _create(store: ArtifactStore, name: str, said: dict[str, Any]) -> bool:
    store.ensure_safe()
    return store.backend.create(name, canonical.dumps({**said, "noted": now()}))


def _required(store: ArtifactStore, announcement: Announcement) -> Candidate:
    return _read(store, announcement.folder) or Candidate(announcement)


def _read(store: ArtifactStore, folder: str) -> Candidate | None:
    turns = _turns(store, folder)
    taken = _document(store, turns[-1]) if turns else {}
    try:
        announcement = Announcement.from_dict(taken["announcement"])
    except (KeyError, TypeError, ValueError):
        return None  # nobody took it, or the record is damaged: then it is as if it were not there
    run = {str(name): str(value) for name, value in dict(taken.get("run") or {}).items()}
    if not run:
        by = str(taken.get("superseded_by"))
        sentence = f"superseded: {taken.get('newer')} was announced later and is judged instead"
        return Candidate(announcement, {}, by, "superseded", sentence)
    candidate = Candidate(announcement, run)
    ends = [name for name in store.backend.list(f"{folder}end-") if name.endswith(".json")]
    last = _document(store, ends[-1]) if ends else {}
    if not isinstance(last.get("outcome"), str):
        return candidate
    release = last.get("release")
    said = {"outcome": last["outcome"], "sentence": str(last.get("sentence") or "")}
    return replace(candidate, **said, release=str(release) if release else None)


def _turns(store: ArtifactStore, folder: str) -> list[str]:
    """The records of the runs that took a candidate, oldest first."""
    names = [name for name in store.backend.list(f"{folder}taken") if name.endswith(".json")]
    return sorted(names, key=lambda name: (len(name), name))


def _document(store: ArtifactStore, name: str) -> dict[str, Any]:
    data = store.backend.read(name)
    try:
        found = canonical.loads(data) if data else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
