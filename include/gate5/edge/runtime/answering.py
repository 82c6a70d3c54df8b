"""The engine process: opens a release's engine, proves it on the golden inputs, and answers until nobody asks."""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gate5 import engine
from gate5.edge.golden import GOLDEN, Golden
from gate5.edge.pull import ENGINE, METADATA
from gate5.edge.runtime import priority
from gate5.edge.runtime.mailbox import Descriptors, Mailbox
from gate5.engine.backends import backend
from gate5.errors import Gate5Error, IntegrityError
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.plant.base import Float32

WARM_UP = 200
#: So long an engine that was woken before its question watches for it.
NUDGED_S = 2 * priority.EARLY_S


def main(arguments: list[str]) -> int:
    """``answering FOLDER ORDER.json-text LINE MEMORY ASKED ANSWERED``; the supervisor starts it."""
    folder, order = Path(arguments[0]), canonical.loads(arguments[1].encode())
    line, memory, asked, answered = (int(text) for text in arguments[2:6])
    box = Mailbox(Descriptors(memory, asked, answered, int(order["obs_dim"]), int(order["act_dim"])))
    life = socket.socket(fileno=line)
    box.set_begun()
    try:
        controller = _prove(folder, order)
        with priority.stays_on(order.get("cpu")), priority.goes_first(priority.ENGINE, bool(order["realtime"])):
            answer(box, life, controller, _interval_ms(folder, order))
    except Gate5Error as error:
        life.sendall(str(error).encode()[:4000])
        return 3
    return 0


def _prove(folder: Path, order: dict[str, Any]) -> engine.EngineController:
    """The engine of the files that the supervisor verified; golden inputs first, so that it is warm and right."""
    data = {}
    for name in (ENGINE, METADATA, GOLDEN):
        data[name] = (folder / "files" / name).read_bytes()
        if sha256(data[name]) != order["files"][name]:
            raise IntegrityError(f"{name} in {folder} is not the released one: pull the release again.")
    golden = Golden.read(data[GOLDEN], order["provenance"], str(order["release"]))
    metadata, threads = dict(canonical.loads(data[METADATA])), int(order["threads"])
    golden.replay(engine.load(data[ENGINE], metadata, threads=threads, beside=folder))
    controller = engine.EngineController(engine.load(data[ENGINE], metadata, threads=threads, beside=folder))
    controller.reset(1)
    size = int(order["obs_dim"])
    for at in range(WARM_UP):
        row = golden.obs[at % len(golden.obs)]
        controller.predict(row[None, :size])  # a policy's state lies behind the observation
    controller.reset(1)
    return controller


def _interval_ms(folder: Path, order: dict[str, Any]) -> int | None:
    """How often a waiting engine is run; ``None``: never. What is configured, else what its backend wants."""
    told = order["keep_warm_ms"]
    if told is None:
        metadata = canonical.loads((folder / "files" / METADATA).read_bytes())
        told = backend(str(metadata["backend"])).keep_warm_ms
    return int(told) if told else None


def answer(box: Mailbox, life: socket.socket, controller: Any, warm_ms: int | None = None) -> None:
    """Answer every question until the supervisor is gone.

    Args:
        warm_ms: while nobody asks, and where the supervisor wants it, the last question is put to the engine again this
            often and the answer dropped: caches, clocks and a GPU's power state cool down in a gap. A question that
            comes meanwhile waits for one inference at most.
    """
    obs = np.zeros((1, box.at.obs_dim), np.float32)
    poll = select.poll()
    poll.register(box.at.asked, select.POLLIN)
    poll.register(life, select.POLLIN | select.POLLHUP)
    gc.freeze()
    box.set_ready()
    number = 0
    while True:
        ready = poll.poll(warm_ms if warm_ms is not None and box.warm else None)
        if not ready:
            controller.again()
            continue
        if any(handle == life.fileno() for handle, _ in ready):
            return
        found = _question(box, obs[0], number)
        if found is None:
            continue
        number, reset = found
        start = time.perf_counter_ns()
        if reset:
            controller.reset(1)
        action, _ = controller.predict(obs)
        box.answer(number, action[0], time.perf_counter_ns() - start)


def _question(box: Mailbox, out: Float32, answered: int) -> tuple[int, bool] | None:
    """The question that woke this process; where it was nudged, the one that comes in a moment.

    One that was read before its own wake-up came wakes once more. It is not answered twice: a policy may have a state.
    """
    until = time.perf_counter() + NUDGED_S
    while True:
        found = box.question(out)
        if found is not None and found[0] != answered:
            return found
        if time.perf_counter() >= until:
            return None


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a library's own threads must not keep a process that nobody asks
