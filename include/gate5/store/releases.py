"""``publish`` and ``verify_release``: files and their signed manifest, complete before anyone can see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from gate5.config.verdicts import RELEASED
from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.io.together import together
from gate5.store import intents
from gate5.store.artifact_store import ArtifactStore
from gate5.store.manifest import (
    Release,
    checked_file_name,
    is_manifest_name,
    manifest_name,
    read_manifest,
    release_id,
    write_manifest,
)
from gate5.store.signing import PublicKey, Signer

_OWN_KEYS = "identity"


def publish(
    store: ArtifactStore,
    files: Mapping[str, bytes],
    provenance: Mapping[str, Any],
    signer: Signer | None = None,
    *,
    identity: Sequence[str] | None = None,
) -> Release:
    """Put a release into the store; no channel is touched.

    The files go first, the manifest last: a release exists from the instant at which its manifest does. Publishing
    the same again, after a kill or by another machine, gives the release that is there.

    Args:
        files: name -> bytes of everything that belongs to the release (engine, ONNX graph, reports, golden inputs).
        provenance: plain JSON types. Needed: ``plant`` (its id), ``engine`` (with ``backend``), ``gate`` (with
            ``verdict``, which must be ``pass``). Understood: ``checkpoint`` (``uri``, ``policy_sha256``,
            ``vecnormalize_sha256``), ``config``, ``approved_by``, ``built_with`` (``gate5.provenance.describe()``),
            ``run`` (``id``, ``started_on``, ``finished_on``), ``golden`` (see ``gate5.edge``). All else is kept too.
        signer: ``None``: the store's own.
        identity: names of the files that say whether two candidates are the same; ``None``: all files. With
            ``identity`` a candidate that was released before, whatever its measurements are this time, is that release.

    Raises:
        StoreInputError: a file's name, the provenance or the key cannot be used, or the verdict is not ``pass``.
        IntegrityError: something else lies where this release belongs.
        StoreError: the store failed, is not safe to use, or is being cleaned up.
    """
    signer = signer or store.signer
    _check_provenance(provenance)
    digests = {checked_file_name(name): sha256(data) for name, data in files.items()}
    sizes = {name: len(data) for name, data in files.items()}
    names = _checked_identity(identity, digests)
    found_id = release_id(str(provenance["plant"]), digests, names, signer.public_key.keyid)
    existing = find_release(store, found_id, [signer.public_key])
    if existing is not None:
        return _same_candidate(existing, digests, names)
    store.ensure_safe()
    intents.say(store, found_id, digests.values())
    blobs = {digest: files[name] for name, digest in digests.items()}
    puts = (partial(store.put_blob, data, digest) for digest, data in blobs.items())
    together((lambda: intents.refuse_running(store), *puts))
    manifest = write_manifest(digests, sizes, provenance, names, signer)
    if store.backend.create(manifest_name(found_id), manifest):
        return read_manifest(manifest, found_id, [signer.public_key])
    release = find_release(store, found_id, [signer.public_key])
    if release is None:
        raise IntegrityError(f"The manifest of the release {found_id} is gone again from the store {store.uri}.")
    return _same_candidate(release, digests, names)


def id_of(
    store: ArtifactStore, files: Mapping[str, bytes], plant: str, *, identity: Sequence[str] | None = None
) -> str:
    """The id that ``publish`` gives to the same arguments; nothing is written, and the store is not asked."""
    digests = {checked_file_name(name): sha256(data) for name, data in files.items()}
    return release_id(plant, digests, _checked_identity(identity, digests), store.signer.public_key.keyid)


def find_release(store: ArtifactStore, release: str, trusted_keys: Sequence[PublicKey] | None = None) -> Release | None:
    """A release's manifest, ``None`` where there is none of this id; blobs are not looked at.

    Args:
        trusted_keys: one of these must have signed it; ``None``: the signature is not verified.
    """
    data = store.backend.read(manifest_name(release))
    return None if data is None else read_manifest(data, release, trusted_keys)


def verify_release(store: ArtifactStore, release: str, trusted_keys: PublicKey | Iterable[PublicKey]) -> Release:
    """Verify a release's signature and every one of its files.

    Raises:
        StoreInputError: there is no such release.
        IntegrityError: the signature, the manifest or a file is wrong.
    """
    keys = list(trusted_keys) if isinstance(trusted_keys, Iterable) else [trusted_keys]
    found = find_release(store, release, keys)
    if found is None:
        raise StoreInputError(f"There is no release {release} in the store {store.uri}; `gate5 history` lists them.")
    blobs = {digest: found.sizes.get(name) for name, digest in found.files.items()}
    together(partial(store.check_blob, digest, size) for digest, size in sorted(blobs.items()))
    return found


def list_releases(store: ArtifactStore) -> list[str]:
    """The ids of all releases that are complete, sorted."""
    return [name.split("/")[1] for name in store.backend.list("releases/") if is_manifest_name(name)]


def _same_candidate(release: Release, files: Mapping[str, str], names: Sequence[str]) -> Release:
    """The release, if it is of these files: an id has 48 bits of their hash, and two may have the same one day."""
    if {name: release.files.get(name) for name in release.identity} != {name: files[name] for name in names}:
        raise IntegrityError(
            f"The id {release.id} belongs to another candidate already; change the configuration or a file of the "
            "release in any way, and publish again."
        )
    return release


def _check_provenance(provenance: Mapping[str, Any]) -> None:
    try:
        canonical.dumps(dict(provenance))
    except (TypeError, ValueError) as error:
        raise StoreInputError(f"The provenance holds something that JSON does not have ({error}).") from None
    if not isinstance(provenance.get("plant"), str) or not provenance["plant"]:
        raise StoreInputError("The provenance does not name the plant: give `plant`.")
    if _OWN_KEYS in provenance:
        raise StoreInputError("The provenance must not have the key `identity`: give it as an argument.")
    for section, key in (("engine", "backend"), ("gate", "verdict")):
        value = provenance.get(section)
        if not isinstance(value, Mapping) or not isinstance(value.get(key), str):
            raise StoreInputError(f"The provenance does not say {section}.{key}; nothing is released without it.")
    if provenance["gate"]["verdict"] not in RELEASED:
        raise StoreInputError(
            f"Gate 5's verdict on this candidate is {provenance['gate']['verdict']!r}: only a candidate that passes is "
            "released."
        )


def _checked_identity(identity: Sequence[str] | None, files: Mapping[str, str]) -> tuple[str, ...]:
    if not files:
        raise StoreInputError("A release without files was asked for; give at least the engine.")
    names = tuple(sorted(files if identity is None else set(identity)))
    missing = [name for name in names if name not in files]
    if missing or not names:
        raise StoreInputError(f"The release's identity names {missing or 'no file'}, which is not among its files.")
    return names
