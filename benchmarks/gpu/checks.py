#!/usr/bin/env python3
"""Everything that has to be seen on a GPU, in one run without network: build, parity, latency, lifetimes, refusals.

python -m benchmarks.gpu.checks --onnx policy.onnx --observations observations.npz [--tactic-sources 0] [--out DIR]

``policy.onnx`` and ``observations.npz`` are the artifacts of a release's export stage. Prints one JSON document; with
``--out`` also writes it as ``gpu.json`` beside the engine, its metadata, the timing cache and the latency samples.
Needs numpy, pydantic, PyYAML, onnx, onnxruntime, tensorrt, pycuda and cuda-bindings. Exit code 1: something failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import gaps
from benchmarks.gpu.series import distribution, interleave
from benchmarks.gpu.timing import EmptyGraph, repeat
from benchmarks.policy_arrays import extract
from benchmarks.results import ROOT
from gate5.config.engine import EngineConfig
from gate5.config.measurement import LatencyConfig, ParityConfig
from gate5.engine import build, load
from gate5.engine.base import BuiltEngine, Engine, Float32
from gate5.engine.tensorrt.before_10 import plans
from gate5.engine.tensorrt.chained import chained_ms
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import Gate5Error
from gate5.latency.benchmark import LatencyBenchmark
from gate5.parity.engine import compare_engine

BATCHES = (1, 8, 64)
CHECKS = ["build", "parity", "latency", "series", "paths", "kernels", "cadence", "peers"]
CHECKS += ["lifetimes", "threads", "refusals"]


class Check:
    """What was given, what was built, and what came out.

    Args:
        onnx: the exported graph.
        obs: real observations, float32 ``[N, obs_dim]``.
        settings: how the engine is built.
        built: an engine that has been built of it already, such as a release's; ``None``: it is built here.
        rounds: how often the ways to run it take turns.
        peers_python: an interpreter with torch and CUDA; ``None``: PyTorch is not run.
        policy_arrays: what ``policy_arrays.extract`` gave, as a file; ``None``: made from the graph.
    """

    def __init__(
        self,
        onnx: bytes,
        obs: Float32,
        settings: EngineConfig,
        *,
        built: BuiltEngine | None = None,
        rounds: int = 20,
        peers_python: str | None = None,
        policy_arrays: Path | None = None,
    ) -> None:
        self.onnx, self.settings, self.rounds = onnx, settings, rounds
        self.obs: Float32 = np.ascontiguousarray(obs, dtype=np.float32)
        self.peers_python, self.policy_arrays = peers_python, policy_arrays
        self.built = built or build(onnx, settings)
        self.samples: dict[str, Any] = {}

    def open(self, path: str = "graph") -> TensorRTEngine:
        return TensorRTEngine.open(self.built.blob, self.built.metadata, path)

    def build(self) -> dict[str, Any]:
        """The metadata, and a second build that reuses the timing cache."""
        again = build(self.onnx, self.settings, timing_cache=self.built.timing_cache)
        return {
            "metadata": self.built.metadata,
            "bytes": len(self.built.blob),
            "second_build": {
                key: again.metadata["build"][key] for key in ("seconds", "timing_cache_reused", "timing_cache_sha256")
            },
            "second_plan_is_the_same": again.blob == self.built.blob,
        }

    def parity(self) -> dict[str, Any]:
        """The engine against ONNX Runtime; FP32 beside it."""
        wide = np.full(self.obs.shape[1], np.inf, np.float32)
        found = {}
        with self.open() as engine:
            found[self.settings.precision] = compare_engine(engine, self.onnx, self.obs, -wide, wide, ParityConfig())
        single = build(self.onnx, self.settings.model_copy(update={"precision": "fp32", "builds": 1}))
        with load(single.blob, single.metadata) as engine:
            found["fp32"] = compare_engine(engine, self.onnx, self.obs, -wide, wide, ParityConfig())
        return {name: report.to_dict() for name, report in found.items()}

    def latency(self) -> dict[str, Any]:
        """The release's own measurement."""
        with self.open() as engine:
            benchmark = LatencyBenchmark(engine, LatencyConfig())
            report = benchmark.run(self.obs)
        self.samples |= benchmark.samples
        return report.to_dict()

    def series(self, count: int = 2) -> list[dict[str, Any]]:
        """The release's back-to-back series again, each with the engine opened anew and the CPU chosen anew."""
        found = []
        for _ in range(count):
            with self.open() as engine:
                report = LatencyBenchmark(engine, LatencyConfig(cadence_iterations=0)).run(self.obs)
            found.append({**dataclasses.asdict(report.back_to_back), "cpu": report.conditions["cpu"]})
        return found

    def paths(self, batches: tuple[int, ...] = BATCHES, label: str = "") -> dict[str, Any]:
        """Each way to run the engine in turn, ONNX Runtime on one CPU thread, and the floor, by batch size."""
        found: dict[str, Any] = {}
        plain = build(self.onnx, EngineConfig(backend="onnxruntime"))
        for batch in batches:
            engines: dict[str, Engine] = {path: self.open(path) for path in ("graph", "stream", "copies")}
            engines["onnxruntime"] = load(plain.blob, plain.metadata)
            floor = EmptyGraph()
            runners: dict[str, Callable[[], Any]] = {
                name: repeat(engine, self.obs[:batch]) for name, engine in engines.items()
            }
            runners["floor"] = floor.run
            spent = interleave(runners, self.rounds, 500, "graph")
            floor.close()
            self.samples |= {f"{name}/{batch}{label}": values / 1e6 for name, values in spent.items()}
            found[f"batch {batch}"] = {name: distribution(values) for name, values in spent.items()}
            found[f"batch {batch}"]["path taken"] = {name: engine.info.path for name, engine in engines.items()}
            for engine in engines.values():
                engine.close()
        return found

    def kernels(self) -> dict[str, Any]:
        """The GPU's own time per inference: graphs launched one after the other without waiting; parts by events."""
        found: dict[str, Any] = {}
        floor = EmptyGraph()
        with floor.gpu:
            found["floor_chained_ms"] = chained_ms(floor.graph.launch, floor.gpu.cuda, floor.stream)
        floor.close()
        with self.open() as engine:
            for batch in BATCHES:
                engine.infer(self.obs[:batch])
                with engine._gpu:
                    slot = engine._slots[batch]
                    parts = [slot.split(self.obs[:batch]) for _ in range(500)]
                    row = {name: float(np.median([part[name] for part in parts])) for name in parts[0]}
                    row["chained_ms"] = chained_ms(slot.launch, engine._gpu.cuda, engine._stream)
                found[f"batch {batch}"] = row
        return found

    def cadence(self) -> list[dict[str, Any]]:
        """One inference after each idle gap, as a plant asks."""
        with self.open() as engine:
            return gaps.curve(engine, self.obs)

    def peers(self) -> dict[str, Any]:
        """PyTorch on the same policy and observations, in the Python that has it."""
        if not self.peers_python:
            return {"note": "not run: --peers-python was not given"}
        with tempfile.TemporaryDirectory() as folder:
            arrays, observations = Path(folder) / "policy_arrays.npz", Path(folder) / "observations.npz"
            if self.policy_arrays is None:
                np.savez(arrays, **{name: value for name, value in extract(self.onnx).items() if value is not None})
            np.savez(observations, obs=self.obs)
            command = [self.peers_python, "-m", "benchmarks.gpu.peers", "--policy", str(self.policy_arrays or arrays)]
            command += ["--observations", str(observations), "--rounds", str(self.rounds)]
            # Not this process's paths: they hold another Python's packages.
            clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
            clean["PYTHONPATH"] = str(ROOT / "include")
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=clean, check=False
            )
        if done.returncode:
            raise RuntimeError(f"gpu_peers.py: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def lifetimes(self) -> dict[str, Any]:
        """10,000 inferences and 20 engines opened and closed: neither host nor device memory may grow."""
        with self.open() as engine:
            gpu = engine._gpu
            for _ in range(200):
                engine.infer(self.obs[:1])
            with gpu:
                before = gpu.cuda.mem_get_info()[0]
            gc.collect()
            host = _resident_kib()
            for index in range(10_000):
                engine.infer(self.obs[index % len(self.obs)][None])
            with gpu:
                after = gpu.cuda.mem_get_info()[0]
            grown = _resident_kib() - host
            free = []
            for _ in range(20):
                with self.open() as other:
                    other.infer(self.obs[:64])
                with gpu:
                    free.append(gpu.cuda.mem_get_info()[0])
        result = {
            "device_bytes_lost_in_10000": int(before - after),
            "host_kib_grown_in_10000": grown,
            "device_bytes_lost_in_20_engines": int(free[0] - free[-1]),
        }
        if result["device_bytes_lost_in_10000"] > 0 or result["device_bytes_lost_in_20_engines"] > 0 or grown > 2048:
            raise AssertionError(f"memory grows: {result}")
        return result

    def threads(self) -> dict[str, Any]:
        """Two engines in two threads at once give what one engine gives."""
        with self.open() as engine:
            expected = np.concatenate([engine.infer(row[None]) for row in self.obs[:500]])
        results: dict[int, Float32] = {}

        def work(number: int) -> None:
            with self.open() as engine:
                results[number] = np.concatenate([engine.infer(row[None]) for row in self.obs[:500]])

        workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        same = [bool(np.array_equal(results.get(number, np.zeros(0)), expected)) for number in range(2)]
        if not all(same):
            raise AssertionError(f"two threads do not agree with one: {same}")
        return {"engines": 2, "inferences": 1000, "same_bits": True}

    def refusals(self) -> dict[str, str]:
        """Another GPU, another TensorRT, a truncated and a bit-flipped plan: a clear error each, and we live on.

        The last ones reach TensorRT itself: a plan that is cut or overwritten in a file that is otherwise in order.
        """
        metadata, blob = self.built.metadata, self.built.blob
        middle = len(blob) // 2
        flipped = blob[:middle] + bytes([blob[middle] ^ 0xFF]) + blob[middle + 1 :]
        single, wide = plans.unpack(blob)
        cut, empty = (plans.pack(plan, wide) for plan in (single[: len(single) // 2], b"\0" * 64 + single[64:]))
        cut_wide = cut if wide is None else plans.pack(single, wide[: len(wide) // 2])
        other = {**metadata, "hardware": {**metadata["hardware"], "gpu": "Orin", "compute_capability": "8.7"}}
        older = {**metadata, "versions": {"tensorrt": "8.4.1"}}
        cases: dict[str, tuple[bytes, dict[str, Any]]] = {
            "another GPU": (blob, other),
            "another TensorRT": (blob, older),
            "truncated": (blob[:middle], metadata),
            "bit flipped": (flipped, metadata),
            "truncated, hash adapted": (blob[:middle], {**metadata, "blob_sha256": _sha256(blob[:middle])}),
            "plan truncated, hash adapted": (cut, {**metadata, "blob_sha256": _sha256(cut)}),
            "plan for larger batches truncated, hash adapted": (
                cut_wide,
                {**metadata, "blob_sha256": _sha256(cut_wide)},
            ),
            "plan's header overwritten, hash adapted": (empty, {**metadata, "blob_sha256": _sha256(empty)}),
        }
        found = {}
        for name, (content, described) in cases.items():
            try:
                load(content, described).close()
            except Gate5Error as error:
                found[name] = str(error)
            else:
                raise AssertionError(f"{name}: the engine was accepted")
        return found


def _resident_kib() -> int:
    """This process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 10


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--precision", default="fp16", choices=("fp16", "fp32", "bf16"))
    parser.add_argument("--tactic-sources", type=int, default=None, help="bit mask; 0: no cuBLAS, no cuDNN")
    parser.add_argument("--peers-python", help="an interpreter with torch and CUDA, for gpu_peers.py")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=CHECKS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    check = Check(
        Path(options.onnx).read_bytes(),
        np.load(options.observations)["obs"],
        EngineConfig(backend="tensorrt", precision=options.precision, tactic_sources=options.tactic_sources),
        rounds=options.rounds,
        peers_python=options.peers_python,
    )
    result: dict[str, Any] = {"ok": True}
    for name in options.only:
        started = time.perf_counter()
        try:
            result[name] = getattr(check, name)()
        except Exception as error:  # noqa: BLE001 - the other checks still have something to say
            traceback.print_exc()
            result[name], result["ok"] = {"failed": f"{type(error).__name__}: {error}"}, False
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    text = json.dumps(result, indent=1, sort_keys=True, allow_nan=False)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "gpu.json").write_text(text + "\n")
        (options.out / "policy.engine").write_bytes(check.built.blob)
        (options.out / "engine.json").write_text(json.dumps(check.built.metadata, indent=1))
        np.savez_compressed(options.out / "latency.npz", **{k.replace("/", "_"): v for k, v in check.samples.items()})
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
