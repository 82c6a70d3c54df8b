"""``Session``: everything of ``gate5 run`` around the loop: opens, locks, records, and closes again."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from gate5.config.run import RunConfig
from gate5.edge.folder import DRIVING, held_here
from gate5.edge.limits import Limits
from gate5.edge.runtime.bindings import open_binding
from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.loop import Observer, Tally, drive
from gate5.edge.runtime.notify import Notifier
from gate5.edge.runtime.orders import Orders
from gate5.edge.runtime.priority import EARLY_S, SUPERVISOR, check_cpus, goes_first, stays_on
from gate5.edge.runtime.record.link import RecordLink, recording_order
from gate5.edge.runtime.rehearsal import Rehearsal
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.edge.runtime.update import Update
from gate5.errors import ConfigError, EngineError, Gate5Error, StoreError, StoreInputError
from gate5.io.paths import resolve_path
from gate5.store.signing import load_public_keys

#: How often orders of a person are looked for, at most once a period.
LISTEN_S = 0.02
LOCK = ".run.lock"


@dataclass(frozen=True)
class RunResult:
    """What ``gate5 run`` came to; ``episodes`` are a simulator's."""

    release: str
    mode: str
    tally: dict[str, Any]
    updates: list[dict[str, Any]] = field(default_factory=list)
    episodes: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def line(self) -> str:
        """For a person."""
        t = self.tally
        late = ", ".join(f"{n} by {why.replace('_', ' ')}" for why, n in t["missed_by"].items())
        causes = ", ".join(f"{n} x {cause}" for cause, n in t["hand_overs"].items()) or "none"
        lines = [
            f"{e['scenario']}: return {e['reward']:.6g}, {e['violations']} violating steps of {e['steps']}"
            for e in self.episodes
        ]
        return "\n".join(
            [
                *lines,
                f"{self.release} ({self.mode}): {t['periods']} periods, policy {t['policy']}, "
                f"baseline {t['baseline']}, safe action {t['safe']}; "
                f"hand-overs: {causes}; periods missed: {t['missed']}{late and f' ({late})'}",
            ]
        )


class Session:
    """One run of one plant; use it in a ``with``.

    Args:
        root: the folder that ``gate5 pull`` filled.
        config: of the run.
        say: gets each line for the log: hand-overs, releases.

    Raises:
        InputError: nothing was pulled, no key, a CPU or a binding that is not there.
        StoreError: another runtime is in charge of this folder or plant.
        IntegrityError: the release does not verify.
    """

    def __init__(self, root: Path, config: RunConfig, say: Callable[[str], None]) -> None:
        if not config.trust:
            raise ConfigError("trust is empty: name the public key files (*.pub) that a release must be signed with.")
        check_cpus(config.cpu, config.engine.cpu)
        if config.update.pull is not None and config.update.pull.limits is not None:
            Limits.load(config.update.pull.limits)
        self.root, self.config, self._say = root, config, say
        self._open = contextlib.ExitStack()
        self._listens = 0.0
        self.records: RecordLink | None = None
        try:
            self.keys = load_public_keys([resolve_path(path) for path in config.trust])
            self.release = self._first()
            self._check_period()
            self._alone_in(root)
            self._alone(f"folder {root.resolve()}")
            self.binding: Binding = open_binding(
                config.binding, self.release, config.period_s or self.release.plant.dt_s, say
            )
            if self.binding.address:
                self._alone(f"plant {self.binding.address}")
            self.binding.open()
            self._open.callback(self.binding.close)
            self.launcher = Launcher()
            self._open.callback(self.launcher.close)
            self.link = EngineLink(self.release, self.launcher, config)
            self._open.callback(lambda: self.link.close())  # whichever drives by then
            self.runtime = PolicyRuntime(self.release, self.link, config)
            self.orders = Orders(root)
            self._open.callback(self.orders.close)
            self.notifier = Notifier()
            self._open.callback(self.notifier.close)
            self.update = Update(root, self.runtime, self.launcher, self.keys, say, self._changed, self._noted)
            self._open.callback(self.update.close)
            told = recording_order(config, root, say)
            if told is not None:
                self.records = RecordLink(told, self.launcher, self.runtime, self.release.channel, say)
                self._open.callback(self.records.close)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def wait_for_engine(self) -> None:
        """For a simulator alone: a real plant is controlled by the baseline meanwhile.

        Raises:
            EngineError: the engine process could not prove itself.
        """
        while not self.link.ready:
            trouble = self.link.check_start()
            if trouble is not None:
                raise EngineError(f"The engine of {self.release.id} does not start: {trouble[1]}.")
            time.sleep(0.02)

    def run(
        self,
        *,
        speed: float = 1.0,
        periods: int | None = None,
        observers: tuple[Observer, ...] = (),
        stop: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Control the plant until it ends or ``stop`` says so."""
        if speed == float("inf"):
            self.update.patience_s = self.runtime.deadline_s
        gc.freeze()  # what is there by now is not looked through again and again
        asked = self.config.realtime and speed != float("inf")
        with (
            stays_on(self.config.cpu),
            np.errstate(invalid="ignore"),
            goes_first(SUPERVISOR, asked) as refused,
        ):  # NaN is a reading, and no error
            if refused:
                self._say(f"realtime is not permitted here ({refused}): the control is scheduled as anything else")
            early = asked and not refused
            tally = drive(
                self.runtime, self.binding, speed=speed, periods=periods, stop=stop,
                observers=(
                    self._tell, self.update, *([self.records] if self.records else []), self.notifier, *observers
                ),
                between=self._between, early_s=EARLY_S if early else 0.0, rehearse=self._rehearsal() if early else None,
            )  # fmt: skip
        return self.result(tally)

    def result(self, tally: Tally) -> RunResult:
        """What the run came to so far."""
        episodes = [vars(e) for e in getattr(self.binding, "episodes", [])]
        return RunResult(
            self.runtime.release.id,
            self.config.mode,
            tally.to_dict(self.runtime.margins.names),
            self.update.outcomes,
            episodes,
        )

    def _between(self) -> None:
        now = time.monotonic()
        if now >= self._listens:
            self._listens = now + LISTEN_S
            self._listen()
        if self.config.update.follow:
            self.update.between()

    def _rehearsal(self) -> Rehearsal:
        made = Rehearsal(self.runtime)
        self._open.callback(made.close)
        return made

    def _listen(self) -> None:
        """What a person or the recording process says; a plant of 1 kHz does not ask in every period."""
        if self.records is not None:
            self.records.listen()
        for order in self.orders.take():
            if order.kind == "hand_over":
                self.runtime.hand_over(order.text)
            else:
                self.runtime.give_back()
                self._say(f"given back by a person: {order.text}")

    def _first(self) -> Installed:
        """What was proved in charge; what the channel names by now goes into shadow beside it."""
        if self.config.update.follow and (self.root / DRIVING).exists():
            try:
                newest = read_installed(self.root, self.keys)
                went_back = newest.rollback or held_here(self.root, (self.root / DRIVING).resolve())
                return newest if went_back else read_installed(self.root, self.keys, DRIVING)
            except Gate5Error as error:
                self._say(f"what drove last cannot be used ({error}); the folder's current release drives")
        return read_installed(self.root, self.keys)

    def _check_period(self) -> None:
        """The PID's gains, the forecast and the policy are for the plant's own step, and wrong in another."""
        told, step, binding = self.config.period_s, self.release.plant.dt_s, self.config.binding
        if told is None or math.isclose(told, step) or binding.test_rig or binding.kind == "simulator":
            return
        raise ConfigError(
            f"period_s is {told:g} s, but the plant's control step is {step:g} s, for which the release was judged: "
            "leave period_s out, or set binding.test_rig where no plant is behind it but a model that goes so."
        )

    def _changed(self) -> None:
        self.release, self.link = self.runtime.release, self.runtime.link
        if self.records is not None:
            self.records.changed()

    def _noted(self, outcome: dict[str, Any]) -> None:
        if self.records is not None:
            self.records.outcome(outcome)

    def _tell(self, reading: Reading, decision: Decision) -> None:
        if decision.handed_over:
            to = "the baseline" if decision.source == "baseline" else "the safe action"
            self._say(f"handed over to {to}: {decision.cause}: {decision.text}")
        elif decision.given_back:
            self._say("the policy drives again")

    def _alone_in(self, root: Path) -> None:
        """Hold the folder itself, too: the names below are those of one network namespace, which a container has of
        its own; the kernel frees both, whatever ends this process."""
        try:
            handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreInputError(
                f"{root} cannot be used ({error.strerror}); give a folder that can be written."
            ) from None
        self._open.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"Another `gate5 run` is in charge of the folder {root}; end it first.") from None

    def _alone(self, what: str) -> None:
        """Hold a name that the kernel frees with this process, whatever ends it."""
        name = "\0gate5-run-" + hashlib.sha256(what.encode()).hexdigest()[:32]
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(name)
        except OSError:
            holder.close()
            raise StoreError(f"Another `gate5 run` is in charge of the {what}; end it first.") from None
        os.set_inheritable(holder.fileno(), False)
        self._open.callback(holder.close)
