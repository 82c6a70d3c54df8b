"""Further signatures of a promotion, where a channel asks for more than one: each an object of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate5.errors import StoreInputError
from gate5.io import canonical
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.entry import checked_channel
from gate5.store.keyring import APPROVAL_TYPE, keyring, signer_may
from gate5.store.releases import verify_release
from gate5.store.signing import Signer, sign


def approve(store: ArtifactStore, channel: str, release: str, *, by: str, signer: Signer | None = None) -> str:
    """Sign that a release may be promoted on a channel; returns the key's id.

    Raises:
        StoreInputError: there is no such release, the key may not sign on this channel, or no name is given.
        IntegrityError: the release or the keyring is damaged.
    """
    signer = signer or store.signer
    ring = keyring(store, [signer.public_key, *store.trusted_keys])
    if not by.strip():
        raise StoreInputError("An approval needs a name: give --by.")
    at = now()
    signer_may(ring, signer, checked_channel(channel), at)
    found = verify_release(store, release, ring)
    key_id = str(signer.public_key.keyid)
    said = {"channel": channel, "release": found.id, "manifest_sha256": found.manifest_sha256, "by": by, "at": at}
    store.ensure_safe()
    store.backend.create(
        f"{_folder(channel, found.manifest_sha256)}{key_id[:32]}.json",
        sign(canonical.dumps(said), APPROVAL_TYPE, signer),
    )
    return key_id


def approvals_of(store: ArtifactStore, channel: str, manifest_sha256: str) -> list[Mapping[str, Any]]:
    """The envelopes that lie there for this manifest; whose they are is not looked at."""
    found = []
    for name in store.backend.list(_folder(channel, manifest_sha256), 32):
        data = store.backend.read(name)
        try:
            found.append(canonical.loads(data or b""))
        except ValueError:
            continue  # a stray; it counts for nothing
    return [envelope for envelope in found if isinstance(envelope, dict)]


def _folder(channel: str, manifest_sha256: str) -> str:
    return f"approvals/{channel}/{manifest_sha256}/"
