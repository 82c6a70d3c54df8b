"""Deserialises a plan in a child process first: a damaged one may end the process that reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from gate5.engine.tensorrt.before_10 import plans
from gate5.errors import EngineError

_TIMEOUT_S = 120
_passed: set[str] = set()


def deserialise(blob: bytes, sha256: str) -> None:
    """Let a child process deserialise an engine's plans; once per engine and process.

    Raises:
        EngineError: the child died, or TensorRT refused a plan; the text holds its message.
    """
    if sha256 in _passed:
        return
    plans.unpack(blob)  # a damaged archive is told without a child
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "gate5.engine.tensorrt.isolated"]
    try:
        done = subprocess.run(
            command, input=blob, capture_output=True, timeout=_TIMEOUT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"Deserialising the engine took longer than {_TIMEOUT_S} s in a child process.") from None
    if done.returncode == 0:
        _passed.add(sha256)
        return
    lines = [line for line in (done.stdout + done.stderr).decode(errors="replace").splitlines() if line.strip()]
    how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
    raise EngineError(
        f"The engine cannot be deserialised (a child process that tried {how}: "
        f"{' / '.join(lines[-3:]) or 'no message'}); the file is damaged or of another TensorRT: build it again."
    )


def main() -> int:
    """The child: an engine on standard input, 0 if TensorRT takes its plans."""
    import tensorrt as trt

    from gate5.engine.tensorrt import compat
    from gate5.engine.tensorrt.gpu import Gpu

    messages: list[str] = []
    logger = compat.logger(trt, messages)
    with Gpu():
        runtime = trt.Runtime(logger)
        opened: list[Any] = []  # all at once, as the caller will hold them
        for plan in filter(None, plans.unpack(sys.stdin.buffer.read())):
            engine = runtime.deserialize_cuda_engine(plan)
            context = None if engine is None else engine.create_execution_context()
            if context is None:
                sys.stderr.write("\n".join(messages[-3:]) + "\n")
                return 3
            opened += [engine, context]
        while opened:
            opened.pop()
        del context, engine, runtime
    return 0


if __name__ == "__main__":
    sys.exit(main())
