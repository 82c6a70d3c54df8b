"""A proxy before an HTTP server that breaks one request of five: resets, lost answers, 503, cut bodies, delays.

    python -m scripts.faulty_proxy http://127.0.0.1:9000 --faults 0.2 --seed 1

Which request breaks, and how, follows from the seed and the order of the requests.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

#: What happens to a request that breaks.
KINDS = ("reset", "lost answer", "503", "cut body", "delay")
DELAY_S = 0.3
#: Headers that belong to one connection and are not handed on.
_OWN = ("connection", "transfer-encoding", "expect", "keep-alive")


class FaultyProxy:
    """The proxy in a thread of this process; a context manager.

    Args:
        target: the server's address.
        share: of the requests that break, 0 to 1.
        seed: of which and how.
        kinds: what may happen to them.

    Attributes:
        url: its own address.
        seen: how many requests there were, and how many of each kind broke.
    """

    def __init__(self, target: str, share: float, seed: int = 0, kinds: Sequence[str] = KINDS) -> None:
        parts = urlsplit(target)
        self.target, self.share = (parts.hostname or "127.0.0.1", parts.port or 80), share
        self.seen: collections.Counter[str] = collections.Counter()
        self._dice, self._lock, self._kinds = random.Random(seed), threading.Lock(), kinds
        proxy = self

        class Handler(_Handler):
            """Handler of this proxy."""

            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fate(self) -> str:
        """What happens to the next request: one of ``KINDS``, or nothing."""
        with self._lock:
            self.seen["requests"] += 1
            kind = self._dice.choice(self._kinds) if self._dice.random() < self.share else ""
            if kind:
                self.seen[kind] += 1
            return kind


class _Handler(BaseHTTPRequestHandler):
    """Hands one request on, or breaks it."""

    owner: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: without this each request takes 40 ms

    def log_message(self, *arguments: object) -> None:
        """Nothing: there are thousands."""

    def _serve(self) -> None:
        fate = self.owner.fate()
        if fate == "reset":
            return self._reset()
        body = self._body()
        if fate == "503":
            return self._answer(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
        if fate == "delay":
            time.sleep(DELAY_S)
        connection = http.client.HTTPConnection(*self.owner.target, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if fate == "lost answer":
            return self._reset()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN]
        return self._answer(answer.status, kept, found, cut=fate == "cut body")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _serve  # noqa: N815

    def _body(self) -> bytes | None:
        if "100-continue" in (self.headers.get("Expect") or "").lower():
            self.send_response_only(100)
            self.end_headers()
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else None

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in headers}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._reset()

    def _reset(self) -> None:
        """End the connection as a crashed server does (RST)."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="the server's address")
    parser.add_argument("--faults", type=float, default=0.2, help="share of the requests that break (default: 0.2)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with FaultyProxy(given.target, given.faults, given.seed) as proxy:
        print(proxy.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
