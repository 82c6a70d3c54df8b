"""What lies in a store and is none of gate5's stands in nobody's way, and hides nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError
from gate5.store import ArtifactStore, current, keygen, list_releases, load_public_keys, promote, publish
from gate5.store.channel import known_channels
from gate5.store.cleanup import clean
from gate5.store.directory import DirectoryBackend
from gate5.store.key_changes import add_key, close_key, demand
from gate5.store.keyring import keyring

SAID: dict[str, Any] = {"by": "me", "reason": "r"}
STRAYS = (
    "channels/", "channels/README.txt", "channels/Production/x.json", "channels/production/", "channels/other/notes",
    "releases/", "releases/manifest.json", "releases/Old/manifest.json", "releases/sco2-0123456789ab/a/manifest.json",
    "blobs/", "blobs/.DS_Store", "blobs/sha256/", "blobs/sha256/README", "intents/", "intents/x.json", "cleanups/",
    "keys/", "keys/0000.json",
)  # fmt: skip


def strew(store: ArtifactStore, names: tuple[str, ...]) -> None:
    """Put objects there as other programs do; S3's consoles make markers whose names end with a slash."""
    backend: Any = store.backend
    for name in names:
        if isinstance(backend, DirectoryBackend):
            if not name.endswith("/"):
                (backend.path / name).parent.mkdir(parents=True, exist_ok=True)
                (backend.path / name).write_bytes(b"not gate5's")
        else:
            backend.client.put_object(Bucket=backend.bucket, Key=f"{backend.prefix}/{name}", Body=b"")


@pytest.fixture
def other(opened: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    """Another machine, whose key is in the keyring."""
    keygen(tmp_path / "other" / "k.pem")
    machine = ArtifactStore(opened.backend, tmp_path / "other" / "k.pem")
    add_key(opened, machine.signer.public_key, name="other", **SAID)
    return machine


def test_a_key_ends_and_a_store_is_cleaned_whatever_lies_beside(
    opened: ArtifactStore,
    other: ArtifactStore,
    files: Callable[[object], dict[str, bytes]],
    provenance: Callable[..., dict[str, Any]],
) -> None:
    release = publish(opened, files(1), provenance())
    promote(opened, "production", release, approved_by="me")
    strew(opened, STRAYS)
    assert known_channels(opened) == ["production"]
    assert list_releases(opened) == [release.id]
    close_key(opened, other.signer.public_key.keyid, revoked=True, **SAID)
    demand(opened, "production", {"approvers": ["ada"]}, **SAID)
    assert clean(opened, keep=1, delete=True).kept == 1
    found = current(opened, "production", opened.trusted_keys)
    assert found
    assert found.release == release.id


def test_names_before_the_keyring_do_not_hide_it(opened: ArtifactStore, other: ArtifactStore) -> None:
    """Without its keyring a store trusts whatever a reader was given, keys that were revoked, too."""
    close_key(opened, other.signer.public_key.keyid, revoked=True, **SAID)
    trusted = load_public_keys([Path(str(opened.signing_key)).parent])
    version = keyring(opened, trusted).version
    strew(opened, tuple(f"keys/0{number:02}" for number in range(40)))
    assert keyring(ArtifactStore(opened.backend), trusted).version == version


def test_a_version_of_the_keyring_that_is_none_is_named(opened: ArtifactStore, other: ArtifactStore) -> None:
    """Whoever can write there can stop everybody; then it has to be said what to move away, and not what to restore."""
    strew(opened, ("keys/000000000007.json",))
    with pytest.raises(IntegrityError, match=r"keys/000000000007\.json .*`A forged or damaged entry`"):
        keyring(ArtifactStore(opened.backend), load_public_keys([Path(str(opened.signing_key)).parent]))
