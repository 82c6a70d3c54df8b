"""What a plant's computer runs: fetch the channel's release, prove it on this machine, and only then switch to it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gate5.edge.folder import check_time, plant_folder, prune, read_state, running, switch, write_state
from gate5.edge.golden import GOLDEN, Golden, pack_golden
from gate5.edge.limits import Limits
from gate5.errors import EngineError, Gate5Error, IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import make_directory, replace_link, sha256, write_atomically, write_pieces
from gate5.store import ArtifactStore, ChannelEntry, Release
from gate5.store.channel import Log
from gate5.store.manifest import manifest_name, read_manifest
from gate5.store.signing import PublicKey

__all__ = ["Limits", "PullResult", "fall_back", "pack_golden", "pull"]

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
    limits: Limits | None = None,
) -> PullResult:
    """Bring this machine to the channel's current release.

    In this order: the entry's and the manifest's signatures; every file's hash; the plant's own limits; then
    ``load_engine``, which has to compare the hardware before it deserialises; then the golden inputs. Only then the
    newest entry is remembered, the link ``current`` is replaced, and what is no longer needed is removed. Where
    anything is wrong an error says what, and what ran before runs on.

    Args:
        load_engine: ``(blob, metadata) -> Engine``, ``gate5.engine.load`` for one.
        backends: back ends that this machine takes; ``None``: what ``limits`` say.
        limits: the plant's own; ``None``: the default ones.

    Raises:
        StoreInputError: nothing was ever promoted on the channel, or ``dest`` cannot be used.
        IntegrityError: a signature, a hash or a golden action is wrong, or the channel's log went back in time.
        EngineError: the engine is not for this machine or cannot be loaded.
        StoreError: the store failed, or another pull is running.
    """
    if not trusted_keys:
        raise StoreInputError("A pull needs at least one trusted key: give the *.pub file of `gate5 keygen`.")
    allowed = limits or Limits()
    if backends is not None:
        allowed = replace(allowed, backends=tuple(backends))
    with plant_folder(dest, store) as root:
        state = read_state(root)
        log = Log(store, channel, trusted_keys, state.get("keys"))
        entry = log.newest()
        if entry is None or not entry.release:
            raise StoreInputError(f"Nothing was ever promoted on the channel {channel} of {store.uri}.")
        ring = log.ring or trusted_keys
        if log.ring is not None and log.ring.version:
            state["keys"] = {"version": log.ring.version, "sha256": log.ring.sha256}
        check_time(root, state, entry)
        now = running(root)
        held = state.get("held", {})
        if held.get("manifest_sha256") == entry.manifest_sha256:
            write_state(root, state, entry)
            sentence = f"{entry.release} is held back here ({held['reason']}); nothing was changed."
            return _result("held", entry, root, now, sentence)
        if now and now[1] == entry.manifest_sha256 and _intact(root / "current", now[0], ring):
            write_state(root, state, entry)
            prune(root)
            return _result("already_current", entry, root, now, f"{entry.release} runs here already.")
        folder = root / "releases" / f"{entry.release}.{secrets.token_hex(3)}"
        compared, error = _fetch_and_prove(store, entry, ring, folder, load_engine, allowed)
        write_state(root, {name: value for name, value in state.items() if name != "held"}, entry)
        switch(root, folder, keep_previous=now is not None and now[1] == entry.manifest_sha256)
        prune(root)
        instead = f" in place of {now[0]}" if now else ""
        sentence = f"{entry.release} runs here now{instead}; {compared} golden inputs agree within {error:.3g}."
        return _result("installed", entry, root, now, sentence, compared, error)


def fall_back(dest: str | os.PathLike[str], reason: str) -> str:
    """Switch back to what ran before, and hold the bad release back until the channel names another; returns its id.

    Raises:
        StoreInputError: nothing ran before, or no reason is given.
    """
    if not reason.strip():
        raise StoreInputError("A fall-back needs a reason; it is kept and shown at the next pull.")
    with plant_folder(dest) as root:
        bad, previous = running(root), root / "previous"
        if bad is None or not previous.is_dir() or previous.resolve() == (root / "current").resolve():
            raise StoreInputError(f"Nothing else ran in {root} before; there is nothing to fall back to.")
        held = {"manifest_sha256": bad[1], "reason": reason}
        write_atomically(root / "state.json", canonical.dumps({**read_state(root), "held": held}))
        replace_link(root / "current", os.readlink(previous))
        now = running(root)
        return now[0] if now else ""


def _fetch_and_prove(
    store: ArtifactStore,
    entry: ChannelEntry,
    keys: Sequence[PublicKey],
    folder: Path,
    load_engine: LoadEngine,
    limits: Limits,
) -> tuple[int, float]:
    try:
        _download(store, entry, keys, folder, limits)
        return _prove(folder, entry, keys, load_engine, limits)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a pull that fails every minute must not fill the disk
        raise


def _download(
    store: ArtifactStore, entry: ChannelEntry, keys: Sequence[PublicKey], folder: Path, limits: Limits
) -> None:
    data = store.backend.read(manifest_name(entry.release))
    if data is None:
        raise IntegrityError(f"The release {entry.release} is in the channel {entry.channel} but not in {store.uri}.")
    if sha256(data) != entry.manifest_sha256:
        raise IntegrityError(f"The manifest of {entry.release} is not the one that was promoted.")
    release = read_manifest(data, entry.release, keys)
    make_directory(folder / "files")
    left = limits.max_bytes
    for name, digest in release.files.items():
        target = folder / "files" / name
        make_directory(target.parent)
        left -= write_pieces(target, store.stream_blob(digest, left))
    write_atomically(folder / "entry.json", canonical.dumps(entry.to_dict()))
    write_atomically(folder / "manifest.json", data)


def _prove(
    folder: Path,
    entry: ChannelEntry,
    keys: Sequence[PublicKey],
    load_engine: LoadEngine,
    limits: Limits,
) -> tuple[int, float]:
    """Load the engine from the files on this disk and replay the golden inputs; (how many, largest difference)."""
    release = read_manifest((folder / "manifest.json").read_bytes(), entry.release, keys)
    missing = [name for name in (ENGINE, METADATA, GOLDEN) if name not in release.files]
    if missing:
        raise IntegrityError(f"The release {release.id} has no {missing[0]}, so that it cannot be proved here.")
    blob, metadata, data = (_checked_file(folder, release, name) for name in (ENGINE, METADATA, GOLDEN))
    golden = Golden.read(data, release.provenance, release.id)
    limits.check(release, len(golden.obs), golden.tolerance)
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
