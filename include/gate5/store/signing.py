"""Ed25519 keys and DSSE envelopes, through securesystemslib."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gate5.errors import IntegrityError, StoreInputError
from gate5.io import canonical
from gate5.io.files import create_exclusively, make_directory, sha256, write_atomically

Signer: TypeAlias = Any
"""A ``securesystemslib.signer.Signer``."""

PublicKey: TypeAlias = Any
"""A ``securesystemslib.signer.SSlibKey``."""


@dataclass(frozen=True)
class KeyPair:
    """Where a key pair lies.

    Attributes:
        private: the private key, PKCS#8 PEM, readable by its owner alone.
        public: the public key, PEM; the one to give away.
        key_id: what signatures call the key (a SHA-256 over the public key).
    """

    private: str
    public: str
    key_id: str

    def to_dict(self) -> dict[str, Any]:
        return {"private": self.private, "public": self.public, "key_id": self.key_id}


def keygen(path: str | os.PathLike[str], *, exist_ok: bool = False) -> KeyPair:
    """Make an Ed25519 key pair: the private key at ``path`` (mode 0600), the public key beside it (``.pub``).

    Args:
        exist_ok: a key that is there already is kept and described.

    Raises:
        StoreInputError: there is a key already (no key, nor a public one, is ever overwritten), or the path cannot be
            written.
    """
    crypto = _securesystemslib()
    target = Path(path).absolute()
    if target.suffix == ".pub":
        raise StoreInputError(f"{target} is a public key's name; give the private key's, such as release.pem.")
    public = public_key_path(target)
    if public.exists() and not target.exists():
        raise StoreInputError(
            f"There is no key at {target}, but a public key at {public}, which may be needed to verify what its key "
            "has signed: rename it (it has to stay a *.pub in this folder to be trusted), or give another path."
        )
    try:
        make_directory(target.parent)
        # Whoever loses a race of two keygens must not keep the key that was thrown away.
        data = crypto.CryptoSigner.generate_ed25519().private_bytes
        created = create_exclusively(target, data, target.parent, mode=0o600)
    except OSError as error:
        raise StoreInputError(f"No key can be written to {target} ({error.strerror}); choose another path.") from None
    if not created and not exist_ok:
        raise StoreInputError(
            f"There is a key at {target} already, and a key is never overwritten; move it away or give another path."
        )
    signer = load_signer(target)
    if not public.exists():
        write_atomically(public, _public_pem(signer.public_key))
        public.chmod(0o644)
    if _load_public_key(public).keyid != signer.public_key.keyid:
        raise StoreInputError(f"{public} is not the public key of {target}: rename it, and run the same command again.")
    return KeyPair(str(target), str(public), signer.public_key.keyid)


def public_key_path(private: Path) -> Path:
    """Where ``keygen`` puts the public key that belongs to a private one: ``release.pem`` -> ``release.pub``."""
    return private.with_suffix(".pub")


def load_signer(path: str | os.PathLike[str]) -> Signer:
    """The signer of an Ed25519 private key.

    Raises:
        StoreInputError: the file is missing, cannot be read, or is not an unencrypted Ed25519 private key.
    """
    crypto = _securesystemslib()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except FileNotFoundError:
        raise StoreInputError(
            f"There is no signing key at {path}: make one with `gate5 keygen {path}`, or set store.signing_key."
        ) from None
    except OSError as error:
        raise StoreInputError(f"The signing key {path} cannot be read ({error.strerror}).") from None
    except TypeError:
        raise StoreInputError(
            f"The signing key {path} has a password; give one without, as `gate5 keygen` does."
        ) from None
    except ValueError:
        raise StoreInputError(
            f"The signing key {path} is not a private key in PEM; make one with `gate5 keygen`."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreInputError(
            f"The signing key {path} is not an Ed25519 key ({type(key).__name__}); make one with `gate5 keygen`."
        )
    return crypto.CryptoSigner(key)


def load_public_keys(paths: Iterable[str | os.PathLike[str]]) -> list[PublicKey]:
    """The trusted keys of some public key files, or of all ``*.pub`` in some directories.

    Raises:
        StoreInputError: a file is missing or is not an Ed25519 public key, or there is no file at all.
    """
    files: list[Path] = []
    given = [Path(path) for path in paths]
    for path in given:
        files += sorted(path.glob("*.pub")) if path.is_dir() else [path]
    if not files:
        names = ", ".join(map(str, given)) or "nothing"
        raise StoreInputError(f"No trusted key was given ({names}): name a public key file (*.pub) of `gate5 keygen`.")
    return [_load_public_key(path) for path in files]


def public_key_of(public: str) -> PublicKey:
    """The Ed25519 public key of 64 hexadecimal digits.

    Raises:
        ValueError: they are none.
    """
    crypto = _securesystemslib()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return crypto.SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)))


def sign(payload: bytes, payload_type: str, signer: Signer) -> bytes:
    """A signed DSSE envelope, as canonical JSON.

    Raises:
        StoreError: the signer failed.
    """
    return sign_by_all(payload, payload_type, [signer])


def sign_by_all(payload: bytes, payload_type: str, signers: Iterable[Signer]) -> bytes:
    """The same with a signature of each signer."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    for signer in sorted(signers, key=lambda each: str(each.public_key.keyid)):
        envelope.sign(signer)
    return canonical.dumps(envelope.to_dict())


@dataclass(frozen=True)
class Opened:
    """What was in an envelope.

    Attributes:
        payload: the JSON that was signed.
        claimed_by: ids of the keys that say to have signed it.
        verified_by: ids of the keys whose signature holds; nobody's where no key was given.
        payload_sha256: of the signed bytes.
    """

    payload: Any
    claimed_by: tuple[str, ...]
    verified_by: tuple[str, ...]
    payload_sha256: str


def open_envelope(
    data: bytes, payload_type: str, keys: Sequence[PublicKey] | None, what: str, hint: str = ""
) -> Opened:
    """Read an envelope; with ``keys`` one of them must have signed it.

    Args:
        keys: trusted public keys; ``None``: the signature is not looked at.
        what: what a message calls it: ``The manifest of release x``.
        hint: where a reader finds the way out, put at the end of a message.

    Raises:
        IntegrityError: it is not such an envelope, or none of the keys signed it.
    """
    _securesystemslib()
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error, UnverifiedSignatureError, VerificationError

    try:
        envelope = Envelope.from_dict(canonical.loads(data))
        # White space, or another spelling of the same base64, would be other bytes under the same signature.
        if canonical.dumps(envelope.to_dict()) != data:
            raise ValueError("not canonical JSON")
        payload = canonical.loads(envelope.payload)
        claimed = tuple(sorted(envelope.signatures))
        kind = str(envelope.payload_type)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Error) as error:
        raise IntegrityError(
            f"{what} is damaged: it is not a DSSE envelope around JSON ({type(error).__name__}){hint}."
        ) from None
    if kind != payload_type:
        raise IntegrityError(f"{what} holds {kind[:80]!r} where {payload_type!r} belongs.")
    digest = sha256(envelope.payload)
    if keys is None:
        return Opened(payload, claimed, (), digest)
    accepted: list[str] = []
    for key in {key.keyid: key for key in keys if key.keyid in envelope.signatures}.values():
        with contextlib.suppress(UnverifiedSignatureError, VerificationError, ValueError):
            accepted += envelope.verify([key], threshold=1)
    if not accepted:
        trusted = ", ".join(key.keyid[:12] for key in keys) or "none"
        raise IntegrityError(
            f"{what} is not signed by a trusted key: signed by {', '.join(i[:12] for i in claimed) or 'nobody'}, "
            f"trusted: {trusted} (or its bytes were changed){hint}."
        )
    return Opened(payload, claimed, tuple(accepted), digest)


def _load_public_key(path: Path) -> PublicKey:
    crypto = _securesystemslib()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise StoreInputError(f"The trusted key {path} cannot be read ({error.strerror}); give a *.pub file.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise StoreInputError(
            f"The trusted key {path} is not a public key in PEM; give the *.pub file that `gate5 keygen` wrote."
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise StoreInputError(f"The trusted key {path} is not an Ed25519 key ({type(key).__name__}).")
    return crypto.SSlibKey.from_crypto(key)


def _public_pem(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _securesystemslib() -> Any:
    try:
        from securesystemslib import signer
    except ImportError:
        raise StoreInputError("Signatures need securesystemslib: run `pip install 'gate5[store]'`.") from None
    return signer
