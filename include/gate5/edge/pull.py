"""What a plant's computer runs: fetch the channel's release, prove it on this machine, and only then switch to it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gate5.config.verdicts import AWAITING
from gate5.edge import proved
from gate5.edge.folder import (
    check_time,
    hold,
    keep_state,
    plant_folder,
    prune,
    read_state,
    running,
    seen_keys,
    switch,
    waiting,
    write_state,
)
from gate5.edge.golden import GOLDEN, Golden, pack_golden
from gate5.edge.limits import Limits
from gate5.edge.proved import ENGINE, PROOF, Device
from gate5.errors import EngineError, Gate5Error, IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import replace_link, sha256, sync_folders, write_atomically, write_pieces
from gate5.io.together import together
from gate5.store import ArtifactStore, ChannelEntry, Release
from gate5.store.artifact_store import Allowance
from gate5.store.candidate import identities
from gate5.store.channel import Log
from gate5.store.held import refuse_held, state_of
from gate5.store.keyring import KeyRing
from gate5.store.manifest import manifest_name, read_manifest
from gate5.store.signing import PublicKey

__all__ = ["ENGINE", "Limits", "PullResult", "fall_back", "pack_golden", "pull"]

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
    require_proof: bool = False,
) -> PullResult:
    """Bring this machine to the channel's current release.

    In this order: the entry's and the manifest's signatures; every file's hash; the plant's own limits; then
    ``load_engine``, which has to compare the hardware before it deserialises; then the golden inputs; then the proof,
    where one is asked for. Only then the newest entry is remembered, the link ``current`` is replaced, and what is no
    longer needed is removed. Where anything is wrong an error says what, and what ran before runs on. What lacks
    nothing but its proof waits behind the link ``candidate``, where ``gate5 prove`` finds it.

    Args:
        load_engine: ``(blob, metadata) -> Engine``, ``gate5.engine.load`` for one.
        backends: back ends that this machine takes; ``None``: what ``limits`` say.
        limits: the plant's own; ``None``: the default ones.
        require_proof: ask for a proof that the engine was measured on such a device; the limits, what the channel
            demands, and a release that Gate 5 says is awaiting proof ask for one, too.

    Raises:
        StoreInputError: nothing was ever promoted on the channel, or ``dest`` cannot be used.
        IntegrityError: a signature, a hash or a golden action is wrong, the channel's log went back in time, or there
            is no proof that counts.
        EngineError: the engine is not for this machine or cannot be loaded.
        RefusedError: the channel names a release that it holds.
        StoreError: the store failed, or another pull is running.
    """
    if not trusted_keys:
        raise StoreInputError("A pull needs at least one trusted key: give the *.pub file of `gate5 keygen`.")
    allowed = limits or Limits()
    if backends is not None:
        allowed = replace(allowed, backends=tuple(backends))
    with plant_folder(dest, store) as root:
        state = read_state(root)
        log = Log(store, channel, trusted_keys, seen_keys(root, state))
        entry = log.newest()
        if entry is None or not entry.release:
            raise StoreInputError(f"Nothing was ever promoted on the channel {channel} of {store.uri}.")
        ring = log.ring or trusted_keys
        if log.ring is not None and log.ring.version:
            state["keys"] = {"version": log.ring.version, "sha256": log.ring.sha256}
        check_time(root, state, entry)
        now = running(root)
        if state.get("held", {}).get("manifest_sha256") == entry.manifest_sha256:
            write_state(root, state, entry)
            return _held_back(root, entry, now, str(state["held"]["reason"]), ring)
        demands = ring.demands(channel) if isinstance(ring, KeyRing) else {}
        asked = require_proof or allowed.require_proof or bool(demands.get("require_proof"))
        place = _Place(store, root, entry, ring, load_engine, allowed, asked)
        if now and now[1] == entry.manifest_sha256 and _intact(root / "current", now[0], ring):
            place.still_proved((root / "current").resolve())
            write_state(root, state, entry)
            prune(root)
            return _result("already_current", entry, root, now, f"{entry.release} runs here already.")
        folder, compared, error = place.fetch()
        place.admit(folder, lambda: write_state(root, state, entry))
        write_state(root, {name: value for name, value in state.items() if name != "held"}, entry)
        switch(root, folder, keep_previous=now is not None and now[1] == entry.manifest_sha256)
        prune(root)
        instead = f" in place of {now[0]}" if now else ""
        shown = "; proved on such a device" if place.proof_shown else ""
        sentence = f"{entry.release} runs here now{instead}; {compared} golden inputs agree within {error:.3g}{shown}."
        return _result("installed", entry, root, now, sentence, compared, error)


def _held_back(
    root: Path, entry: ChannelEntry, now: tuple[str, str] | None, reason: str, keys: Sequence[PublicKey]
) -> PullResult:
    """The channel names what this machine holds back: what runs here runs on, if it is what it was."""
    if now is None or not _intact(root / "current", now[0], keys):
        raise IntegrityError(
            f"What runs in {root} was damaged on this machine's disk, and {entry.release}, which the channel "
            f"names, is held back here ({reason}): promote another release."
        )
    sentence = f"{entry.release} is held back here ({reason}); nothing was changed."
    return _result("held", entry, root, now, sentence)


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
        keep_state(root, {**read_state(root), "held": held})
        replace_link(root / "current", os.readlink(previous))
        now = running(root)
        return now[0] if now else ""


@dataclass
class _Place:
    """One pull: what is to come where, and who may say so."""

    store: ArtifactStore
    root: Path
    entry: ChannelEntry
    keys: Sequence[PublicKey]
    load_engine: LoadEngine
    limits: Limits
    asked: bool
    proof_shown: bool = False
    device: Device | None = None

    def fetch(self) -> tuple[Path, int, float]:
        """The release's folder, its golden inputs replayed: how many, and the largest difference."""
        folder = waiting(self.root, self.entry.manifest_sha256)
        there = folder is not None and _intact(folder, self.entry.release, self.keys)
        if folder is None or not there:
            folder = self.root / "releases" / f"{self.entry.release}.{secrets.token_hex(3)}"
        try:
            if not there:
                _download(self.store, self.entry, self.keys, folder, self.root, self.limits)
            return (folder, *self._replay(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # a pull that fails every minute must not fill the disk
            raise

    def still_proved(self, folder: Path) -> None:
        """Ask what runs already for its proof, where one is asked for."""
        release = self._release(folder)
        if self._needs_proof(release):
            self.device = proved.device_here(release.backend)  # to load an engine would disturb the one that drives
            if self.device is None:
                self._replay(folder)
            self._proof(folder, release)

    def admit(self, folder: Path, remember: Callable[[], None]) -> None:
        """Ask a release that is to run for its proof; without one it waits as the candidate.

        Raises:
            IntegrityError: there is none that counts.
        """
        release = self._release(folder)
        if not self._needs_proof(release):
            return
        try:
            self._proof(folder, release)
        except IntegrityError:
            remember()
            hold(self.root, folder)
            prune(self.root)
            raise

    def _needs_proof(self, release: Release) -> bool:
        return self.asked or release.verdict == AWAITING

    def _proof(self, folder: Path, release: Release) -> None:
        if self.device is None:
            raise IntegrityError(f"The engine of {release.id} does not say what it runs on, so no proof can be its.")
        found = proved.search(self.store, folder, release, self.keys, self.entry.channel, self.device)
        if found.proof is None:
            raise IntegrityError(found.sentence(release.id, self.device, self.root))
        if found.fetched:
            write_atomically(folder / PROOF, found.proof)
        self.proof_shown = True

    def _release(self, folder: Path) -> Release:
        return read_manifest((folder / "manifest.json").read_bytes(), self.entry.release, self.keys)

    def _replay(self, folder: Path) -> tuple[int, float]:
        """Load the engine from the files on this disk and replay the golden inputs."""
        release = self._release(folder)
        missing = [name for name in (ENGINE, METADATA, GOLDEN) if name not in release.files]
        if missing:
            raise IntegrityError(f"The release {release.id} has no {missing[0]}, so that it cannot be proved here.")
        blob, metadata, data = (_checked_file(folder, release, name) for name in (ENGINE, METADATA, GOLDEN))
        golden = Golden.read(data, release.provenance, release.id)
        self.limits.check(release, len(golden.obs), golden.tolerance)
        try:
            engine = self.load_engine(blob, dict(canonical.loads(metadata)))
            info = getattr(engine, "info", None)
            self.device = None if info is None else Device(str(info.device), dict(info.versions))
            return len(golden.obs), golden.replay(engine)
        except Gate5Error:
            raise
        except Exception as error:
            # A runtime library may raise anything; whatever it is, what runs must run on.
            raise EngineError(f"The engine of {release.id} does not run on this machine: {error}.") from error


def _download(
    store: ArtifactStore, entry: ChannelEntry, keys: Sequence[PublicKey], folder: Path, root: Path, limits: Limits
) -> None:
    data = store.backend.read(manifest_name(entry.release))
    if data is None:
        raise IntegrityError(f"The release {entry.release} is in the channel {entry.channel} but not in {store.uri}.")
    if sha256(data) != entry.manifest_sha256:
        raise IntegrityError(f"The manifest of {entry.release} is not the one that was promoted.")
    release = read_manifest(data, entry.release, keys)
    # No gate5 that knows of holds signs such an entry; an older one, or a stolen key, could.
    refuse_held(entry.channel, state_of(store, entry), identities(release))
    limits.check_size(release)
    allowance = Allowance(limits.max_bytes)
    wanted: list[tuple[Path, Iterable[bytes]]] = [
        (folder / "entry.json", [canonical.dumps(entry.to_dict())]),
        (folder / "manifest.json", [data]),
    ]
    for name, digest in release.files.items():
        wanted.append((folder / "files" / name, store.stream_blob(digest, allowance, release.sizes.get(name))))
    for target, _ in wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
    together(partial(write_pieces, *each) for each in wanted)
    sync_folders(folder, root)


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
