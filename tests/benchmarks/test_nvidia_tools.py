"""What compute-sanitizer and trtexec print, in numbers: nothing reported is lost, nothing of ours is excused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

CLEAN = """========= COMPUTE-SANITIZER
gate5
========= ERROR SUMMARY: 0 errors
"""
THEIRS = """========= COMPUTE-SANITIZER
========= Program hit CUDA_ERROR_INVALID_VALUE (error 1) due to "invalid argument" on CUDA API call to cuX.
=========     Saved host backtrace up to driver entry point at error
=========     Host Frame: [0x2fa2c0] in libcuda.so.1
=========     Host Frame: [0x91a010] in libnvinfer.so.8
=========     Host Frame: main in python3.10
=========
"""
OURS = """========= Invalid __global__ write of size 4 bytes
=========     at 0x70 in memset_kernel
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f is out of bounds
=========     Host Frame: [0x2fa2c0] in libcuda.so.1
=========     Host Frame: memcpy_htod_async in _driver.cpython-310.so
=========
"""


def test_a_clean_run() -> None:
    from benchmarks.gpu.nvidia_tools import summary

    found = summary(CLEAN)
    assert (found["errors"], found["ours"], found["reports"]) == (0, 0, {})


def test_tensorrts_own_and_ours_are_told_apart() -> None:
    from benchmarks.gpu.nvidia_tools import summary

    found = summary(f"{THEIRS}{OURS}{OURS}========= ERROR SUMMARY: 3 errors\n")
    assert found["errors"] == 3
    assert found["ours"] == 2
    assert {kind.rpartition("(")[2]: count for kind, count in found["reports"].items()} == {
        "libnvinfer)": 1,
        "ours)": 2,
    }
    assert "memset_kernel" in "".join(found["examples"])


def test_errors_that_nothing_explains_are_ours() -> None:
    from benchmarks.gpu.nvidia_tools import summary

    assert summary("========= ERROR SUMMARY: 7 errors\n")["ours"] == 7


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("========= Error: No attachable process found\n", RuntimeError),  # no summary: nothing is known
        ("========= ERROR SUMMARY: 0 errors\n", RuntimeError),  # the program did not get to its end
        (f"gpu_memory_use: done\n{OURS}========= ERROR SUMMARY: 1 error\n", AssertionError),
    ],
)
def test_only_a_run_that_ended_clean_counts(
    output: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.gpu import nvidia_tools

    monkeypatch.setattr(nvidia_tools, "find", lambda name, places: f"/opt/{name}")
    done = SimpleNamespace(stdout=output, stderr="", returncode=0)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(error):
        nvidia_tools.sanitize(tmp_path, "memcheck")


def test_where_it_is_not_installed_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.gpu import nvidia_tools

    monkeypatch.setattr(nvidia_tools, "find", lambda name, places: None)
    assert nvidia_tools.sanitize(tmp_path, "memcheck") == {"note": "not run: compute-sanitizer is not installed"}
    assert nvidia_tools.trtexec(b"plan", {"obs_dim": 30, "batch_max": 1}) == {
        "note": "not run: trtexec is not installed"
    }


def test_trtexecs_line() -> None:
    from benchmarks.gpu.nvidia_tools import percentiles

    output = (
        "[I] GPU Compute Time: min = 0.01 ms, percentile(99%) = 0.9 ms\n"
        "[11/23/2026-17:00:00] [I] Latency: min = 0.018 ms, max = 0.1 ms, mean = 0.02 ms, median = 0.02 ms, "
        "percentile(50%) = 0.0197 ms, percentile(95%) = 0.0211 ms, percentile(99%) = 0.025 ms\n"
    )
    assert percentiles(output) == {"p50_ms": 0.0197, "p95_ms": 0.0211, "p99_ms": 0.025}
    assert percentiles("nothing") == {}
