"""Each version of the keyring follows from the one before it, and so does the place in a log that it knows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.store import ArtifactStore, current, keygen, load_public_keys
from gate5.store.channel import Log, next_entry
from gate5.store.directory import DirectoryBackend
from gate5.store.entry import PAYLOAD_TYPE, entry_name
from gate5.store.hold_changes import hold
from gate5.store.key_changes import add_key, close_key
from gate5.store.keyring import PAYLOAD_TYPE as KEYS
from gate5.store.keyring import keyring, version_name
from gate5.store.signing import sign

SAID: dict[str, Any] = {"by": "me", "reason": "r"}


@pytest.fixture
def second(store: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    """Another machine, whose key may change the keyring, too."""
    keygen(tmp_path / "second" / "k.pem")
    machine = ArtifactStore(store.backend, tmp_path / "second" / "k.pem")
    (tmp_path / "second" / "first.pub").write_bytes(Path(str(store.signing_key)).with_suffix(".pub").read_bytes())
    add_key(store, machine.signer.public_key, name="second", root=True, **SAID)
    return machine


def write(store: ArtifactStore, **change: Any) -> None:
    """A next version as a program of a thief's own writes it, signed by one root key."""
    ring = keyring(store, store.trusted_keys)
    document = {**copy.deepcopy(dict(ring.document)), "version": ring.version + 1, "previous": ring.sha256, **change}
    assert store.backend.create(version_name(ring.version + 1), sign(canonical.dumps(document), KEYS, store.signer))


def read(store: ArtifactStore) -> Any:
    return keyring(ArtifactStore(store.backend), load_public_keys([Path(str(store.signing_key)).parent]))


def test_a_version_with_one_of_two_signatures(store: ArtifactStore, second: ArtifactStore, tmp_path: Path) -> None:
    """Nor one that lowers the threshold itself."""
    key = load_public_keys([Path(keygen(tmp_path / "third.pem").public)])[0]
    both = [store.signer, second.signer]
    add_key(store, key, name="third", threshold=2, signers=both, **SAID)
    root = read(store).document["root"]
    assert root["threshold"] == 2
    write(store, root={**root, "threshold": 1})
    with pytest.raises(IntegrityError, match="signed by 1 of 2 root keys"):
        read(store)


def test_a_version_that_follows_another_one(store: ArtifactStore, second: ArtifactStore) -> None:
    write(store, previous="0" * 64)
    with pytest.raises(IntegrityError, match="does not follow the one before"):
        read(store)


def test_a_root_key_that_has_ended_changes_nothing_any_more(store: ArtifactStore, second: ArtifactStore) -> None:
    close_key(store, second.signer.public_key.keyid, revoked=True, **SAID)
    third = load_public_keys([Path(keygen(Path(str(second.signing_key)).with_name("third.pem")).public)])[0]
    with pytest.raises(StoreInputError, match="needs 1 of the root keys"):
        add_key(second, third, name="third", **SAID)
    write(second)
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        read(store)


def test_another_entry_at_the_place_that_the_keyring_knows(store: ArtifactStore, second: ArtifactStore) -> None:
    """Whoever can remove objects, and has a good key, puts another history there."""
    assert isinstance(store.backend, DirectoryBackend)
    hold(store, "production", "a" * 64, **SAID)
    close_key(store, second.signer.public_key.keyid, revoked=False, **SAID)
    log = Log(store, "production", store.trusted_keys)
    other = next_entry(log, log.at(1), kind="keys", **SAID)
    (store.backend.path / entry_name("production", 2)).unlink()
    assert store.backend.create(entry_name("production", 2), sign(other.payload(), PAYLOAD_TYPE, store.signer))
    with pytest.raises(IntegrityError, match="not the one that the keyring knows"):
        current(ArtifactStore(store.backend), "production", store.trusted_keys)
