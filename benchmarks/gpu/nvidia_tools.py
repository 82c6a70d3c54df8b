"""NVIDIA's own tools on our engine, where they are installed: compute-sanitizer and trtexec."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gate5.engine.tensorrt.before_10 import plans

_SANITIZERS = ("/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda/compute-sanitizer/compute-sanitizer")
_TRTEXEC = ("/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
_DONE = "gpu_memory_use: done"
_SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) error")
_LIBRARIES = re.compile(r"(libnvinfer|libcublas|libcudnn|libnvonnxparser|libnvrtc)")
_HEAD = re.compile(r"^=========\s{1,2}(?! )(?!COMPUTE-SANITIZER|ERROR SUMMARY|LEAK SUMMARY|Error:|Target)(\S.*)$")


def find(name: str, places: tuple[str, ...]) -> str | None:
    """Where a tool lies."""
    return shutil.which(name) or next((place for place in places if os.access(place, os.X_OK)), None)


def sanitize(workspace: Path, tool: str, *arguments: str, timeout_s: int = 90) -> dict[str, Any]:
    """Run our engine under compute-sanitizer's ``tool`` and say what it reported, and how much of it is ours.

    Raises:
        RuntimeError: the tool or the program did not come to an end, so that nothing is known.
        AssertionError: it reported something in our own use of memory.
    """
    command = find("compute-sanitizer", _SANITIZERS)
    if command is None:
        return {"note": "not run: compute-sanitizer is not installed"}
    program = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.gpu.memory_use", str(workspace.absolute())]
    line = [command, "--tool", tool, *arguments, *program]
    done = subprocess.run(line, capture_output=True, text=True, timeout=timeout_s, check=False)
    output = done.stdout + done.stderr
    found = {"command": " ".join(["compute-sanitizer", "--tool", tool, *arguments]), **summary(output)}
    if found["errors"] is None or _DONE not in output:
        alone = subprocess.run(program, capture_output=True, text=True, timeout=timeout_s, check=False)
        how = "comes to its end" if _DONE in alone.stdout else f"ends with {alone.returncode} too"
        raise RuntimeError(
            f"under compute-sanitizer {tool} the program ended with {done.returncode} before its end (without the tool "
            f"it {how}): {output.strip()[-1500:]}"
        )
    if found["ours"]:
        raise AssertionError(f"compute-sanitizer {tool} found something in our own use of memory: {found}")
    return found


def summary(output: str) -> dict[str, Any]:
    """compute-sanitizer's output in numbers.

    A report belongs to a library of NVIDIA's where a frame of that library is on its host stack above any frame of
    ours, which is the interpreter's or PyCUDA's; everything else is ours.

    Returns:
        ``errors`` as the tool counts them (``None``: it did not get that far), ``reports`` by first line, ``ours``:
        how many of the printed reports no library owns, and the first of each as ``examples``.
    """
    counted = _SUMMARY.search(output)
    kinds: dict[str, int] = {}
    ours, examples = 0, dict[str, str]()
    for text in _reports(output):
        frames = "\n".join(line for line in text.splitlines() if "Host Frame" in line)
        library = _LIBRARIES.search(frames)
        kind = f"{text.splitlines()[0][:120]} ({library.group(1) if library else 'ours'})"
        kinds[kind] = kinds.get(kind, 0) + 1
        ours += library is None
        examples.setdefault(kind, text[:1200])
    errors = int(counted.group(1)) if counted else None
    if errors and not kinds:
        ours = errors  # nothing was attributed, so nothing is excused
    return {"errors": errors, "ours": ours, "reports": kinds, "examples": list(examples.values())[:8]}


def _reports(output: str) -> list[str]:
    found: list[list[str]] = []
    for line in output.splitlines():
        if not line.startswith("========="):
            continue
        head = _HEAD.match(line)
        if head:
            found.append([head.group(1)])
        elif found and line.strip() != "=========":
            found[-1].append(line.removeprefix("=========").strip())
    return ["\n".join(lines) for lines in found]


def trtexec(engine: bytes, metadata: dict[str, Any]) -> dict[str, Any]:
    """NVIDIA's benchmark program on the engine's plan for batch 1, as a CUDA graph."""
    command = find("trtexec", _TRTEXEC)
    if command is None:
        return {"note": "not run: trtexec is not installed"}
    with tempfile.TemporaryDirectory() as folder:
        single, wide = plans.unpack(engine)
        plan = Path(folder) / plans.SINGLE
        plan.write_bytes(single)
        line = [command, f"--loadEngine={plan}", "--useCudaGraph", "--percentile=50,95,99"]
        line += ["--duration=5", "--warmUp=1000"]
        if wide is None and metadata["batch_max"] > 1:  # a plan for batch 1 alone has no shape to be given
            line.append(f"--shapes=obs:1x{metadata['obs_dim']}")
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    found = percentiles(done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"trtexec ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-400:]}")
    return {"command": " ".join(line[2:]), **found}


def percentiles(output: str) -> dict[str, float]:
    """``p50_ms`` and so on of trtexec's line "Latency: min = … percentile(99%) = … ms" (copies and compute)."""
    row = next((line for line in output.splitlines() if re.search(r"\] Latency: min", line)), "")
    return {f"p{name}_ms": float(value) for name, value in re.findall(r"percentile\((\d+)%\) = ([\d.]+) ms", row)}
