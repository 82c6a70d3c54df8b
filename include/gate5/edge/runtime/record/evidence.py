"""``Summaries``: counts what comes from the supervisor, and hands a summary on after a stated time, at the end, or when
another release drives. ``Sender``: signs them and puts them into the store, whenever that answers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from gate5.edge.runtime.record.wire import HANDED_OVER, MISSED, POLICY, Hello, Period
from gate5.errors import Gate5Error
from gate5.io import canonical
from gate5.io.files import write_atomically

#: A summary that is not whole yet is kept this often, so that a process that is killed loses no more.
KEPT_S = 5.0
AGAIN_S, MOST_PAUSE_S = 5.0, 300.0
#: So many wait for a store that does not answer; then the oldest goes.
MOST_WAITING = 1000
#: How long the end of a run waits for the store.
END_S = 20.0


@dataclass
class _Count:
    """What has been counted of a stretch; arrays by constraint, actuator and observation."""

    periods: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    hand_overs: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    lost: int = 0
    heard: int = 0
    seen: int = 0
    number: int = 0
    first_ns: int = 0
    last_ns: int = 0
    margins: Any = np.inf
    apart: Any = 0.0
    largest: Any = 0.0
    below: Any = 0
    above: Any = 0
    low: Any = np.inf
    high: Any = -np.inf


class Summaries:
    """A sink of the recording process.

    Args:
        folder: where summaries wait for the store.
        plant: its name.
        every_s: how long one summary may cover.
    """

    def __init__(self, folder: Path, plant: str, every_s: float) -> None:
        self._folder, self._plant, self._every_s = folder, plant, every_s
        folder.mkdir(parents=True, exist_ok=True)
        self._current = folder / f"current-{_process(os.getpid())}.json"
        self._hello: Hello | None = None
        self._due = 0.0
        self._kept = 0.0
        self._count = _Count()
        self._adopt()

    def hello(self, hello: Hello) -> None:
        """Another release or mode: what was counted is of the last one."""
        self.finish()
        self._hello = hello

    def add(self, period: Period) -> None:
        """Count a period."""
        hello = self._hello
        if hello is None:
            return
        count = self._count
        if not count.periods:
            count.first_ns, self._due = period.time_ns, time.monotonic() + self._every_s
            count.number = period.number - 1
        count.lost += max(period.number - count.number - 1, 0)
        count.number, count.last_ns = period.number, period.time_ns
        count.periods[period.source] += 1
        if period.cause:
            count.causes[period.cause] += 1
        if period.flags & HANDED_OVER:
            count.hand_overs[period.cause or "hold"] += 1
        count.missed += bool(period.flags & MISSED)
        count.margins = np.fmin(count.margins, period.margins)
        if period.flags & POLICY:
            apart = np.abs(period.policy - period.baseline).astype(np.float64)
            if np.isfinite(apart).all():
                count.heard, count.apart = count.heard + 1, count.apart + apart
                count.largest = np.maximum(count.largest, apart)
        if hello.low:
            self._place(period, hello)

    def outcome(self, told: dict[str, str]) -> None:
        """What became of a newer release: a summary of its own, at once, for it may never have driven a period."""
        if self._hello is None:
            return
        at = _iso(time.time_ns())
        summary = {
            **self._about(self._hello), "release": told["release"], "began": at, "ended": at, "periods": {},
            "hand_overs": {}, "causes": {}, "missed": 0, "lost": 0, "margins": {}, "shadow": {}, "drift": {},
            "updates": [{"outcome": told["outcome"], "reason": told["reason"]}],
        }  # fmt: skip
        with contextlib.suppress(OSError):
            write_atomically(self._folder / f"{time.time_ns():020d}.json", canonical.dumps(summary))

    def second(self) -> None:
        """Twice a second: keep what is there, and hand it on when it is due."""
        if self._count.periods and time.monotonic() >= self._due:
            self.finish()
        elif self._count.periods and time.monotonic() >= self._kept:
            self._kept = time.monotonic() + KEPT_S
            with contextlib.suppress(OSError):
                write_atomically(self._current, canonical.dumps(self._summary()))

    def finish(self) -> None:
        """Hand on what was counted, and begin anew."""
        if self._count.periods:
            with contextlib.suppress(OSError):  # a full disk: this summary is lost, the recorder says why
                write_atomically(self._folder / f"{time.time_ns():020d}.json", canonical.dumps(self._summary()))
                self._current.unlink(missing_ok=True)
        self._begin()

    def _begin(self) -> None:
        self._count = _Count()
        self._kept = time.monotonic() + KEPT_S

    def _place(self, period: Period, hello: Hello) -> None:
        """Where each reading lies between the bounds of the envelope, 0 and 1."""
        count, low, high = self._count, np.array(hello.low), np.array(hello.high)
        at = (period.obs - low) / np.where(high > low, high - low, 1.0)
        count.seen += 1
        count.below, count.above = count.below + (at < 0.0), count.above + (at > 1.0)
        count.low, count.high = np.fmin(count.low, at), np.fmax(count.high, at)

    def _summary(self) -> dict[str, Any]:
        """The fields of ``gate5.store.evidence.Evidence``."""
        hello, count = self._hello, self._count
        assert hello is not None
        margins = np.broadcast_to(count.margins, len(hello.margins)).tolist()
        mean, largest = (np.broadcast_to(a, len(hello.actions)).tolist() for a in (count.apart, count.largest))
        drift: dict[str, dict[str, float]] = {}
        if count.seen:
            below, above = count.below / count.seen, count.above / count.seen
            columns = zip(hello.observations, below, above, count.low, count.high, strict=True)
            drift = {
                name: {"below": float(b), "above": float(a), "low": float(low), "high": float(high)}
                for name, b, a, low, high in columns
                if np.isfinite(low) and np.isfinite(high)
            }
        return {
            **self._about(hello), "began": _iso(count.first_ns), "ended": _iso(count.last_ns),
            "periods": dict(count.periods), "hand_overs": dict(count.hand_overs),
            "causes": dict(count.causes), "missed": count.missed, "lost": count.lost,
            "margins": {n: m for n, m in zip(hello.margins, margins, strict=True) if np.isfinite(m)},
            "shadow": {n: {"mean": m / count.heard, "largest": x}
                       for n, m, x in zip(hello.actions, mean, largest, strict=True) if count.heard},
            "drift": drift,
        }  # fmt: skip

    def _about(self, hello: Hello) -> dict[str, Any]:
        return {
            "plant": self._plant, "channel": hello.channel, "release": hello.release, "mode": hello.mode,
            "binding": hello.binding, "period_s": hello.period_s,
        }  # fmt: skip

    def _adopt(self) -> None:
        """Take over what a process that was killed had counted."""
        for path in sorted(self._folder.glob("current-*.json")):
            number, _, began = path.stem.removeprefix("current-").partition("-")
            if not number.isdigit() or _process(int(number)) != f"{number}-{began}":
                with contextlib.suppress(OSError):
                    path.rename(self._folder / f"{time.time_ns():020d}.json")


class Sender:
    """A thread that sends what waits in a folder, the oldest first; a store that is down is asked again later.

    Args:
        folder: of ``Summaries``.
        config: configuration file that names the store.
        key: private key file.
        say: told once when the store does not answer, and when it does again.
    """

    def __init__(self, folder: Path, config: str, key: str, say: Callable[[str], None]) -> None:
        self._folder, self._config, self._key, self._say = folder, config, key, say
        self._ends = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """One more attempt, with an end: what is not sent then is sent by the next run."""
        self._ends.set()
        self._thread.join(END_S)

    def _work(self) -> None:
        pause = AGAIN_S
        while True:
            last = self._ends.is_set()
            try:
                self._send_all()
                if self._trouble:
                    self._say("evidence: the store answers again")
                self._trouble, pause = "", AGAIN_S
            except (Gate5Error, OSError) as error:
                self._trouble, pause = self._told(str(error)), min(2.0 * pause, MOST_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - a client library's own: nothing here may end the recording
                self._trouble, pause = self._told(f"{type(error).__name__}: {error}"), min(2.0 * pause, MOST_PAUSE_S)
            if last:
                return
            self._ends.wait(pause)

    def _told(self, why: str) -> str:
        if not self._trouble:
            self._say(f"evidence waits in {self._folder} and is sent later: {why}")
        return why

    def _send_all(self) -> None:
        waiting = sorted(self._folder.glob("[0-9]*.json"))
        if len(waiting) > MOST_WAITING:
            self._say(f"evidence: more than {MOST_WAITING} summaries wait; the oldest are removed")
        for path in waiting[:-MOST_WAITING]:
            path.unlink(missing_ok=True)
        if not waiting:
            return
        from gate5 import store
        from gate5.config.models import ReleaseConfig
        from gate5.errors import DocumentError, IntegrityError
        from gate5.io.plain import from_plain
        from gate5.store import evidence

        opened = store.open_store(ReleaseConfig.load(self._config).store)
        signer = store.load_signer(self._key)
        for path in waiting[-MOST_WAITING:]:
            try:
                data = from_plain(evidence.Evidence, canonical.loads(path.read_bytes())).sign(signer)
                evidence.read_evidence(data, None)
            except FileNotFoundError:  # the process before this one was still at it
                continue
            except (ValueError, DocumentError, IntegrityError):
                self._say(f"evidence: {path} is damaged and is left out")
                path.rename(path.with_suffix(".damaged"))
                continue
            evidence.keep(opened, data)
            path.unlink(missing_ok=True)


def _process(number: int) -> str:
    """A process by its number and when it began: in a container each start has the same numbers again."""
    try:
        began = Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        began = "gone"
    return f"{number}-{began}"


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")
