"""A plant's folder: what runs there, what ran before, what was seen of the channel; and what may be removed there.

DEST/.gate5-plant                               the mark: gate5 made this folder, and may remove old releases in it
DEST/current -> releases/SCO2-0123456789ab.x1y2z3   what runs; replaced in one step, or not at all
DEST/previous -> ...                            what ran before, for ``fall_back``
DEST/driving -> ...                             what ``gate5 run`` has proved in charge of the plant
DEST/candidate -> ...                           what waits for its proof (``gate5 prove DEST``) and does not run
DEST/releases/*/manifest.json, entry.json, files/…
DEST/state.json                                 the newest entry seen, and a release that is held back
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import locked, replace_link, sha256, write_atomically
from gate5.store import ArtifactStore, ChannelEntry

MARK = ".gate5-plant"
CANDIDATE, DRIVING = "candidate", "driving"
_STATE, _SUM = "state.json", "sha256"
_RELEASE_FOLDER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}-[0-9a-f]{12}\.[0-9a-f]{6}")


@contextlib.contextmanager
def plant_folder(dest: str | os.PathLike[str], store: ArtifactStore | None = None) -> Iterator[Path]:
    """Hold a plant's folder against another pull; a new one is made and marked.

    Args:
        store: where releases come from; neither may lie inside the other.

    Raises:
        StoreInputError: the folder holds what gate5 did not put there, or lies in the store, or the store in it.
        StoreError: another process is at work there.
    """
    path = Path(dest).absolute()
    try:
        _apart(path, store)
        _check_owner(path)
    except OSError as error:
        raise StoreInputError(
            f"{str(path)[:200]} cannot be used ({error.strerror}); give a folder that can be written."
        ) from None
    with locked(path) as root:
        if not (root / MARK).exists():
            write_atomically(root / MARK, canonical.dumps({"format": 1}))
        yield root


def running(root: Path) -> tuple[str, str] | None:
    """(release id, the manifest's hash) of what ``current`` points to."""
    try:
        entry = canonical.loads((root / "current" / "entry.json").read_bytes())
        return str(entry["release"]), sha256((root / "current" / "manifest.json").read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def switch(root: Path, folder: Path, keep_previous: bool) -> None:
    """Let ``current`` point to ``folder``; what ran until now is ``previous`` then."""
    # A release that was damaged on the disk and is installed anew must not become its own fall-back.
    if (root / "current").is_dir() and not keep_previous:
        replace_link(root / "previous", os.readlink(root / "current"))
    replace_link(root / "current", os.path.relpath(folder, root))
    (root / CANDIDATE).unlink(missing_ok=True)


def hold(root: Path, folder: Path) -> None:
    """Let ``candidate`` point to ``folder``, which waits for its proof; what runs runs on."""
    replace_link(root / CANDIDATE, os.path.relpath(folder, root))


def waiting(root: Path, manifest_sha256: str) -> Path | None:
    """The folder of a release that waits for its proof, if it is the one with this manifest."""
    try:
        folder = (root / CANDIDATE).resolve(strict=True)
        return folder if sha256((folder / "manifest.json").read_bytes()) == manifest_sha256 else None
    except OSError:
        return None


def prune(root: Path) -> None:
    """Remove what neither runs, nor ran before, nor waits for its proof, and what killed pulls left.

    Only what has a release folder's name is ever removed.
    """
    keep = {(root / name).resolve() for name in ("current", "previous", DRIVING, CANDIDATE)}
    for folder in (root / "releases").glob("*"):
        if _RELEASE_FOLDER.fullmatch(folder.name) and not folder.is_symlink() and folder.resolve() not in keep:
            shutil.rmtree(folder, ignore_errors=True)
    for name in (".current.*", ".previous.*", f".{DRIVING}.*", f".{CANDIDATE}.*"):
        for leftover in root.glob(name):
            if leftover.is_symlink():
                leftover.unlink(missing_ok=True)


def read_state(root: Path) -> dict[str, Any]:
    """What ``state.json`` says; nothing where there is none.

    Raises:
        StoreInputError: it is damaged.
    """
    path = root / _STATE
    try:
        state = canonical.loads(path.read_bytes())
        said = state.pop(_SUM, None)  # absent: written before there was one
        seen = state.get("channels", {})
        good = all(
            type(item["sequence"]) is int and isinstance(item["entry_sha256"], str) for item in seen.values()
        ) and isinstance(state.get("held", {}), dict)
        good = good and said in (None, canonical.digest(state))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        good = False
    if not good:
        raise StoreInputError(
            f"{path} is damaged: delete it and pull again; the newest entry of what runs here is kept beside the "
            "release too, so that an older one is still refused, but a release that was held back here is not held "
            "any more."
        )
    return dict(state)


def held_here(root: Path, folder: Path) -> bool:
    """Whether a release's folder holds what this plant fell back from, and the channel has named no other since."""
    try:
        held = read_state(root).get("held", {}).get("manifest_sha256")
        return held is not None and held == sha256((folder / "manifest.json").read_bytes())
    except (StoreInputError, OSError):  # a damaged state.json: the next pull says so
        return False


def keep_state(root: Path, state: Mapping[str, Any]) -> None:
    """Write ``state.json`` with a hash over what it says: a damaged one must not lift a hold without a word."""
    write_atomically(root / _STATE, canonical.dumps({**state, _SUM: canonical.digest(dict(state))}))


def write_state(root: Path, state: Mapping[str, Any], entry: ChannelEntry) -> None:
    """Remember the newest entry seen, before anything is done about it: a disk that fills up forgets nothing."""
    seen = {"sequence": entry.sequence, "entry_sha256": entry.sha256}
    channels = {**state.get("channels", {}), entry.channel: seen}
    keep_state(root, {**state, "channels": channels})


def check_time(root: Path, state: Mapping[str, Any], entry: ChannelEntry) -> None:
    """An old log played back has good signatures: the highest number that was seen before gives it away.

    Raises:
        IntegrityError: the channel went back in time.
    """
    seen = max(_seen(root, state, entry.channel), key=lambda pair: pair[0], default=None)
    if seen is None:
        return
    same = entry.sequence == seen[0] and seen[1] in entry.hashes
    if not same and entry.sequence <= seen[0]:
        raise IntegrityError(
            f"The channel {entry.channel} went back in time: entry {seen[0]} was seen here before, and now "
            f"the newest is another, entry {entry.sequence}; the store was restored from a backup or tampered with."
        )


def seen_keys(root: Path, state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The store's keyring that was seen here last; without ``state.json`` no older one than that of what runs here."""
    known = state.get("keys")
    if known is not None:
        return dict(known)
    versions = [0]
    for name in ("current", "previous"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            versions.append(int(canonical.loads((root / name / "entry.json").read_bytes())["keys"]))
    return {"version": max(versions), "sha256": None} if max(versions) else None


def _seen(root: Path, state: Mapping[str, Any], channel: str) -> Iterator[tuple[int, str]]:
    known = state.get("channels", {}).get(channel)
    if known is not None:
        yield known["sequence"], known["entry_sha256"]
    for name in ("current", "previous"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            entry = canonical.loads((root / name / "entry.json").read_bytes())
            if entry["channel"] == channel:
                yield int(entry["sequence"]), str(entry["sha256"])


def _apart(path: Path, store: ArtifactStore | None) -> None:
    place = getattr(store.backend, "path", None) if store is not None else None
    if place is None:
        return
    here, there = path.resolve(), Path(place).resolve()
    if here == there or here in there.parents or there in here.parents:
        raise StoreInputError(
            f"The plant's folder {path} and the artifact store {place} lie in one another: give a folder of its own, "
            "such as /opt/policy."
        )


def _check_owner(path: Path) -> None:
    """Nothing is ever removed in a folder that gate5 did not make."""
    if (path / "releases").is_symlink():  # where it leads there may be another plant's
        raise StoreInputError(
            f"{path / 'releases'} is a link, and old releases are removed there: give each plant a folder of its own, "
            "or make a link to the whole of it."
        )
    if not path.is_dir() or (path / MARK).is_file():
        return
    if (path / _STATE).is_file() and (path / "current" / "entry.json").is_file():
        return  # made before there was a mark
    found = sorted(item.name for item in path.iterdir() if item.name not in (".lock", "lost+found"))
    if found and not (found == ["releases"] and not any((path / "releases").iterdir())):
        raise StoreInputError(
            f"{path} is not a folder of `gate5 pull`: it holds {found[0]!r} and lacks the mark {MARK}; give an empty "
            "or a new folder, such as /opt/policy."
        )
