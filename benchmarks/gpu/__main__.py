#!/usr/bin/env python3
"""TensorRT on a real GPU, from build to Gate 5, in phases: the GPU's machine may have neither PyTorch nor network.

python -m benchmarks.gpu prepare DIR --checkpoint examples/checkpoints/good     (CPU, PyTorch)
python -m benchmarks.gpu measure DIR --out gpu.json [--peers-python PYTHON] [--trajectories trip.npz]     (GPU)
python -m benchmarks.gpu render gpu.json [--trajectories trip.npz]     (CPU; writes docs/results/gpu-NAME.*)
python -m benchmarks.gpu all     (all three on a machine that has everything: `make bench-gpu`)

``measure`` needs numpy, pydantic, PyYAML, cmaes, onnx, onnxruntime, tensorrt, pycuda and cuda-bindings;
``--peers-python`` is an interpreter with torch and CUDA. Exit code 2: something is missing; 3: a part broke (the
others are in the result).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.gpu import release
from benchmarks.gpu.nvidia_tools import sanitize, trtexec
from benchmarks.results import ROOT, description
from gate5.config.models import ReleaseConfig
from gate5.engine.base import BuiltEngine
from gate5.engine.tensorrt.available import missing
from gate5.errors import ConfigError, Gate5Error
from gate5.io.files import write_atomically
from gate5.pipeline.stages import load_run_config
from gate5.workspace.artifacts import DirectoryWorkspace

#: What the stages and the checks import as they come to it.
NEEDED = ("onnx", "onnxruntime", "cmaes")
PACKAGES = ("tensorrt", "nvidia-tensorrt", "pycuda", "cuda-bindings", "cuda-python", "onnx", "onnxruntime", "torch")


def prepare(options: argparse.Namespace) -> int:
    overrides: dict[str, Any] = {"engine.backend": "tensorrt", "evaluation.episodes": options.episodes}
    if options.tactic_sources is not None:
        overrides["engine.tactic_sources"] = options.tactic_sources
    for text in options.set:
        key, _, value = text.partition("=")
        overrides[key] = yaml.safe_load(value)
    config = ReleaseConfig.load(options.config, overrides)
    release.prepare(options.folder.absolute(), options.checkpoint, config, description(PACKAGES))
    return 0


def measure(options: argparse.Namespace) -> int:
    """Everything on the GPU; the result is written after each part."""
    require_gpu()
    from gate5.engine.tensorrt import gpu

    folder = options.folder.absolute()
    workspace = DirectoryWorkspace(folder)
    config = load_run_config(workspace)
    if not options.keep:
        release.forget(folder)
    result: dict[str, Any] = {"ok": False, "machine": description(PACKAGES), "config": config.plain()}
    result["command"] = " ".join(["python -m benchmarks.gpu", *sys.argv[1:]])

    def save() -> None:
        result["artifacts"] = release.artifacts(workspace)
        result["ok"] = not result["failures"]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out.absolute(), (json.dumps(plain(result), sort_keys=True) + "\n").encode())

    parts = release.Parts(result, save, gpu.state)
    began = time.monotonic()
    release.run_stages(workspace, config, parts)
    _trajectories(workspace, options.trajectories)
    _measurements(parts, workspace, config, options)
    result["seconds"] = round(time.monotonic() - began, 1)
    save()
    for failure in result["failures"]:
        print(f"FAILED {failure}", file=sys.stderr)
    print(f"wrote {options.out}")
    return 0 if result["ok"] else 3


def _measurements(
    parts: release.Parts, workspace: DirectoryWorkspace, config: ReleaseConfig, options: argparse.Namespace
) -> None:
    """What a release does not measure: the engine's rivals, its lifetimes, and what it refuses."""
    from benchmarks.gpu.checks import Check

    blob, described = workspace.find("engine/policy.engine"), workspace.find("engine/engine.json")
    if blob is None or described is None:
        parts.result["failures"].append("all further parts: there is no engine to measure")
        return
    with np.load(workspace.path / "observations.npz") as data:
        obs = data["obs"]
    deadline = time.monotonic() + options.seconds
    built = BuiltEngine(blob, json.loads(described), workspace.find("engine/timing.cache"))
    check = Check(
        workspace.read("policy.onnx"),
        obs,
        config.engine,
        built=built,
        rounds=options.rounds,
        peers_python=options.peers_python,
        policy_arrays=workspace.path / release.ARRAYS,
    )
    parts("series", check.series)
    parts("paths", check.paths)
    parts("kernels", check.kernels)
    parts("cadence", check.cadence)
    parts("peers", check.peers)
    parts("paths after the peers", lambda: check.paths((1,), " again"))
    parts("series after the peers", check.series)
    parts("trtexec", lambda: trtexec(blob, built.metadata))
    parts("second build", check.build)
    parts("parity of other precisions", check.parity)
    parts("lifetimes", check.lifetimes)
    parts("threads", check.threads)
    parts("refusals", check.refusals)
    for arguments in (("memcheck",), ("memcheck", "--leak-check", "full"), ("initcheck",)):
        parts(f"compute-sanitizer {' '.join(arguments)}", partial(_sanitize, workspace.path, deadline, arguments))


def _sanitize(folder: Path, deadline: float, arguments: tuple[str, ...]) -> dict[str, Any]:
    return sanitize(folder, *arguments, timeout_s=max(int(min(deadline - time.monotonic(), 90)), 10))


def _trajectories(workspace: DirectoryWorkspace, target: Path | None) -> None:
    """The emergency trip's trajectories, driven by the engine and by the PID."""
    data = workspace.find("evaluation/emergency_trip.npz")
    if target is not None and data is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target.absolute(), data)


def render(options: argparse.Namespace) -> int:
    from benchmarks.gpu.page import write_pages

    result = json.loads(options.result.read_text())
    result["gaps"] = [row for file in options.gaps for row in json.loads(file.read_text())]
    for page in write_pages(result, options.trajectories):
        print(f"wrote {page}")
    return 0


def everything(options: argparse.Namespace) -> int:
    """``make bench-gpu``: all phases in one process."""
    require_gpu()
    folder = ROOT / "var" / "bench-gpu"
    options.folder, options.keep = folder / "workspace", False
    options.out = options.result = folder / "gpu.json"
    options.trajectories, options.gaps = folder / "emergency_trip.npz", []
    prepare(options)
    code = measure(options)
    render(options)
    return code


def require_gpu() -> None:
    """Raises ``ConfigError`` where TensorRT cannot run here; the text says what is missing."""
    lacks = missing() or _without(NEEDED)
    if lacks is not None:
        raise ConfigError(f"TensorRT cannot be measured here: {lacks}; docs/gpu.md says how a GPU worker is set up.")


def _without(packages: Sequence[str]) -> str | None:
    """What is to be said of packages that are not here: it is said before minutes of work, not in the middle of it."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} is not installed" if absent else None


def plain(value: Any) -> Any:
    """Without NumPy's types and without what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="PHASE")
    given = argparse.ArgumentParser(add_help=False)
    given.add_argument("--checkpoint", default=str(ROOT / "examples/checkpoints/good"))
    given.add_argument("--config", default=str(ROOT / "config/release.yaml"))
    given.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given.add_argument("--episodes", type=int, default=50, help="of each scenario")
    given.add_argument("--tactic-sources", type=int, help="engine.tactic_sources; 0: no cuBLAS, no cuDNN")
    measured = argparse.ArgumentParser(add_help=False)
    measured.add_argument("--peers-python", help="an interpreter with torch and CUDA, for gpu_peers.py")
    measured.add_argument("--rounds", type=int, default=20, help="500 inferences each")
    measured.add_argument("--seconds", type=float, default=300, help="for what comes after the stages, more or less")
    phase = commands.add_parser("prepare", parents=[given], help="resolve and export into DIR")
    phase.add_argument("folder", type=Path, metavar="DIR")
    phase.set_defaults(run=prepare)
    phase = commands.add_parser("measure", parents=[measured], help="build, judge and time on the GPU")
    phase.add_argument("folder", type=Path, metavar="DIR")
    phase.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    phase.add_argument("--trajectories", type=Path, metavar="FILE.npz", help="where the emergency trip's go")
    phase.add_argument("--keep", action="store_true", help="take the stages that are done already from DIR")
    phase.set_defaults(run=measure)
    phase = commands.add_parser("render", help="pages for docs/results/")
    phase.add_argument("result", type=Path, metavar="FILE.json")
    phase.add_argument("--trajectories", type=Path, metavar="FILE.npz")
    phase.add_argument("--gaps", type=Path, nargs="*", default=[], metavar="FILE.json", help="of benchmarks.gpu.gaps")
    phase.set_defaults(run=render)
    phase = commands.add_parser("all", parents=[given, measured], help="all phases on one machine")
    phase.set_defaults(run=everything)
    return parser


def main() -> int:
    options = _arguments().parse_args()
    try:
        return int(options.run(options))
    except Gate5Error as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
