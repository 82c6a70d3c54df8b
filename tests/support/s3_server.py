"""A local S3 server: moto's, in a process of its own, with one request at a time.

moto checks and writes in two steps without a lock, so that two conditional writes at once can both win; ``atomic``
around its WSGI application puts that right. Objects are kept in memory and end with the process.

    with S3Server() as server:
        client = server.client()

    python -m tests.support.s3_server --port 9000 --bucket releases
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from gate5.errors import StoreError
from gate5.io.s3 import make_client

ACCESS_KEY = "testing"
SECRET_KEY = "testing-secret"
REGION = "us-east-1"

#: Where the package `tests` lies: whoever starts a server may stand anywhere.
ROOT = Path(__file__).resolve().parents[2]


class S3Server:
    """The server as a child process; a context manager.

    Args:
        authenticate: check access keys and signatures as AWS does. No key is valid then: every request is refused.
        middleware: ``module:function`` that wraps the WSGI application: how a test makes a server that misbehaves.
    """

    def __init__(self, *, authenticate: bool = False, middleware: str | None = None, path: str | None = None) -> None:
        self._arguments = [sys.executable, "-m", "tests.support.s3_server", "--port", "0", "--end-with-stdin"]
        if middleware:
            self._arguments += ["--middleware", middleware]
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT), os.getenv("PYTHONPATH")])),
        }
        if authenticate:
            self._environment["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> S3Server:
        self._process = subprocess.Popen(
            self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment
        )
        # It says its address or ends: however busy the machine is, no time limit is needed.
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith("http://"):
            self.__exit__(None, None, None)
            raise StoreError("The S3 server for tests did not start; is `moto[server]` installed?")
        self.url = line.strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    pipe.close()
            self._process = None

    def client(self) -> Any:
        """A boto3 client of this server, as gate5 makes it."""
        return make_client(self.url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)

    def environment(self) -> dict[str, str]:
        """The variables with which any S3 client finds this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }

    def bucket(self, name: str, *, versioned: bool = False) -> str:
        """Make a bucket; returns its name."""
        client = self.client()
        client.create_bucket(Bucket=name)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def atomic(application: Callable[..., Any]) -> Callable[..., Any]:
    """A WSGI application that serves one request after the other, its answer included.

    A body is read before the lock is taken, so that a slow sender holds nobody up.
    """
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length:
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with lock:
            answer = application(environ, start_response)
            try:
                chunks = list(answer)
            finally:
                close = getattr(answer, "close", None)
                if close is not None:
                    close()
        return iter(chunks)

    return serve


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended; prints the address first."""
    import importlib
    import logging

    from werkzeug.serving import make_server

    moto: Any = importlib.import_module("moto.server")
    parser = argparse.ArgumentParser(prog="python -m tests.support.s3_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0: a free one")
    parser.add_argument("--bucket", action="append", default=[], help="make this bucket; may be given again")
    parser.add_argument("--middleware", help="MODULE:FUNCTION that wraps the WSGI application")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input is closed")
    given = parser.parse_args(arguments)
    if given.end_with_stdin:
        # Closed also when the process that started this one is killed: no server is left behind.
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application: Callable[..., Any] = atomic(moto.DomainDispatcherApplication(moto.create_backend_app))
    if given.middleware:
        module, _, function = given.middleware.partition(":")
        application = getattr(importlib.import_module(module), function)(application)
    server = make_server(given.host, given.port, application, threaded=True)
    url = f"http://{given.host}:{server.server_port}"
    if given.bucket:
        worker = threading.Thread(target=server.serve_forever, daemon=True)
        worker.start()
        client = make_client(url, REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
        for name in given.bucket:
            client.create_bucket(Bucket=name)
        print(url, flush=True)
        worker.join()
    else:
        print(url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
