"""A real OPC UA server in a thread whose values, time stamps and qualities a test sets one by one."""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
from concurrent.futures import Future
from typing import Any

from asyncua import Server, ua


class Stamped:
    """Nodes ``ns=2;s=NAME``; use it in a ``with``."""

    def __init__(self, port: int, names: list[str]) -> None:
        self.url, self._names = f"opc.tcp://127.0.0.1:{port}/", names
        self._loop = asyncio.new_event_loop()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Stamped:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self._thread.start()
        self._started.result(60.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(60.0)
        self._loop.close()

    def put(self, values: dict[str, float], stamp: float, *, bad: bool = False) -> None:
        """Write values, all in one go between two requests, stamped with seconds since 1970."""
        asyncio.run_coroutine_threadsafe(self._put(values, stamp, bad), self._loop).result(60.0)

    async def _put(self, values: dict[str, float], stamp: float, bad: bool) -> None:
        code = ua.StatusCode(ua.StatusCodes.BadSensorFailure if bad else ua.StatusCodes.Good)
        at = datetime.datetime.fromtimestamp(stamp, datetime.timezone.utc)
        for name, value in values.items():
            written = ua.DataValue(ua.Variant(value, ua.VariantType.Double), StatusCode=code, SourceTimestamp=at)
            await self._server.write_attribute_value(ua.NodeId(name, 2), written)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # noqa: BLE001 - the test that waits is told
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        server: Any = Server()
        self._server = server
        await server.init()
        server.set_endpoint(self.url)
        index = await server.register_namespace("plant")
        for name in self._names:
            node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, 0.0)
            await node.set_writable()
        async with server:
            self._started.set_result(None)
            await self._end.wait()
