"""Keys and envelopes."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.store import KeyPair, keygen, load_public_keys, load_signer
from gate5.store.signing import open_envelope, sign


def test_keygen(tmp_path: Path) -> None:
    pair = keygen(tmp_path / "deep" / "release.pem")
    private, public = Path(pair.private), Path(pair.public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public.name == "release.pub"
    assert b"PRIVATE" not in public.read_bytes()
    assert load_public_keys([public])[0].keyid == pair.key_id == load_signer(private).public_key.keyid
    assert sorted(path.name for path in private.parent.iterdir()) == ["release.pem", "release.pub"]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    pair = keygen(tmp_path / "k.pem")
    before = Path(pair.private).read_bytes()
    with pytest.raises(StoreInputError, match="a key is never overwritten"):
        keygen(tmp_path / "k.pem")
    Path(pair.public).unlink()
    assert keygen(tmp_path / "k.pem", exist_ok=True) == pair
    assert Path(pair.private).read_bytes() == before
    assert Path(pair.public).exists(), "a lost public key is made again from the private one"


def test_a_public_key_is_never_overwritten_either(tmp_path: Path) -> None:
    """The private key was moved away, as the message says; its public one still has to verify what it signed."""
    pair = keygen(tmp_path / "k.pem")
    Path(pair.private).rename(tmp_path / "safe.pem")
    for there in (False, True):
        with pytest.raises(StoreInputError, match=r"public key at .*k\.pub, which may be needed to verify"):
            keygen(tmp_path / "k.pem", exist_ok=there)
    assert load_public_keys([tmp_path / "k.pub"])[0].keyid == pair.key_id
    assert not (tmp_path / "k.pem").exists()
    Path(pair.public).rename(tmp_path / "old.pub")
    assert keygen(tmp_path / "k.pem").key_id != pair.key_id
    (tmp_path / "old.pub").replace(tmp_path / "k.pub")
    with pytest.raises(StoreInputError, match="is not the public key of"):
        keygen(tmp_path / "k.pem", exist_ok=True)


def test_keygens_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """Two `make setup` at once: both must end with the key that is on the disk."""
    barrier, pairs = threading.Barrier(6), list[KeyPair]()

    def run() -> None:
        barrier.wait()
        pairs.append(keygen(tmp_path / "k.pem", exist_ok=True))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == 6
    assert {pair.key_id for pair in pairs} == {load_signer(tmp_path / "k.pem").public_key.keyid}
    assert load_public_keys([tmp_path / "k.pub"])[0].keyid == pairs[0].key_id


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreInputError, match=r"no signing key at .*k\.pem: make one with `gate5 keygen"):
        load_signer(tmp_path / "k.pem")


def _pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key in PEM"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "not an Ed25519 key"),
        (_pem(ed25519.Ed25519PrivateKey.generate(), b"secret"), "has a password"),
    ],
    ids=["empty", "damaged", "another kind", "password"],
)
def test_keys_that_cannot_sign(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "k.pem").write_bytes(content)
    with pytest.raises(StoreInputError, match=sentence):
        load_signer(tmp_path / "k.pem")


def test_trusted_keys(tmp_path: Path) -> None:
    a, b = keygen(tmp_path / "a.pem"), keygen(tmp_path / "b.pem")
    assert [key.keyid for key in load_public_keys([tmp_path])] == [a.key_id, b.key_id]
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pem").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "empty").mkdir()
    for path, sentence in (
        ("a.pem", "not a public key"),
        ("ec.pem", "not an Ed25519 key"),
        ("none.pub", "cannot be read"),
        ("empty", "No trusted key was given"),
    ):
        with pytest.raises(StoreInputError, match=sentence):
            load_public_keys([tmp_path / path])
    with pytest.raises(StoreInputError, match="No trusted key was given"):
        load_public_keys([])
    with pytest.raises(StoreInputError, match="public key's name"):
        keygen(tmp_path / "c.pub")


@pytest.fixture(scope="module")
def envelope(signing_key: Path) -> Callable[[object], bytes]:
    signer = load_signer(signing_key)
    return lambda value: sign(json.dumps(value).encode(), "text/test", signer)


def test_an_envelope_opens_with_its_key_only(
    envelope: Callable[[object], bytes], signing_key: Path, tmp_path: Path
) -> None:
    data, keys = envelope({"a": 1}), load_public_keys([signing_key.with_suffix(".pub")])
    opened = open_envelope(data, "text/test", keys, "It")
    assert (opened.payload, opened.verified_by) == ({"a": 1}, (keys[0].keyid,))
    keygen(tmp_path / "other.pem")
    other = load_public_keys([tmp_path / "other.pub"])
    assert open_envelope(data, "text/test", [*other, *keys], "It").verified_by == (keys[0].keyid,)
    for wrong in (other, []):
        with pytest.raises(IntegrityError, match="It is not signed by a trusted key"):
            open_envelope(data, "text/test", wrong, "It")
    with pytest.raises(IntegrityError, match="It holds 'text/test' where 'text/other' belongs"):
        open_envelope(data, "text/other", keys, "It")


def test_a_key_that_borrows_a_trusted_name(
    envelope: Callable[[object], bytes], signing_key: Path, tmp_path: Path
) -> None:
    """The signature's key id is only a claim: a thief's signature under the trusted key's id must not pass."""
    keys = load_public_keys([signing_key.with_suffix(".pub")])
    keygen(tmp_path / "thief.pem")
    forged = json.loads(sign(b'{"a": 2}', "text/test", load_signer(tmp_path / "thief.pem")))
    forged["signatures"][0]["keyid"] = keys[0].keyid
    with pytest.raises(IntegrityError, match="not signed by a trusted key"):
        open_envelope(canonical.dumps(forged), "text/test", keys, "It")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_changed_byte_passes(data: st.DataObject, signing_key: Path) -> None:
    """Whatever byte of an envelope is changed: it is refused."""
    keys = load_public_keys([signing_key.with_suffix(".pub")])
    whole = sign(b'{"release": "sco2-0123456789ab", "sequence": 7}', "text/test", load_signer(signing_key))
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        open_envelope(bytes(changed), "text/test", keys, "It")


def test_another_spelling_of_the_same_envelope(signing_key: Path) -> None:
    """White space, the order of keys, other base64 of the same bytes: a plant must not see two of one entry."""
    keys = load_public_keys([signing_key.with_suffix(".pub")])
    whole = sign(b'{"a": 12}', "text/test", load_signer(signing_key))
    for data in (
        whole + b" ",
        whole.strip(),
        b"\n" + whole,
        json.dumps(json.loads(whole)).encode(),
        whole.replace(b'"payloadType"', b'"x": 1, "payloadType"'),
    ):
        with pytest.raises(IntegrityError):
            open_envelope(data, "text/test", keys, "It")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff", b'{"payload": 1, "payloadType": "t", "signatures": []}', b"[" * 5000],
)
def test_what_is_no_envelope(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        open_envelope(data, "text/test", None, "It")
