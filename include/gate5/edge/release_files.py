"""A release's files wherever they lie, in a store or in a folder; each is compared with its signed hash when read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store import ArtifactStore, Release, find_release
from gate5.store.manifest import read_manifest
from gate5.store.signing import PublicKey


@dataclass(frozen=True)
class ReleaseFiles:
    """The files of one release.

    Attributes:
        release: the manifest's content.
        place: where the files lie, for a reader.
        verified: whether a trusted key signed the manifest; ``False``: no key was given.
        bytes_of: gives a file's bytes by name and hash.
    """

    release: Release
    place: str
    verified: bool
    bytes_of: Callable[[str, str], bytes]

    def find(self, name: str) -> bytes | None:
        """A file's bytes; ``None`` where the release has none of this name.

        Raises:
            IntegrityError: it is lost or is not what was signed.
        """
        digest = self.release.files.get(name)
        return None if digest is None else self.bytes_of(name, digest)

    def read(self, name: str) -> bytes:
        """As ``find``, but a file that the release does not have is an error."""
        data = self.find(name)
        if data is None:
            raise IntegrityError(f"The release {self.release.id} has no {name}; take one that Gate 5 made.")
        return data

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object among the files."""
        try:
            return dict(canonical.loads(self.read(name)))
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"{name} of the release {self.release.id} is no JSON object ({error}).") from None


def in_store(store: ArtifactStore, release: str, keys: Sequence[PublicKey] | None) -> ReleaseFiles:
    """The files of a release in a store.

    Args:
        release: its id.
        keys: one of these must have signed it; ``None``: not verified.

    Raises:
        StoreInputError: there is no such release.
        IntegrityError: the manifest is damaged or not signed by one of ``keys``.
    """
    found = find_release(store, release, keys)
    if found is None:
        raise StoreInputError(f"There is no release {release} in the store {store.uri}; `gate5 history` lists them.")
    return ReleaseFiles(found, store.uri, keys is not None, lambda _, digest: store.blob(digest))


def in_folder(folder: Path, keys: Sequence[PublicKey] | None) -> ReleaseFiles:
    """The files of a release that was pulled.

    Args:
        folder: of a plant (what runs there is meant), or of one release in it.
        keys: as above.

    Raises:
        StoreInputError: no release lies there.
        IntegrityError: the manifest is damaged or not signed by one of ``keys``.
    """
    place = (folder / "current" if (folder / "current").is_dir() else folder).resolve()
    try:
        data = (place / "manifest.json").read_bytes()
        identity = str(canonical.loads((place / "entry.json").read_bytes())["release"])
    except OSError:
        raise StoreInputError(
            f"No release lies in {folder}: give a folder that `gate5 pull` filled, or a release's id."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{place / 'entry.json'} is damaged ({error!r}): pull the release again.") from None

    def read(name: str, digest: str) -> bytes:
        try:
            found = (place / "files" / name).read_bytes()
        except OSError as error:
            raise IntegrityError(f"{name} of {identity} is gone from {place} ({error.strerror}).") from None
        if sha256(found) != digest:
            raise IntegrityError(f"{name} of {identity} in {place} is not what was signed: pull the release again.")
        return found

    return ReleaseFiles(read_manifest(data, identity, keys), str(place), keys is not None, read)
