"""Sees an inference's end in its output: in mapped memory the action itself arrives, before the stream says so."""

from __future__ import annotations

from gate5.engine.base import Float32

#: A NaN that no computation gives: hardware makes 0x7fffffff or 0x7fc00000, and of an FP16 number's 23 bits the low 13
#: are zero. Should it arrive all the same, we wait for the stream.
UNWRITTEN = 0x7FC0DEA1
#: Numbers to watch at most; to look at more takes longer than what it saves.
LARGEST = 16
_LOOKS = 20_000


class Arrival:
    """Watches an output array that the GPU writes in place.

    The stream's own end comes some microseconds later, with the jitter of a call into the driver. Each number is looked
    at by itself, so neither the order in which they are written matters nor that the kernel has not ended; what is
    enqueued next on the stream comes after it anyway.
    """

    def __init__(self, output: Float32) -> None:
        """Watch ``output``, C-contiguous, ``LARGEST`` numbers at most."""
        self._words = memoryview(output.data).cast("B").cast("I")
        self._unwritten = memoryview(bytes(UNWRITTEN.to_bytes(4, "little") * output.size)).cast("I")

    def expect(self) -> None:
        """Mark all numbers as unwritten; before the launch."""
        self._words[:] = self._unwritten

    def seen(self) -> bool:
        """Look until all numbers are written; ``False`` after some milliseconds without: ask the stream then."""
        words, last = self._words, len(self._words) - 1
        for _ in range(_LOOKS):  # noqa: SIM110 - any() and a generator look half as often
            if words[last] != UNWRITTEN and UNWRITTEN not in words.tolist():
                return True
        return False

    def close(self) -> None:
        """Let the array go, so that its memory can be freed."""
        self._words.release()
