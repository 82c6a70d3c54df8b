"""Sees an inference's end in its output: in mapped memory the action itself arrives, before the stream says so."""

from __future__ import annotations

from gate5.engine.base import Float32

#: A NaN that no computation gives: hardware makes 0x7fffffff or 0x7fc00000, and of an FP16 number's 23 bits the low 13
#: are zero. Should it arrive all the same, we wait for the stream.
UNWRITTEN = 0x7FC0DEA1
#: Numbers to watch at most; to look at more takes longer than what it saves.
LARGEST = 16
#: How often to look before the stream is asked: for some milliseconds.
LOOKS = 20_000


class Arrival:
    """An output array that the GPU writes in place, as words to be looked at.

    The stream's own end comes some microseconds later, with the jitter of a call into the driver. Each number is looked
    at by itself, so neither the order in which they are written matters nor that the kernel has not ended; what is
    enqueued next on the stream comes after it anyway.

    Attributes:
        words: the output's numbers as unsigned 32-bit words.
        unwritten: as many times ``UNWRITTEN``, to be put there before the launch.
    """

    def __init__(self, output: Float32) -> None:
        """Watch ``output``, C-contiguous, ``LARGEST`` numbers at most."""
        self.words = memoryview(output.data).cast("B").cast("I")
        self.unwritten = memoryview(bytes(UNWRITTEN.to_bytes(4, "little") * output.size)).cast("I")

    def close(self) -> None:
        """Let the array go, so that its memory can be freed."""
        self.words.release()
