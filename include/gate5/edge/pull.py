"""What a plant's computer runs: fetch the channel's release, prove it on this machine, and only then switch to it.

DEST/current -> releases/SCO2-0123456789ab.x1y2z3   what runs; replaced in one step, or not at all
DEST/previous -> ...                                what ran before, for ``fall_back``
DEST/releases/*/manifest.json, entry.json, files/…
DEST/state.json                                     the newest entry seen, and a release that is held back
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gate5.edge.golden import GOLDEN, Golden, pack_golden
from gate5.errors import EngineError, Gate5Error, IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import locked, make_directory, replace_link, sha256, write_atomically
from gate5.store import ArtifactStore, ChannelEntry, Release, current
from gate5.store.manifest import manifest_name, read_manifest
from gate5.store.signing import PublicKey

__all__ = ["PullResult", "fall_back", "pack_golden", "pull"]

ENGINE = "engine/policy.engine"
METADATA = "engine/engine.json"

LoadEngine = Callable[[bytes, dict[str, Any]], Any]


@dataclass(frozen=True)
class PullResult:
    """What a pull did.

    Attributes:
        outcome: ``installed``; ``already_current``; ``held``: the channel's release is one that this machine fell back
            from, nothing was done.
        channel, release, sequence: what the channel says.
        path: the folder of the release that runs now.
        replaced: the release that ran before, or ``None``.
        compared: golden observations replayed.
        max_abs_error: the largest difference from the golden actions, or ``None`` where nothing was replayed.
        sentence: the same for a reader.
    """

    outcome: Literal["installed", "already_current", "held"]
    channel: str
    release: str
    sequence: int
    path: str
    replaced: str | None
    compared: int
    max_abs_error: float | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.sentence}

    def line(self) -> str:
        """For a person."""
        return self.sentence

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PullResult:
        """The inverse of ``to_dict``."""
        return cls(**{name: value for name, value in data.items() if name != "text"})


def pull(
    store: ArtifactStore,
    channel: str,
    dest: str | os.PathLike[str],
    trusted_keys: Sequence[PublicKey],
    *,
    load_engine: LoadEngine,
    backends: Sequence[str] | None = None,
) -> PullResult:
    """Bring this machine to the channel's current release.

    In this order: the entry's and the manifest's signatures; every file's hash; the back end; then ``load_engine``,
    which has to compare the hardware before it deserialises; then the golden inputs. Only after all of that the link
    ``current`` is replaced. Where anything is wrong an error says what, and what ran before runs on.

    Args:
        load_engine: ``(blob, metadata) -> Engine``, ``gate5.engine.load`` for one.
        backends: back ends that this machine takes; ``None``: any.

    Raises:
        StoreInputError: nothing was ever promoted on the channel, or ``dest`` cannot be used.
        IntegrityError: a signature, a hash or a golden action is wrong, or the channel's log went back in time.
        EngineError: the engine is not for this machine or cannot be loaded.
        StoreError: the store failed, or another pull is running.
    """
    if not trusted_keys:
        raise StoreInputError("A pull needs at least one trusted key: give the *.pub file of `gate5 keygen`.")
    with locked(Path(dest).absolute()) as root:
        _prune(root)
        entry = current(store, channel, trusted_keys)
        if entry is None:
            raise StoreInputError(f"Nothing was ever promoted on the channel {channel} of {store.uri}.")
        state = _read_state(root)
        _check_time(state, entry)
        running = _running(root)
        if state.get("held", {}).get("manifest_sha256") == entry.manifest_sha256:
            sentence = f"{entry.release} is held back here ({state['held']['reason']}); nothing was changed."
            return _result("held", entry, root, running, sentence)
        if running and running[1] == entry.manifest_sha256 and _intact(root / "current", running[0], trusted_keys):
            _write_state(root, state, entry)
            return _result("already_current", entry, root, running, f"{entry.release} runs here already.")
        folder = root / "releases" / f"{entry.release}.{secrets.token_hex(3)}"
        compared, error = _fetch_and_prove(store, entry, trusted_keys, folder, load_engine, backends)
        _switch(root, folder, keep_previous=running is not None and running[1] == entry.manifest_sha256)
        _write_state(root, state, entry)
        _prune(root)
        instead = f" in place of {running[0]}" if running else ""
        sentence = f"{entry.release} runs here now{instead}; {compared} golden inputs agree within {error:.3g}."
        return _result("installed", entry, root, running, sentence, compared, error)


def fall_back(dest: str | os.PathLike[str], reason: str) -> str:
    """Switch back to what ran before, and hold the bad release back until the channel names another; returns its id.

    Raises:
        StoreInputError: nothing ran before, or no reason is given.
    """
    if not reason.strip():
        raise StoreInputError("A fall-back needs a reason; it is kept and shown at the next pull.")
    with locked(Path(dest).absolute()) as root:
        bad, previous = _running(root), root / "previous"
        if bad is None or not previous.is_dir() or previous.resolve() == (root / "current").resolve():
            raise StoreInputError(f"Nothing else ran in {root} before; there is nothing to fall back to.")
        held = {"manifest_sha256": bad[1], "reason": reason}
        write_atomically(root / "state.json", canonical.dumps({**_read_state(root), "held": held}))
        replace_link(root / "current", os.readlink(previous))
        running = _running(root)
        return running[0] if running else ""


def _check_time(state: Mapping[str, Any], entry: ChannelEntry) -> None:
    """An old log played back has good signatures: the number that was seen before gives it away."""
    seen = state.get("channels", {}).get(entry.channel)
    if seen is None:
        return
    same = entry.sequence == seen["sequence"] and entry.sha256 == seen["entry_sha256"]
    if not same and entry.sequence <= seen["sequence"]:
        raise IntegrityError(
            f"The channel {entry.channel} went back in time: entry {seen['sequence']} was seen here before, and now "
            f"the newest is another, entry {entry.sequence}; the store was restored from a backup or tampered with."
        )


def _fetch_and_prove(
    store: ArtifactStore,
    entry: ChannelEntry,
    keys: Sequence[PublicKey],
    folder: Path,
    load_engine: LoadEngine,
    backends: Sequence[str] | None,
) -> tuple[int, float]:
    try:
        _download(store, entry, keys, folder)
        return _prove(folder, entry, keys, load_engine, backends)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a pull that fails every minute must not fill the disk
        raise


def _download(store: ArtifactStore, entry: ChannelEntry, keys: Sequence[PublicKey], folder: Path) -> None:
    data = store.backend.read(manifest_name(entry.release))
    if data is None:
        raise IntegrityError(f"The release {entry.release} is in the channel {entry.channel} but not in {store.uri}.")
    if sha256(data) != entry.manifest_sha256:
        raise IntegrityError(f"The manifest of {entry.release} is not the one that was promoted.")
    release = read_manifest(data, entry.release, keys)
    make_directory(folder / "files")
    for name, digest in release.files.items():
        target = folder / "files" / name
        make_directory(target.parent)
        write_atomically(target, store.blob(digest))
    write_atomically(folder / "entry.json", canonical.dumps(entry.to_dict()))
    write_atomically(folder / "manifest.json", data)


def _prove(
    folder: Path,
    entry: ChannelEntry,
    keys: Sequence[PublicKey],
    load_engine: LoadEngine,
    backends: Sequence[str] | None,
) -> tuple[int, float]:
    """Load the engine from the files on this disk and replay the golden inputs; (how many, largest difference)."""
    release = read_manifest((folder / "manifest.json").read_bytes(), entry.release, keys)
    missing = [name for name in (ENGINE, METADATA, GOLDEN) if name not in release.files]
    if missing:
        raise IntegrityError(f"The release {release.id} has no {missing[0]}, so that it cannot be proved here.")
    blob, metadata, data = (_checked_file(folder, release, name) for name in (ENGINE, METADATA, GOLDEN))
    if backends is not None and release.backend not in backends:
        raise EngineError(
            f"The release {release.id} has an engine of {release.backend}, and this machine takes "
            f"{' or '.join(backends) or 'none'}: promote one that was built for it."
        )
    golden = Golden.read(data, release.provenance, release.id)
    try:
        return len(golden.obs), golden.replay(load_engine(blob, dict(canonical.loads(metadata))))
    except Gate5Error:
        raise
    except Exception as error:
        # A runtime library may raise anything; whatever it is, what runs must run on.
        raise EngineError(f"The engine of {release.id} does not run on this machine: {error}.") from error


def _checked_file(folder: Path, release: Release, name: str) -> bytes:
    data = (folder / "files" / name).read_bytes()
    if sha256(data) != release.files[name]:
        raise IntegrityError(f"{name} of {release.id} was damaged on this machine's disk.")
    return data


def _intact(folder: Path, release_id: str, keys: Sequence[PublicKey]) -> bool:
    try:
        release = read_manifest((folder / "manifest.json").read_bytes(), release_id, keys)
        for name in release.files:
            _checked_file(folder, release, name)
    except (OSError, IntegrityError):
        return False
    return True


def _running(root: Path) -> tuple[str, str] | None:
    """(release id, the manifest's hash) of what ``current`` points to."""
    try:
        entry = canonical.loads((root / "current" / "entry.json").read_bytes())
        return str(entry["release"]), sha256((root / "current" / "manifest.json").read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _switch(root: Path, folder: Path, keep_previous: bool) -> None:
    # A release that was damaged on the disk and is installed anew must not become its own fall-back.
    if (root / "current").is_dir() and not keep_previous:
        replace_link(root / "previous", os.readlink(root / "current"))
    replace_link(root / "current", os.path.relpath(folder, root))


def _prune(root: Path) -> None:
    """Remove what neither runs nor ran before, and what killed pulls left."""
    keep = {(root / name).resolve() for name in ("current", "previous")}
    for folder in (root / "releases").glob("*"):
        if folder.resolve() not in keep:
            shutil.rmtree(folder, ignore_errors=True)
    for name in (".current.*", ".previous.*"):
        for leftover in root.glob(name):
            leftover.unlink(missing_ok=True)


def _read_state(root: Path) -> dict[str, Any]:
    try:
        return dict(canonical.loads((root / "state.json").read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise StoreInputError(f"{root / 'state.json'} is damaged ({error}); look at it, and delete it.") from None


def _write_state(root: Path, state: Mapping[str, Any], entry: ChannelEntry) -> None:
    seen = {"sequence": entry.sequence, "entry_sha256": entry.sha256}
    channels = {**state.get("channels", {}), entry.channel: seen}
    write_atomically(root / "state.json", canonical.dumps({"channels": channels}))


def _result(
    outcome: Literal["installed", "already_current", "held"],
    entry: ChannelEntry,
    root: Path,
    before: tuple[str, str] | None,
    sentence: str,
    compared: int = 0,
    error: float | None = None,
) -> PullResult:
    path = str((root / "current").resolve()) if (root / "current").exists() else ""
    replaced = before[0] if before and outcome == "installed" else None
    return PullResult(outcome, entry.channel, entry.release, entry.sequence, path, replaced, compared, error, sentence)
