"""Proofs: what a device measured of an engine, signed, so that others of its kind need not measure again.

A proof is about a release (by hash, for its rules are what was judged), its engine, a device (by name) and the library
that runs the one on the other. It has no place in a log, so nothing but its key says when it was made: of a key that
has ended, no proof counts any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gate5.errors import StoreInputError
from gate5.io.files import sha256
from gate5.io.plain import to_plain
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.keyring import KeyRing
from gate5.store.signed import payload, read_signed
from gate5.store.signing import PublicKey, Signer, sign

PAYLOAD_TYPE = "application/vnd.gate5.proof+json"
#: A key that may sign here may sign proofs, and nothing else where this is its only channel.
SCOPE = "proofs"
#: Proofs of one engine by one kind of device that are looked at.
MOST = 32


@dataclass(frozen=True)
class Proof:
    """What was found, where.

    Attributes:
        release: id of the release that the engine came with.
        manifest_sha256: of that release.
        engine_sha256: of the engine's bytes.
        device: the GPU's or CPU's name: a proof holds for every device of this name.
        versions: of the library that ran the engine.
        verdict: ``pass``, ``fail`` or ``error``.
        at: when, UTC, ISO 8601.
        gate: every rule with what was measured, as ``GateReport.to_dict``.
        hardware: compute capability, driver, the one device's own id.
        measured: parity, latency, closed loop, start-up.
        machine: where, as ``provenance.describe``.
        signed_by: keys whose signature holds; not part of what is signed.
    """

    release: str
    manifest_sha256: str
    engine_sha256: str
    device: str
    versions: Mapping[str, str]
    verdict: str
    at: str
    gate: dict[str, Any]
    hardware: dict[str, Any]
    measured: dict[str, Any]
    machine: dict[str, Any]
    signed_by: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

    def payload(self) -> bytes:
        """What is signed."""
        return payload(self)

    def sign(self, signer: Signer) -> bytes:
        """The bytes of ``proof.json``."""
        return sign(self.payload(), PAYLOAD_TYPE, signer)


def read_proof(data: bytes, keys: Sequence[PublicKey] | None, what: str = "The proof") -> Proof:
    """A proof from its bytes.

    Args:
        keys: one of these must have signed it; ``None``: nobody's signature is looked at.

    Raises:
        IntegrityError: it is damaged or not signed by one of them.
    """
    return read_signed(Proof, data, PAYLOAD_TYPE, keys, what, "proof")


def signer_may_prove(keys: Sequence[PublicKey], key_id: str, channel: str, at: str) -> str | None:
    """``None`` if a key may sign proofs of what is on a channel; else why not."""
    if not isinstance(keys, KeyRing) or keys.version == 0:
        return None if key_id in {key.keyid for key in keys} else f"the key {key_id[:12]} is not trusted"
    reasons = [keys.may_sign(key_id, scope, at) for scope in (SCOPE, channel)]
    return None if None in reasons else reasons[0]


def why_not(
    proof: Proof,
    keys: Sequence[PublicKey],
    channel: str,
    *,
    engine_sha256: str,
    manifest_sha256: str,
    device: str,
    versions: Mapping[str, str],
) -> str | None:
    """Why a proof that was read with ``keys`` does not count here, as half a sentence; ``None``: it counts.

    Args:
        channel: that the engine comes from.
        engine_sha256: the engine that is to run.
        manifest_sha256: of its release: another one with the same engine may ask for more, and drive another plant.
        device, versions: what it would run on here, and by which library.
    """
    try:
        # Its own date proves nothing, so the key has to be one that may sign now, too.
        reasons = [
            next((why for at in (proof.at, now()) if (why := signer_may_prove(keys, key, channel, at))), None)
            for key in proof.signed_by
        ]
    except StoreInputError as error:
        return str(error).rstrip(".")
    if None not in reasons:
        return reasons[0] if reasons else "nobody signed it"
    if proof.engine_sha256 != engine_sha256:
        return f"it is of another engine ({proof.engine_sha256[:12]}, not {engine_sha256[:12]})"
    if proof.manifest_sha256 != manifest_sha256:
        return f"it is of another release ({proof.release}) with the same engine, whose rules are its own"
    if proof.device != device:
        return f"it was made on {proof.device}, and this is {device}"
    if dict(proof.versions) != dict(versions):
        return f"it was made with {_listed(proof.versions)}, and here is {_listed(versions)}"
    if proof.verdict != "pass":
        return f"its verdict is {proof.verdict}"
    return None


def keep(store: ArtifactStore, data: bytes) -> str:
    """Put a proof's bytes into the store, where every device of this kind finds it; returns the object's name.

    Raises:
        StoreError: the store failed or is not safe to use.
    """
    proof = read_proof(data, None)
    rank = 0 if proof.verdict == "pass" else 1  # listed by name: a device that fails every night must not hide one
    name = f"{_folder(proof.engine_sha256, proof.device)}{rank}{sha256(data)[:31]}.json"
    store.ensure_safe()
    store.backend.create(name, data)
    return name


def kept(store: ArtifactStore, engine_sha256: str, device: str) -> list[tuple[str, bytes]]:
    """Names and bytes of the proofs of an engine by devices of this name, whoever put them there."""
    names = store.backend.list(_folder(engine_sha256, device), MOST)
    found = ((name, store.backend.read(name)) for name in names)
    return [(name, data) for name, data in found if data is not None]


def other_devices(store: ArtifactStore, engine_sha256: str) -> list[str]:
    """Folders of the devices that proved an engine, for a message."""
    names = store.backend.list(f"proofs/{engine_sha256}/", MOST)
    return sorted({name.split("/")[2] for name in names})


def _folder(engine_sha256: str, device: str) -> str:
    return f"proofs/{engine_sha256}/{re.sub(r'[^A-Za-z0-9.]+', '-', device).strip('-.') or 'unnamed'}/"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "no version"
