"""CUDA graphs through cuda-bindings, on PyCUDA's stream. Every result is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gate5.engine.tensorrt import arrival
from gate5.errors import EngineError


def driver_module() -> Any:
    """cuda-bindings' driver API (``cuda.bindings.driver``, in 11.x ``cuda.cuda``); ``None`` where it is not there."""
    try:
        from cuda.bindings import driver
    except ImportError:
        try:
            from cuda import cuda as driver
        except ImportError:
            return None
    return driver


class CudaGraph:
    """What one call of ``record`` puts on the stream, ready to be launched again and again."""

    def __init__(self, driver: Any, stream: int, record: Callable[[], None]) -> None:
        """Capture.

        Args:
            driver: what ``driver_module`` gave.
            stream: handle of a PyCUDA stream whose context is current.
            record: enqueues the work on that stream.

        Raises:
            EngineError: the work cannot be captured; the stream is usable again.
        """
        self._driver, self._stream = driver, driver.CUstream(stream)
        self._success = driver.CUresult.CUDA_SUCCESS
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call(driver.cuStreamBeginCapture(self._stream, mode), "cuStreamBeginCapture")
        failed: Exception | None = None
        try:
            record()
        except Exception as error:  # noqa: BLE001 - capture has to be ended whatever it was
            failed = error
        ended = driver.cuStreamEndCapture(self._stream)
        if failed is not None:
            raise EngineError(f"The inference cannot be captured as a CUDA graph ({failed}).") from failed
        self._graph = self._call(ended, "cuStreamEndCapture")
        instantiate = getattr(driver, "cuGraphInstantiateWithFlags", None) or driver.cuGraphInstantiate
        try:
            self._exec = self._call(instantiate(self._graph, 0), "cuGraphInstantiate")
        except EngineError:
            driver.cuGraphDestroy(self._graph)
            raise
        self._launch = driver.cuGraphLaunch
        self._synchronize = driver.cuStreamSynchronize

    def run(self) -> None:
        """Launch and wait: one launch, one synchronise."""
        (result,) = self._launch(self._exec, self._stream)
        if result != self._success:
            self._call((result,), "cuGraphLaunch")
        (result,) = self._synchronize(self._stream)
        if result != self._success:
            self._call((result,), "cuStreamSynchronize")

    def watched(self, output: arrival.Arrival) -> Callable[[], None]:
        """A function that launches and waits for the output itself; for the stream, if it does not come.

        The driver then says why. What the function needs is bound to it, and it calls nothing that it need not: an
        inference waits for every name that Python looks up.
        """
        launch, executable, stream, success = self._launch, self._exec, self._stream, self._success
        words, unwritten, last = output.words, output.unwritten, len(output.words) - 1
        unseen, looks = arrival.UNWRITTEN, range(arrival.LOOKS)

        def run() -> None:
            words[:] = unwritten
            (result,) = launch(executable, stream)
            if result is not success:
                self._call((result,), "cuGraphLaunch")
            for _ in looks:
                if words[last] != unseen and unseen not in words.tolist():
                    return
            self._call(self._synchronize(stream), "cuStreamSynchronize")

        return run

    def launch(self) -> None:
        """Launch without waiting."""
        self._call(self._launch(self._exec, self._stream), "cuGraphLaunch")

    def close(self) -> None:
        """Free the graph; its context has to be current."""
        self._call(self._driver.cuGraphExecDestroy(self._exec), "cuGraphExecDestroy")
        self._call(self._driver.cuGraphDestroy(self._graph), "cuGraphDestroy")

    def _call(self, result: tuple[Any, ...], what: str) -> Any:
        code, *values = result
        if code != self._success:
            _, text = self._driver.cuGetErrorString(code)
            reason = text.decode() if isinstance(text, bytes) else str(text)
            raise EngineError(f"{what} failed: {reason} ({code!r}).")
        return values[0] if values else None
