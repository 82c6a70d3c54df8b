"""`make bench-gpu`: what it says without a GPU, that one broken part costs no other, and an honest page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gate5.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def row(p50: float, p99: float) -> dict[str, Any]:
    """One runner's times, in milliseconds."""
    between = {"p95_ms": p50, "p99_upper_ms": p99, "max_ms": p99, "samples": 1000}
    return {"p50_ms": p50, "p99_ms": p99, **between, "curve": [[0.5, p50], [0.99, p99], [1.0, p99]]}


@pytest.fixture
def result() -> dict[str, Any]:
    """A measurement in which a peer wins at batch 8 and one part broke."""
    one = {"graph": row(0.020, 0.025), "copies": row(0.030, 0.040), "floor": row(0.007, 0.009)}
    eight = {"graph": row(0.020, 0.025), "floor": row(0.007, 0.009)}
    peers = {"batch 1": {"PyTorch CUDA graph, FP16": row(0.028, 0.036)},
             "batch 8": {"PyTorch CUDA graph, FP16": row(0.019, 0.036)}, "torch": "2.9"}  # fmt: skip
    return {
        "ok": False, "seconds": 1.0, "command": "benchmarks/gpu/__main__.py measure /home/x/ws --out /tmp/gpu.json",
        "failures": ["refusals: AssertionError: truncated: the engine was accepted"],
        "machine": {"cpu": "c", "cpus": 2, "kernel": "k", "python": "3", "numpy": "2", "commit": "abc", "date": "d",
                    "packages": {}},
        "parts": {
            "paths": {"result": {"batch 1": one, "batch 8": eight}}, "peers": {"result": peers},
            "kernels": {"result": {"batch 1": {"chained_ms": 0.013}, "floor_chained_ms": 0.002}},
            "refusals": {"failed": "AssertionError"},
        },
        "artifacts": {
            "engine": {"hardware": {"gpu": "NVIDIA H200"}, "precision": "fp16"},
            "latency": {"back_to_back": row(0.021, 0.026), "gaps": []},
            "export": {"max_abs_error": 2e-4}, "parity": None, "comparison": None, "gate": None, "checkpoint": None,
            "prepared": None,
        },
    }  # fmt: skip


def test_what_the_search_needs_is_missed_before_the_measurement_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU's machine on which everything but one package was put: seven searches failed one after the other."""
    from benchmarks.gpu import __main__ as measuring

    monkeypatch.setattr(measuring, "missing", lambda: None)
    monkeypatch.setattr(measuring, "NEEDED", (*measuring.NEEDED, "no_such_package"))
    with pytest.raises(ConfigError, match="no_such_package is not installed"):
        measuring.require_gpu()
    monkeypatch.setattr(measuring, "NEEDED", measuring.NEEDED[:-1])
    measuring.require_gpu()


def test_without_a_gpu_one_sentence_and_exit_2(tmp_path: Path) -> None:
    pytest.importorskip("gate5")
    if "tensorrt" in sys.modules:
        pytest.skip("this machine has TensorRT")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "all"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "include")))},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "TensorRT is not there" in line
    assert "docs/gpu.md" in line
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_breaks_costs_no_other() -> None:
    from benchmarks.gpu.release import Parts

    saved: list[str] = []
    result: dict[str, Any] = {}
    parts = Parts(result, lambda: saved.append(json.dumps(result)), lambda: {"clocks": "1980 MHz"})

    def breaks() -> None:
        raise RuntimeError("the GPU has fallen off the bus")

    parts("first", breaks)
    parts("second", lambda: {"value": 1})
    assert result["failures"] == ["first: RuntimeError: the GPU has fallen off the bus"]
    assert "result" not in result["parts"]["first"]
    assert result["parts"]["second"]["result"] == {"value": 1}
    assert result["parts"]["second"]["device_before"] == {"clocks": "1980 MHz"}
    assert "fallen off" in saved[0], "a run that is cut off leaves what it has"


def test_the_page_says_where_a_peer_wins_and_what_failed(result: dict[str, Any]) -> None:
    from benchmarks.gpu import tables

    latency = "\n".join(tables.latency(result))
    assert "Faster than the engine at batch 1: none." in latency
    assert "Faster than the engine at batch 8: PyTorch CUDA graph, FP16 (p50)." in latency
    lines = tables.verdicts(result)
    assert "no verdict" in lines[0]
    onnx = next(line for line in lines if "ONNX error" in line)
    assert "**no**" in onnx
    assert "2.00e-04" in onnx
    assert any("p99 26.0 µs" in line and "| yes |" in line for line in lines)


def test_one_lucky_series_is_not_enough(result: dict[str, Any]) -> None:
    """The target is judged on the median of all series of the run, each of which is shown."""
    from benchmarks.gpu import tables

    result["parts"]["series"] = {"result": [row(0.020, 0.031), row(0.020, 0.032)]}
    line = next(line for line in tables.targets(result) if "below 30 µs" in line)
    assert "**no**" in line
    assert "31.0 µs, median of 3 series" in line
    page = tables.latency(result)
    for name, p99 in (("the release's", "26.0"), ("again, series", "31.0"), ("again, series", "32.0")):
        assert any(shown.startswith(f"| {name} |") and f"| {p99} |" in shown for shown in page), name


def test_the_page_shows_every_build(result: dict[str, Any]) -> None:
    from benchmarks.gpu import tables

    tried = [{"form": "fused", "gpu_ms": 0.0081}, {"form": "as exported", "gpu_ms": 0.0152}]
    plan = {"name": "batch 1", "profiles": [[1, 1, 1]], "form": "fused", "builds": tried}
    result["artifacts"]["engine"]["build"] = {"plans": [plan], "seconds": 50.0}
    assert "| batch 1 | [[1, 1, 1]] | fused | 8.1 (fused), 15.2 (as exported) |" in tables.conditions(result)


def test_targets_are_judged_on_what_was_measured(result: dict[str, Any]) -> None:
    from benchmarks.gpu import tables

    def verdict(asked: str) -> str:
        return next(line for line in tables.targets(result) if asked in line).split("|")[2].strip()

    assert verdict("below 30 µs") == "yes"
    assert verdict("every GPU peer") == "yes"
    assert verdict("p50 within 1.5 times") == "yes"  # 20 <= 1.5 * (7 + 13)
    assert verdict("engine error") == "not measured"
    assert verdict("no violation") == "not measured"
    assert verdict("truncated, damaged") == "**no**"
    assert verdict("two threads") == "not measured"
    result["parts"]["peers"]["result"]["batch 1"]["PyTorch CUDA graph, FP16"] = row(0.019, 0.024)
    assert verdict("every GPU peer") == "**no**"
    result["parts"]["kernels"]["result"]["batch 1"]["chained_ms"] = 0.003
    assert verdict("p50 within 1.5 times") == "**no**"  # 20 > 1.5 * (7 + 3)


def test_the_files(result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import results
    from benchmarks.gpu import page as module

    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    page, document, plot = module.write_pages(result, None)
    assert [path.name for path in (page, document, plot)] == ["gpu-h200.md", "gpu-h200.json", "gpu-h200-latency.svg"]
    text = page.read_text()
    assert "the engine was accepted" in text.partition("## What broke")[2]
    kept = json.loads(document.read_text())
    assert "/home" not in text + document.read_text(), "no folder of the machine that measured"
    assert "curve" in kept["parts"]["paths"]["result"]["batch 1"]["graph"]
    assert "curve" not in kept["parts"]["paths"]["result"]["batch 8"]["graph"]
    assert "<polyline" in plot.read_text()


def test_no_two_curves_look_alike() -> None:
    """Of the published distributions; the engine without a graph and torch.compile once had one colour."""
    from benchmarks.gpu import page as module
    from benchmarks.results import RESULTS

    style = files("gate5.report").joinpath("style.css").read_text(encoding="utf-8")
    results = list(RESULTS.glob("gpu-*.json"))
    assert results
    for result in results:
        (chart,) = module.distributions(json.loads(result.read_text()))
        kinds = [series.kind for series in chart.series]
        assert len(kinds) > 5
        assert kinds.count("other") == 1, "the floor alone is dotted"
        for light_or_dark in (1, 2):
            pairs = [re.search(rf"--{kind}: light-dark\((#\w+), (#\w+)\)", style) for kind in kinds if kind != "other"]
            assert len({pair[light_or_dark] for pair in pairs if pair}) == len(kinds) - 1


class Still:
    """An engine that does nothing: where the time goes is not what this test asks."""

    info = SimpleNamespace(act_dim=2)

    def infer(self, obs: Any, out: Any = None) -> None:
        assert obs.shape == (1, 3)


@pytest.mark.parametrize("warm", [None, 0.5])
def test_one_gap_is_measured_alone_and_90_samples_bound_p95(warm: float | None) -> None:
    from benchmarks.gpu import gaps

    (row,) = gaps.single(Still(), np.zeros((7, 3), np.float32), 5.0, 90, warm)
    assert (row["gap_ms"], row["keep_warm_ms"], row["series"]["samples"]) == (5.0, warm, 90)
    assert row["bounded"] == 0.95
    (row,) = gaps.single(Still(), np.zeros((7, 3), np.float32), 1.0, 89, warm)
    assert row["bounded"] == 0.90, "one sample fewer does not"
