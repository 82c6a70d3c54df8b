"""``gate5 prove`` of a release in the store, for a worker that has the device and pulls nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gate5 import engine, store
from gate5.config.models import ReleaseConfig
from gate5.edge.proved import device_here, search
from gate5.edge.pull import METADATA
from gate5.edge.release_files import ReleaseFiles, in_store
from gate5.errors import ConfigError, StoreInputError
from gate5.gate.report import GateReport
from gate5.pipeline.prove import EPISODES, check_files, measure
from gate5.provenance import now
from gate5.store import proofs
from gate5.store.keyring import keyring
from gate5.store.signing import PublicKey, Signer


@dataclass(frozen=True)
class ProvedThere:
    """What became of it.

    Attributes:
        proof: that counts now, or that says why the engine fails.
        made: by this call; ``False``: one was there.
        stored: its name in the store; empty: it was there.
    """

    proof: proofs.Proof
    made: bool
    stored: str = ""

    @property
    def sentence(self) -> str:
        """For a person."""
        found = self.proof
        if not self.made:
            return f"{found.release} was proved on {found.device} at {found.at}; nothing is measured again."
        if found.verdict == "pass":
            return f"{found.release} is proved on {found.device}: {self.stored} of the store."
        why = "; ".join(GateReport.from_dict(found.gate).reasons) or "no rule says why"
        word = "fails" if found.verdict == "fail" else "could not be judged"
        return f"{found.release} {word} on {found.device}: {why}."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; of the proof what a reader needs."""
        found = self.proof
        return {
            "release": found.release, "device": found.device, "verdict": found.verdict, "at": found.at,
            "made": self.made, "stored": self.stored, "sentence": self.sentence,
        }  # fmt: skip


def prove_stored(
    config: ReleaseConfig,
    release: str | None,
    *,
    key: str | None = None,
    episodes: int = EPISODES,
    say: Callable[[str], None] = lambda _: None,
) -> ProvedThere:
    """Prove a release on this machine and put the proof into the store, unless one that counts here is there.

    Args:
        config: names store and channel; its keys are trusted.
        release: id; ``None``: the channel's current one.
        key: private key file that signs; ``None``: ``store.signing_key``.
        episodes: of each scenario.
        say: called with a line for each part.

    Raises:
        StoreInputError: nothing was promoted, there is no such release, or no proof by this key would count.
        ConfigError: the engine is not for this machine, or its plant or a library is missing here.
        EngineError, IntegrityError, StoreError: see ``measure``.
    """
    opened, channel = store.open_store(config.store), config.release.channel
    own = [opened.signer.public_key, *opened.trusted_keys]
    if release is None:
        entry = store.current(opened, channel, own)
        if entry is None:
            raise StoreInputError(f"Nothing was ever promoted on the channel {channel} of {opened.uri}.")
        release = entry.release
    ring = keyring(opened, own)
    known: Sequence[PublicKey] = ring if len(ring) else own
    files = in_store(opened, release, known)
    check_files(files)
    there = _there(opened, files, known, channel)
    if there is not None:
        return ProvedThere(there, made=False)
    signer = signer_of(opened, key, known, channel)
    why = engine.elsewhere(files.read_json(METADATA))
    if why is not None:
        raise ConfigError(f"{release} cannot be proved on this worker: {why.rstrip('.')}.")
    proof = measure(files, episodes=episodes, say=say)
    return ProvedThere(proof, True, proofs.keep(opened, proof.sign(signer)))


def signer_of(opened: store.ArtifactStore, key: str | None, known: Sequence[PublicKey], channel: str) -> Signer:
    """What signs the proof.

    Args:
        key: private key file; ``None``: the store's own.
        known: keys that are trusted, as the store's keyring where there is one.

    Raises:
        StoreInputError: no proof by this key would count.
    """
    signer = store.load_signer(key) if key else opened.signer
    why = proofs.signer_may_prove(known, signer.public_key.keyid, channel, now())
    if why is not None:
        raise StoreInputError(
            f"A proof signed with this key would not count: {why}; give another --key, or let this one sign with "
            f"`gate5 keys add KEY.pub --channel {proofs.SCOPE}`."
        )
    return signer


def _there(
    opened: store.ArtifactStore, files: ReleaseFiles, known: Sequence[PublicKey], channel: str
) -> proofs.Proof | None:
    """A proof in the store that counts on this machine."""
    device = device_here(str(files.read_json(METADATA).get("backend")))
    if device is None:
        return None
    found = search(opened, None, files.release, known, channel, device)
    return None if found.proof is None else proofs.read_proof(found.proof, known)
