"""An inference's end, seen in its output; the "GPU" is a thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from gate5.engine.tensorrt import arrival
from gate5.engine.tensorrt.graph import CudaGraph
from gate5.errors import EngineError


def test_every_number_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One number is not all of them, whichever comes last; a NaN of the policy has arrived too."""
    monkeypatch.setattr(arrival, "LOOKS", 10**8)
    output = np.zeros((1, 4), np.float32)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        driver = _Driver(output, {index: np.nan if index == 1 else index for index in order})
        driver.graph().watched(arrival.Arrival(output))()
        assert output.tobytes() == np.array([[0, np.nan, 2, 3]], np.float32).tobytes()
        assert driver.waited == 0


def test_unwritten_is_no_fp16_number() -> None:
    """No FP16 engine can send it: an action that is just this one would look as if it never came."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    assert arrival.UNWRITTEN not in every


class _Driver:
    """An imitation of cuda-bindings' driver: at a launch the "GPU" writes number by number in a thread, or never."""

    def __init__(self, output: Any, values: dict[int, float], code: int = 0) -> None:
        self.output, self.values, self.code, self.waited = output, values, code, 0

    def launch(self, graph: bytes, stream: Any) -> tuple[int]:
        assert np.isnan(self.output).all()

        def write() -> None:
            for index, value in self.values.items():
                time.sleep(0.001)
                self.output[0, index] = value

        threading.Thread(target=write).start()
        return (0,)

    def synchronize(self, stream: Any) -> tuple[int]:
        self.waited += 1
        return (self.code,)

    def cuGetErrorString(self, code: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"an illegal memory access was encountered"

    def graph(self) -> CudaGraph:
        made = CudaGraph.__new__(CudaGraph)
        made.__dict__ |= {"_driver": self, "_success": 0, "_exec": None, "_stream": None}
        made.__dict__ |= {"_launch": self.launch, "_synchronize": self.synchronize}
        return made


def test_what_never_comes_is_the_drivers_error() -> None:
    """A kernel that fails writes nothing: no endless loop, and no action that nobody wrote."""
    output = np.zeros((1, 4), np.float32)
    driver = _Driver(output, {}, code=700)
    with pytest.raises(EngineError, match="illegal memory access"):
        driver.graph().watched(arrival.Arrival(output))()
    assert driver.waited == 1
    assert np.isnan(output).all()
