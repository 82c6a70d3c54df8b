"""Dataclasses as signed documents: their fields beside a format number, without ``signed_by``, which is found out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from gate5.errors import DocumentError, IntegrityError
from gate5.io import canonical
from gate5.io.plain import from_plain, to_plain
from gate5.store.signing import PublicKey, open_envelope

T = TypeVar("T")
_FORMAT = 1


def payload(value: Any) -> bytes:
    """What is signed of a dataclass with a field ``signed_by``."""
    data = to_plain(value)
    del data["signed_by"]
    return canonical.dumps({"format": _FORMAT, **data})


def read_signed(
    kind: type[T], data: bytes, payload_type: str, keys: Sequence[PublicKey] | None, what: str, name: str
) -> T:
    """The dataclass from the bytes of its envelope.

    Args:
        keys: one of these must have signed it; ``None``: nobody's signature is looked at.
        what, name: the document and its kind in a sentence: "The proof x.json", "proof".

    Raises:
        IntegrityError: it is damaged or not signed by one of them.
    """
    opened = open_envelope(data, payload_type, keys, what)
    fields = opened.payload
    if not isinstance(fields, dict) or fields.pop("format", None) != _FORMAT or "signed_by" in fields:
        raise IntegrityError(f"{what} is damaged: it has not the fields of a {name}.")
    try:
        return from_plain(kind, {**fields, "signed_by": list(opened.verified_by)})
    except DocumentError as error:
        raise IntegrityError(f"{what} is damaged: {error}.") from None
