"""``Installed``: a pulled release as it lies in a plant's folder, with every signature and hash checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5.checkpoint.signature import Signature
from gate5.config.evaluation import BaselineConfig
from gate5.config.models import ReleaseConfig
from gate5.control.baseline import open_baseline
from gate5.edge.pull import ENGINE, METADATA
from gate5.errors import ConfigError, IntegrityError, StoreInputError
from gate5.evaluation import envelope
from gate5.evaluation.envelope import Envelope
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.plant.base import Controller, Plant
from gate5.plant.registry import open_plant
from gate5.store.manifest import read_manifest
from gate5.store.signing import PublicKey


@dataclass(frozen=True)
class Installed:
    """A release that may drive.

    Attributes:
        id: of the release.
        channel: that it was pulled from.
        rollback: a person went back to it: it does not wait.
        folder: ``.../releases/ID.xxxxxx`` (not the link ``current``, which may move).
        files: name to SHA-256, as signed.
        provenance: as signed.
        config: what it was judged with.
        plant: what it was judged for; the source of names, bounds, constraints and period.
        envelope: what it was judged on; ``None``: a release from before there were envelopes.
        obs_dim, act_dim: what the plant gives and takes; a policy's state is the engine process's own.
    """

    id: str
    channel: str
    rollback: bool
    folder: Path
    files: Mapping[str, str]
    provenance: Mapping[str, Any]
    config: ReleaseConfig
    plant: Plant
    envelope: Envelope | None
    obs_dim: int
    act_dim: int

    def baseline(self, instead: BaselineConfig | None) -> Controller:
        """The controller that takes over: the configured one, else the one that the release was judged against.

        Raises:
            ConfigError: there is none, or it does not fit.
        """
        found = open_baseline(instead or self.config.baseline, self.plant)
        if found is None:
            raise ConfigError(
                f"The release {self.id} was judged against no baseline, and a plant needs one to hand over to: set "
                "baseline in the run's configuration."
            )
        return found


def read_installed(root: Path, keys: Sequence[PublicKey], link: str = "current") -> Installed:
    """The release behind a link of the plant's folder.

    Raises:
        StoreInputError: nothing was pulled there yet.
        IntegrityError: a signature, a hash or the envelope is wrong.
        ConfigError, PlantError: its plant cannot be opened here.
    """
    folder = (root / link).resolve()
    if not (folder / "manifest.json").is_file():
        raise StoreInputError(f"No release lies in {root}: run `gate5 pull {root} --trust KEY.pub` first.")
    try:
        entry = dict(canonical.loads((folder / "entry.json").read_bytes()))
        release = read_manifest((folder / "manifest.json").read_bytes(), str(entry["release"]), keys)
        for name, digest in release.files.items():
            if sha256((folder / "files" / name).read_bytes()) != digest:
                raise IntegrityError(f"{name} of {release.id} in {folder} was changed: pull the release again.")
        metadata = dict(canonical.loads((folder / "files" / METADATA).read_bytes()))
        signed = folder / "files" / envelope.FILE
        bounds = envelope.read(signed.read_bytes()) if envelope.FILE in release.files else None
        plain = release.provenance["config"]
        sizes = _sizes(metadata)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"The release in {folder} is damaged ({error!r}): pull it again.") from None
    if ENGINE not in release.files:
        raise IntegrityError(f"The release {release.id} has no {ENGINE}: pull another.")
    config = ReleaseConfig.parse(plain, f"the configuration of {release.id}")
    plant = open_plant(config.plant)
    channel, back = str(entry.get("channel", "")), entry.get("kind") == "rollback"
    found = Installed(
        release.id, channel, back, folder, release.files, release.provenance, config, plant, bounds, *sizes
    )
    _check_sizes(found)
    return found


def _sizes(metadata: Mapping[str, Any]) -> tuple[int, int]:
    if not metadata.get("signature"):
        return int(metadata["obs_dim"]), int(metadata["act_dim"])
    signature = Signature.from_dict(metadata["signature"])
    return signature.observed, signature.acted


def _check_sizes(found: Installed) -> None:
    has = found.plant.observation_space.size, found.plant.action_space.size
    if has != (found.obs_dim, found.act_dim):
        raise IntegrityError(
            f"The engine of {found.id} takes {found.obs_dim} and gives {found.act_dim} numbers, but its plant "
            f"{found.plant.name} has {has[0]} observations and {has[1]} actions: pull another release."
        )
    bounds = found.envelope
    if bounds is not None and (len(bounds.names), len(bounds.action_step)) != has:
        raise IntegrityError(
            f"The envelope of {found.id} is for {len(bounds.names)} observations and {len(bounds.action_step)} "
            f"actions, but its plant {found.plant.name} has {has[0]} and {has[1]}: pull another release."
        )
