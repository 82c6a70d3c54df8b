"""``Mailbox``: one observation to the engine process and one action back, in anonymous shared memory.

The receiver takes a message only where its sequence number is the expected one before and after the copy and the
checksum over number and payload fits: a message that the other side is still writing, or writes anew, is not taken.
Waking goes by ``eventfd`` (a system call, so that the memory is ordered on every processor).
"""

from __future__ import annotations

import mmap
import os
import zlib
from dataclasses import dataclass

import numpy as np

from gate5.plant.base import Float32

_HEADER = 64
_WORDS = _HEADER // 8
READY = 1


@dataclass(frozen=True)
class Descriptors:
    """What the other process needs to open the same mailbox: file descriptors and sizes."""

    memory: int
    asked: int
    answered: int
    obs_dim: int
    act_dim: int


class Mailbox:
    """Both sides of the exchange; one process posts, the other answers."""

    def __init__(self, descriptors: Descriptors) -> None:
        self.at = descriptors
        size = 3 * _HEADER + 4 * (descriptors.obs_dim + descriptors.act_dim) + 128
        self._map = mmap.mmap(descriptors.memory, size)
        whole = np.frombuffer(self._map, dtype=np.uint8)
        # A memory view gives and takes a plain int in a third of the time that an array of one number needs.
        words = memoryview(self._map)[: 3 * _HEADER].cast("Q")
        self._state, self._ask, self._reply = (words[i * _WORDS : (i + 1) * _WORDS] for i in range(3))
        end = 3 * _HEADER + 4 * descriptors.obs_dim
        self._obs = whole[3 * _HEADER : end].view(np.float32)
        start = -(-end // 64) * 64
        self._action = whole[start : start + 4 * descriptors.act_dim].view(np.float32)

    @classmethod
    def create(cls, obs_dim: int, act_dim: int) -> Mailbox:
        """New shared memory; nothing of it remains once both processes are gone."""
        memory = os.memfd_create("gate5-mailbox", os.MFD_CLOEXEC)
        os.ftruncate(memory, 3 * _HEADER + 4 * (obs_dim + act_dim) + 128)
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        return cls(Descriptors(memory, os.eventfd(0, flags), os.eventfd(0, flags), obs_dim, act_dim))

    def close(self) -> None:
        """Close this side's descriptors."""
        for handle in (self.at.memory, self.at.asked, self.at.answered):
            os.close(handle)

    @property
    def ready(self) -> bool:
        """Whether the engine process has proved itself."""
        return self._state[0] == READY

    @property
    def process(self) -> int:
        """The engine process's id, once it has begun."""
        return self._state[1]

    def set_begun(self) -> None:
        """Say which process this is: one that hangs before it is ready has to be ended, too."""
        self._state[1] = os.getpid()

    def set_ready(self) -> None:
        """Say so."""
        self.set_begun()
        self._state[0] = READY
        _wake(self.at.answered)

    @property
    def warm(self) -> bool:
        """Whether the engine is to be kept warm while it waits: of the release that drives, and no other."""
        return bool(self._state[2])

    def set_warm(self, on: bool) -> None:
        """Say so; the engine process sees it with the next question."""
        self._state[2] = int(on)

    def post(self, number: int, obs: Float32, reset: bool) -> None:
        """Ask for the action to an observation; ``reset``: an episode starts, a policy's state is zero again."""
        self._ask[0] = 0
        self._obs[:] = obs
        self._ask[1], self._ask[2] = _check(number, self._obs), int(reset)
        self._ask[0] = number
        _wake(self.at.asked)

    def nudge(self) -> None:
        """Wake the other side: a question comes in a moment."""
        self._ask[0] = 0
        _wake(self.at.asked)

    def question(self, out: Float32) -> tuple[int, bool] | None:
        """Number and reset flag of a whole question, which is copied into ``out``; ``None``: there is none."""
        _drain(self.at.asked)
        number = self._ask[0]
        if number == 0:
            return None
        out[:] = self._obs
        check, reset = self._ask[1], bool(self._ask[2])
        whole = self._ask[0] == number and check == _check(number, out)
        return (number, reset) if whole else None

    def woken(self) -> None:
        """Wait for the next answer's wake-up from now on, not for one that has come; then look once more."""
        _drain(self.at.answered)

    def answer(self, number: int, action: Float32, taken_ns: int) -> None:
        """Answer the question of a number."""
        self._reply[0] = 0
        self._action[:] = action
        self._reply[1], self._reply[2] = _check(number, self._action), taken_ns
        self._reply[0] = number
        _wake(self.at.answered)

    def take(self, number: int, out: Float32) -> int | None:
        """The nanoseconds of a whole answer to the question of this number, copied into ``out``; ``None``: not yet."""
        if self._reply[0] != number:
            return None
        out[:] = self._action
        check, taken = self._reply[1], self._reply[2]
        return taken if self._reply[0] == number and check == _check(number, out) else None


def _check(number: int, payload: Float32) -> int:
    return zlib.crc32(payload, number & 0xFFFFFFFF)  # type: ignore[arg-type]  # a contiguous array is a buffer


def _wake(handle: int) -> None:
    try:
        os.eventfd_write(handle, 1)
    except BlockingIOError:
        return  # full: the other side will wake anyway


def _drain(handle: int) -> None:
    try:
        os.eventfd_read(handle)
    except BlockingIOError:
        return
