"""What an artifact store is kept in: three verbs, and nothing is ever overwritten."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from gate5.errors import IntegrityError, StoreInputError
from gate5.io.names import is_plain_path

#: Nothing that is read whole is larger [bytes]; what may be (blobs) is read as a stream.
LARGEST = 2**26
_CHARACTERS = re.compile(r"[A-Za-z0-9._/-]*")


class Backend(Protocol):
    """Immutable objects by name.

    Names are relative, of letters, digits, ``.``, ``_`` and ``-`` between slashes; no part begins with a dot.
    Every verb raises ``StoreError`` where the store fails and ``StoreInputError`` where its address is wrong.
    """

    uri: str
    """What a message calls the store; holds no secret."""

    identity: str
    """Equal for the same place and differs elsewhere: a probe's result counts for one place only."""

    def read(self, name: str) -> bytes | None:
        """A document's bytes, ``None`` where there is none of this name.

        Raises:
            IntegrityError: it has more than ``LARGEST`` bytes; not more than these were read.
        """
        ...

    def stream(self, name: str) -> Iterator[bytes] | None:
        """The same in pieces, for what may be larger than the memory; ``None`` where there is none of this name."""
        ...

    def list(self, prefix: str, limit: int | None = None) -> list[str]:
        """The first ``limit`` names (``None``: all) that start with ``prefix``, in byte order; not a part of an object
        that is still being written."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Create an object; ``False``, with nothing changed, where the name is taken.

        Of any number of callers at once exactly one gets ``True``. A caller that is told ``False`` may, after a lost
        answer of the network, be the one who created it: compare the bytes where that matters.
        """
        ...

    def stat(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        """Name, time of creation (seconds since 1970) and bytes of all objects that start with ``prefix``."""
        ...

    def now(self) -> float:
        """The time [s since 1970] by the clock that ``stat`` dates objects with; this machine's may be days off."""
        ...

    def remove(self, name: str) -> None:
        """Remove a manifest, a blob or an intent that a clean-up may take; no error where it is gone already."""
        ...

    def unsafe(self) -> str | None:
        """Why channels must not be kept here, one sentence; ``None``: the store itself says nothing of the kind."""
        ...

    def discard(self, name: str) -> None:
        """Remove an object under ``probe/``, the only ones that are ever removed; no error where that fails."""
        ...


def whole(pieces: Iterable[bytes], what: str) -> bytes:
    """The pieces of a document in one, if it is not larger than any document is.

    Raises:
        IntegrityError: it is.
    """
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise IntegrityError(f"{what} has more than {LARGEST} bytes: it is nothing that gate5 wrote; remove it.")
    return b"".join(found)


def checked_removal(name: str) -> str:
    """``name`` if it is of a kind that a clean-up removes: never an entry, a claim or a key.

    Raises:
        StoreInputError: it is not.
    """
    if not name.startswith(("blobs/sha256/", "releases/", "intents/")):
        raise StoreInputError(f"{name!r} is nothing that a clean-up removes.")
    return checked_name(name)


def checked_name(name: str) -> str:
    """``name`` if it is one that a backend takes.

    Raises:
        StoreInputError: it is not.
    """
    if not is_plain_path(name) or not _CHARACTERS.fullmatch(name):
        raise StoreInputError(
            f"{name!r} is not the name of an object in the store: use letters, digits, '.', '_' and '-' between "
            "slashes, no part beginning with a dot."
        )
    return name
