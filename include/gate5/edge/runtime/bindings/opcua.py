"""The OPC UA binding: observations are read from nodes and actions written to nodes, by a thread of its own.

All nodes are read in one request, several times a period; where the server is gone it is tried again every second.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from gate5.edge.runtime.bindings.clock import PlantClock
from gate5.edge.runtime.bindings.opcua_options import Item, Options, read_options
from gate5.edge.runtime.bindings.stamps import Stamps, measured
from gate5.edge.runtime.decision import Reading
from gate5.errors import ConfigError, StoreError
from gate5.plant.base import Float32, Plant

AGAIN_S = 1.0
CONNECT_S = 10.0
_EPOCH = datetime.datetime(1970, 1, 1)


class OpcUa:
    """One plant behind an OPC UA server.

    Args:
        plant: names of observations and actions.
        options: ``binding.options`` (``opcua_options``).
        period_s: of control.
        say: gets a line when the server goes and comes.

    Raises:
        ConfigError: options that do not fit the plant, or asyncua is not installed.
    """

    def __init__(
        self, plant: Plant, options: dict[str, Any], period_s: float, say: Callable[[str], None] = lambda text: None
    ) -> None:
        try:
            import asyncua  # noqa: F401 - only whether it is there
        except ImportError:
            raise ConfigError("The OPC UA binding needs asyncua: pip install 'gate5[plant]'.") from None
        self._options: Options = read_options(plant, options, period_s)
        self._period_s, self._say = period_s, say
        self._clock, self._stamps = PlantClock(say), Stamps(measured(plant))
        self._arrivals = PlantClock(say, wall=time.monotonic)  # where the server gives no stamps
        self._newest: tuple[Float32, list[float | None], float] | None = None
        self._why = "nothing was read yet"
        self._pending: Float32 | None = None
        self._loop = asyncio.new_event_loop()
        self._wake: asyncio.Event | None = None
        self._closing = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="opcua", daemon=True)
        self._types: list[Any] = []
        self._beats = 0
        self._refused = ""
        self._standing = np.full(len(self._options.actions), np.nan, np.float32)
        self._unstamped = False
        self.troubles = 0

    @property
    def address(self) -> str:
        return self._options.url

    def open(self) -> None:
        """Connect, and check every node.

        Raises:
            ConfigError: no server there, or a node that does not exist.
            StoreError: another runtime keeps the heartbeat going.
        """
        self._thread.start()
        try:
            self._opened.result(CONNECT_S + 2.0 * self._period_s)
        except concurrent.futures.TimeoutError:  # before Python 3.11 another class than the built-in one
            self.close()
            raise ConfigError(
                f"The OPC UA server at {self._options.url} does not answer: start it, or correct binding.options.url."
            ) from None

    def read(self) -> Reading:
        """What was read last."""
        newest = self._newest
        told: dict[str, Any] = {"refused": self._refused, "standing": self._standing}
        if newest is None:
            return Reading(None, why=self._why, **told)
        obs, stamps, came = newest
        stamp, was_set = self._stamps.newest(stamps)
        age = self._arrivals.age(came) if stamp is None else self._clock.age(stamp, went_back=was_set)
        return Reading(obs, age_s=age, **told)

    def write(self, action: Float32) -> None:
        """Hand an action to the thread; one that was not written yet is replaced."""
        self._pending = action
        if self._wake is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """Disconnect."""
        self._closing = True
        self.write(self._pending if self._pending is not None else np.zeros(0, np.float32))
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with contextlib.suppress(RuntimeError):
                self._loop.close()

    async def _serve(self) -> None:
        self._wake = asyncio.Event()
        while not self._closing:
            try:
                await self._session()
            except (ConfigError, StoreError) as error:
                if not self._opened.done():
                    self._opened.set_exception(error)
                    return
                self._lost(str(error))
            except Exception as error:  # noqa: BLE001 - whatever the library raises, the plant's server is not reachable
                if not self._opened.done():
                    self._opened.set_exception(_no_server(self._options.url, error))
                    return
                self._lost(f"{type(error).__name__}: {error}".rstrip(": "))
            if not self._closing:
                await asyncio.sleep(AGAIN_S)

    def _lost(self, why: str) -> None:
        self.troubles += 1
        self._why = f"the OPC UA server is gone ({why})"
        self._refused = self._why
        self._say(f"{self._why}; it is tried again every {AGAIN_S:g} s")

    async def _session(self) -> None:
        from asyncua import Client

        options = self._options
        client = Client(options.url, timeout=max(2.0 * self._period_s, 2.0))
        if options.user is not None:
            client.set_user(options.user)
            client.set_password(options.password())
        if options.security is not None:
            await client.set_security_string(options.security)
        async with client:
            observations = [await _node(client, item, "observations", options.url) for item in options.observations]
            actions = [await _node(client, item, "actions", options.url) for item in options.actions]
            self._types = [await node.read_data_type_as_variant_type() for node in actions]
            self._standing = await self._stands(actions)
            if options.heartbeat is not None:
                await self._listen(client)
            await self._read(client, observations)
            if self._opened.done():
                self._say("the OPC UA server is there again")
            else:
                self._opened.set_result(None)
            await self._exchange(client, observations, actions)

    async def _exchange(self, client: Any, observations: list[Any], actions: list[Any]) -> None:
        wake = self._wake
        assert wake is not None
        due = time.monotonic()
        while not self._closing:
            due = max(due + self._options.poll_s, time.monotonic())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(wake.wait(), max(due - time.monotonic(), 0.001))
            wake.clear()
            pending, self._pending = self._pending, None
            if pending is not None and pending.size == len(actions):
                await self._write(client, actions, pending)
            await self._read(client, observations)

    async def _write(self, client: Any, actions: list[Any], action: Float32) -> None:
        from asyncua import ua

        values = []
        for item, kind, value in zip(self._options.actions, self._types, action.tolist(), strict=True):
            values.append(ua.DataValue(ua.Variant(kind_value(item.to_plant(value), kind), kind)))
        codes = await client.write_values(actions, values, raise_on_partial_error=False)
        taken = np.array([code.is_good() for code in codes])
        self._standing = np.where(taken, action, self._standing)
        self._taken([f"{item.name}: {code.name}" for item, code in zip(self._options.actions, codes, strict=True)
                     if not code.is_good()])  # fmt: skip
        if self._options.heartbeat is not None:
            self._beats += 1
            node = client.get_node(self._options.heartbeat)
            await node.write_value(ua.DataValue(ua.Variant(self._beats, await node.read_data_type_as_variant_type())))

    async def _stands(self, actions: list[Any]) -> Float32:
        """Where the plant's actuators are told to be by now, float32 ``[act_dim]``; NaN where a node has no number."""
        found = np.full(len(actions), np.nan, np.float32)
        for i, (item, node) in enumerate(zip(self._options.actions, actions, strict=True)):
            with contextlib.suppress(TypeError, ValueError):
                found[i] = item.from_plant(float(await node.read_value()))
        return found

    def _taken(self, refused: list[str]) -> None:
        """Say what of an action the plant did not take, once, and when it takes all of it again."""
        self.troubles += len(refused)
        before, self._refused = self._refused, ", ".join(refused)
        if refused and not before:
            self._say(f"the plant does not take actions: {self._refused}")
        elif before and not refused:
            self._say("the plant takes actions again")

    async def _read(self, client: Any, nodes: list[Any]) -> None:
        found = await client.read_attributes(nodes)
        obs = np.full(len(nodes), np.nan, np.float32)
        stamps: list[float | None] = [None] * len(nodes)
        for i, (item, value) in enumerate(zip(self._options.observations, found, strict=True)):
            good = value.StatusCode is None or value.StatusCode.is_good()
            if not good and not (self._options.uncertain and value.StatusCode.is_uncertain()):
                continue
            stamp = value.SourceTimestamp if self._options.time == "source" else value.ServerTimestamp
            if stamp is not None and self._options.time != "none":
                stamps[i] = (stamp.replace(tzinfo=None) - _EPOCH).total_seconds()
            with contextlib.suppress(TypeError, ValueError, AttributeError):
                obs[i] = item.from_plant(float(value.Value.Value))
        unstamped = all(stamp is None for stamp in stamps) and self._options.time != "none"
        if unstamped and np.isfinite(obs).any() and not self._unstamped:
            self._unstamped = True
            self._say(
                f"the OPC UA server gives no {self._options.time} time stamps: how old a reading is, is seen only "
                "where it stands still (binding.options.time)"
            )
        self._newest = obs, stamps, time.monotonic()

    async def _listen(self, client: Any) -> None:
        """Another runtime's heartbeat beats within a period and a half."""
        node = client.get_node(self._options.heartbeat)
        try:
            before = await node.read_value()
            await asyncio.sleep(0.0 if self._opened.done() else 1.5 * self._period_s)
            after = await node.read_value()
        except Exception as error:  # noqa: BLE001 - the library's own are many
            raise _no_node(self._options.url, str(self._options.heartbeat), "heartbeat", error) from None
        if before != after and not self._opened.done():
            raise StoreError(
                f"Another runtime is in charge of the plant at {self._options.url}: its heartbeat went from {before} "
                f"to {after}; end it first."
            )
        self._beats = int(after or 0)


def kind_value(value: float, kind: Any) -> float | int | bool:
    """A number as the node's type takes it."""
    name = kind.name
    if name in ("Float", "Double"):
        return value
    return value >= 0.5 if name == "Boolean" else round(value)


async def _node(client: Any, item: Item, where: str, url: str) -> Any:
    try:
        node = client.get_node(item.node)
        await node.read_value()
    except Exception as error:  # noqa: BLE001 - the library's own are many
        raise _no_node(url, item.node, f"{where}.{item.name}", error) from None
    return node


def _no_node(url: str, node: str, where: str, error: Exception) -> Exception:
    if isinstance(error, (ConnectionError, asyncio.TimeoutError)):
        return error
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ConfigError(f"The OPC UA server at {url} has no node {node!r} ({reason}): correct binding.options.{where}.")


def _no_server(url: str, error: Exception) -> ConfigError:
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ConfigError(f"No OPC UA server answers at {url} ({reason}): start it, or correct binding.options.url.")
