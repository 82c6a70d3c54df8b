"""A release's manifest: an in-toto Statement with SLSA provenance, in a signed DSSE envelope.

Sources: in-toto Attestation Framework v1 (Statement), SLSA v1.0 (Build provenance), DSSE v1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.io.names import is_plain_path
from gate5.store.signing import PublicKey, Signer, open_envelope, sign

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:gate5:release:v1"
BUILDER = "urn:gate5:builder"

_RELEASE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Release:
    """An immutable release.

    Attributes:
        id: derived from the content and the signing key, so that the same candidate has the same id.
        files: each file's name and SHA-256.
        manifest_sha256: of the manifest's bytes.
        signed_by: ids of the keys that say to have signed it.
        provenance: what was given to ``publish``.
        identity: the names of the files that the id was derived from.
        sizes: each file's bytes; empty in a manifest that was written before there were sizes.
    """

    id: str
    files: Mapping[str, str]
    manifest_sha256: str
    signed_by: tuple[str, ...]
    provenance: Mapping[str, Any]
    identity: tuple[str, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def backend(self) -> str | None:
        """The engine's back end (``tensorrt``, ``onnxruntime``)."""
        engine = self.provenance.get("engine")
        return engine.get("backend") if isinstance(engine, Mapping) else None

    @property
    def verdict(self) -> str | None:
        """Gate 5's verdict."""
        gate = self.provenance.get("gate")
        return gate.get("verdict") if isinstance(gate, Mapping) else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "files": dict(self.files),
            "manifest_sha256": self.manifest_sha256,
            "signed_by": list(self.signed_by),
            "provenance": dict(self.provenance),
            "identity": list(self.identity),
            "sizes": dict(self.sizes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Release:
        """The inverse of ``to_dict``."""
        return cls(
            data["id"],
            dict(data["files"]),
            data["manifest_sha256"],
            tuple(data["signed_by"]),
            dict(data["provenance"]),
            tuple(data["identity"]),
            dict(data.get("sizes", {})),
        )


def manifest_name(release_id: str) -> str:
    """Where a release's manifest lies."""
    return f"releases/{checked_release_id(release_id)}/manifest.json"


def checked_release_id(release_id: str) -> str:
    """``release_id`` if it can be one.

    Raises:
        StoreInputError: it cannot.
    """
    if not _RELEASE_ID.fullmatch(release_id):
        raise StoreInputError(
            f"{release_id!r} is not a release id: they look like sco2-0123456789ab, and `gate5 history` lists them."
        )
    return release_id


def is_manifest_name(name: str) -> bool:
    """Whether a name in the store is where a release's manifest lies."""
    parts = name.split("/")
    return (len(parts), parts[0], parts[-1]) == (3, "releases", "manifest.json") and bool(
        _RELEASE_ID.fullmatch(parts[1])
    )


def release_id(plant: str, files: Mapping[str, str], identity: Sequence[str], key_id: str) -> str:
    """``PLANT-<12 hex>``: the hash covers the named files' names and hashes and the key that signs.

    The key is part of it so that a release that is signed anew, after a change of keys, is another release: manifests
    are never overwritten.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", plant.lower()).strip("-")[:50].strip("-") or "plant"
    content = {"files": {name: files[name] for name in identity}, "key": key_id}
    return f"{slug}-{canonical.digest(content)[:12]}"


def checked_file_name(name: str) -> str:
    """A file's name in a release: a relative path that stays where it is put.

    Raises:
        StoreInputError: it is not.
    """
    if not is_plain_path(name) or ":" in name:
        raise StoreInputError(f"{name!r} is not a release file's name: use a plain relative path without '..'.")
    return name


def write_manifest(
    files: Mapping[str, str],
    sizes: Mapping[str, int],
    provenance: Mapping[str, Any],
    identity: Sequence[str],
    signer: Signer,
) -> bytes:
    """The manifest's bytes (Ed25519 is deterministic: equal arguments give equal bytes)."""
    given = dict(provenance)
    checkpoint = given.get("checkpoint") or {}
    run = given.pop("run", None) or {}
    config = given.pop("config", None)
    built_with = given.get("built_with") or {}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": files[name]}, "annotations": {"bytes": sizes[name]}}
            for name in sorted(files)
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"checkpoint": checkpoint.get("uri"), "config": config},
                "internalParameters": {**given, "identity": sorted(identity)},
                "resolvedDependencies": _dependencies(checkpoint, built_with),
            },
            "runDetails": {
                "builder": {"id": str(given.get("builder") or BUILDER), "version": _versions(built_with)},
                "metadata": {
                    "invocationId": run.get("id"),
                    "startedOn": run.get("started_on"),
                    "finishedOn": run.get("finished_on"),
                },
            },
        },
    }
    return sign(canonical.dumps(statement), PAYLOAD_TYPE, signer)


def read_manifest(data: bytes, expected_id: str, keys: Sequence[PublicKey] | None) -> Release:
    """Read a manifest and, with ``keys``, verify its signature.

    Raises:
        IntegrityError: it is damaged, is another release's, or no key of ``keys`` signed it.
    """
    what = f"The manifest of the release {expected_id}"
    opened = open_envelope(data, PAYLOAD_TYPE, keys, what)
    try:
        release = _from_statement(opened.payload, sha256(data), opened.claimed_by)
        plant = str(release.provenance["plant"])
        by = opened.claimed_by if keys is None else opened.verified_by
        derived = {release_id(plant, release.files, release.identity, key) for key in by}
    except (KeyError, TypeError, ValueError, AttributeError, StoreInputError) as error:
        raise IntegrityError(f"{what} is damaged: {type(error).__name__} at {error}.") from None
    if expected_id not in derived:
        raise IntegrityError(f"{what} belongs to another release ({', '.join(sorted(derived)) or 'unsigned'}).")
    return replace(release, id=expected_id, signed_by=tuple(by))


def _from_statement(statement: Any, manifest_sha256: str, signed_by: tuple[str, ...]) -> Release:
    if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
        raise ValueError("the statement's type")
    definition = statement["predicate"]["buildDefinition"]
    if definition["buildType"] != BUILD_TYPE:
        raise ValueError("the build type")
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for subject in statement["subject"]:
        name, digest = checked_file_name(subject["name"]), subject["digest"]["sha256"]
        if name in files or not _DIGEST.fullmatch(digest):
            raise ValueError(f"the subject {name!r}")
        files[name] = digest
        size = subject.get("annotations", {}).get("bytes")
        if size is not None and (type(size) is not int or size < 0):
            raise ValueError(f"the size of {name!r}")
        sizes |= {} if size is None else {name: size}
    inner = dict(definition["internalParameters"])
    identity = tuple(inner.pop("identity"))
    metadata = statement["predicate"]["runDetails"]["metadata"]
    provenance = {
        **inner,
        "config": definition["externalParameters"]["config"],
        "run": {
            "id": metadata["invocationId"],
            "started_on": metadata["startedOn"],
            "finished_on": metadata["finishedOn"],
        },
    }
    return Release("", files, manifest_sha256, signed_by, provenance, identity, sizes)


def _dependencies(checkpoint: Mapping[str, Any], built_with: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in ("policy", "vecnormalize"):
        digest = checkpoint.get(f"{name}_sha256")
        if digest:
            found.append({"name": name, "uri": checkpoint.get("uri"), "digest": {"sha256": digest}})
    commit = built_with.get("commit")
    if commit:
        found.append({"name": "gate5", "uri": "pkg:pypi/gate5", "digest": {"gitCommit": str(commit)}})
    return found


def _versions(built_with: Mapping[str, Any]) -> dict[str, str]:
    versions = {name: str(built_with[name]) for name in ("gate5", "python") if built_with.get(name)}
    libraries = built_with.get("libraries")
    if isinstance(libraries, Mapping):
        versions.update({str(name): str(version) for name, version in libraries.items()})
    return versions
