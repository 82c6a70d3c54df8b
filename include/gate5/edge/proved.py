"""Whether a release's engine was proved on a device like this one: by this machine, or by another of its kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate5.config.backends import BACKENDS
from gate5.engine.backends import backend
from gate5.errors import IntegrityError, StoreError
from gate5.store import ArtifactStore, Release
from gate5.store.proofs import kept, other_devices, read_proof, why_not
from gate5.store.signing import PublicKey

#: Beside a release's manifest: the proof that let it in, or that was made right here.
PROOF = "proof.json"
ENGINE = "engine/policy.engine"


@dataclass(frozen=True)
class Device:
    """What an engine runs on here.

    Attributes:
        name: the GPU's or CPU's.
        versions: of the library that runs it.
    """

    name: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Search:
    """What was found.

    Attributes:
        proof: the bytes of one that counts; ``None``: there is none.
        fetched: whether it came from the store.
        refused: where each other one lies and why it does not count.
        elsewhere: kinds of device that have proved this engine.
    """

    proof: bytes | None
    fetched: bool = False
    refused: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def sentence(self, release: str, device: Device, root: Path) -> str:
        """What a person has to know where there is none."""
        seen = "; ".join(self.refused[:3])
        others = f"; it was proved on {', '.join(self.elsewhere[:3])}" if self.elsewhere and not seen else ""
        return (
            f"{release} runs here only with a proof that was made on {device.name}, and none counts "
            f"({seen or 'there is none'}{others}): run `gate5 prove {root}`, then pull again."
        )


def device_here(backend_name: str | None) -> Device | None:
    """What an engine of this backend would run on here; ``None``: only a loaded engine can say."""
    if backend_name not in BACKENDS:
        return None
    found = backend(backend_name).runs_on()
    return None if found is None else Device(*found)


def search(
    store: ArtifactStore,
    folder: Path | None,
    release: Release,
    keys: Sequence[PublicKey],
    channel: str,
    device: Device,
) -> Search:
    """Look for a proof beside the release, then in the store.

    Args:
        folder: of the release on this machine; ``None``: it was not pulled.
        keys: trusted, as the store's keyring where there is one.
        channel: that the release comes from.
    """
    engine, refused = release.files.get(ENGINE, ""), list[str]()
    for where, data in _candidates(store, folder, engine, device):
        try:
            proof = read_proof(data, keys, f"The proof {where}")
        except IntegrityError as error:
            refused.append(str(error).rstrip("."))
            continue
        why = why_not(
            proof, keys, channel, engine_sha256=engine, manifest_sha256=release.manifest_sha256,
            device=device.name, versions=device.versions,
        )  # fmt: skip
        if why is None:
            return Search(data, folder is None or where != str(folder / PROOF))
        refused.append(f"the proof {where} does not count: {why}")
    return Search(None, False, tuple(refused), tuple(_elsewhere(store, engine)))


def _candidates(store: ArtifactStore, folder: Path | None, engine: str, device: Device) -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(OSError):  # none was made here
        if folder is not None:
            yield str(folder / PROOF), (folder / PROOF).read_bytes()
    yield from kept(store, engine, device.name)


def _elsewhere(store: ArtifactStore, engine: str) -> list[str]:
    try:
        return other_devices(store, engine)
    except StoreError:
        return []  # only for the message
