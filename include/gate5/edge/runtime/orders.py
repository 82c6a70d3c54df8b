"""Orders of a person to a running supervisor: datagrams to a socket in the plant's folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gate5.errors import StoreInputError

NAME = "run.sock"
Kind = Literal["hand_over", "give_back"]


@dataclass(frozen=True)
class Order:
    """``hand_over``: the baseline is to drive; ``give_back``: the policy again."""

    kind: Kind
    text: str


class Orders:
    """The supervisor's end; only its own user can write to it."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # a runtime that was killed; that none is alive is known by now
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(os.fspath(self._path))
        except OSError as error:
            self._socket.close()
            raise StoreInputError(f"{self._path} cannot be made ({error}); use a shorter path.") from None
        finally:
            os.umask(before)
        self._socket.setblocking(False)

    def take(self) -> list[Order]:
        """What has come since the last call; what is not an order is passed over."""
        found: list[Order] = []
        while True:
            try:
                data = self._socket.recv(4096)
            except OSError:
                return found
            with contextlib.suppress(ValueError, KeyError, TypeError):
                plain = json.loads(data)
                if plain["kind"] in ("hand_over", "give_back"):
                    found.append(Order(plain["kind"], str(plain["text"])[:500]))

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def send(root: Path, order: Order) -> None:
    """Give a running supervisor an order.

    Raises:
        StoreInputError: none runs there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(json.dumps({"kind": order.kind, "text": order.text}).encode(), os.fspath(root / NAME))
        except OSError:
            raise StoreInputError(f"No `gate5 run` is in charge of {root}; there is nobody to tell.") from None
