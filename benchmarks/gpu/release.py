"""The release's own stages, in two halves: the first needs PyTorch and no GPU, the second a GPU and no PyTorch."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.policy_arrays import extract
from gate5 import engine
from gate5.config.models import ReleaseConfig
from gate5.engine.backends import backend
from gate5.pipeline import line, stages
from gate5.workspace import contents
from gate5.workspace.artifacts import Workspace, open_workspace

ARRAYS = "policy_arrays.npz"
_NAMES = [stage.name for stage in contents.STAGES]
#: What is measured on the GPU; ``prepare`` does what comes before.
MEASURED = contents.STAGES[_NAMES.index("build") : _NAMES.index("gate") + 1]
DOCUMENTS = tuple(
    file.name.removesuffix(".json")
    for file in contents.files(contents.STAGES[: _NAMES.index("gate") + 1])
    if file.name.endswith(".json") and "{" not in file.name and file.name != "config.json"
)
Guard = Callable[[str, Callable[[], Any]], None]


def prepare(folder: Path, checkpoint: str, config: ReleaseConfig, machine: dict[str, Any]) -> None:
    """Resolve and export into the workspace ``folder``; the policy as arrays and ``prepared.json`` beside."""
    workspace = open_workspace(folder)
    print(stages.resolve(workspace, config, checkpoint).line(), file=sys.stderr)
    print(stages.export(workspace, config).line(), file=sys.stderr)
    buffer = io.BytesIO()
    arrays = {name: value for name, value in extract(workspace.read("policy.onnx")).items() if value is not None}
    np.savez(buffer, **arrays)
    workspace.write(ARRAYS, buffer.getvalue())
    _tensorrt_rtx(workspace, config)
    workspace.write_json("prepared.json", {"checkpoint": checkpoint, "machine": machine})


def _tensorrt_rtx(workspace: Workspace, config: ReleaseConfig) -> None:
    """An engine of TensorRT-RTX in ``rtx``, where that is installed: what the GPU's machine says of it is a result."""
    if backend("tensorrt_rtx").lacking_to_build() is None:
        settings = config.engine.model_copy(update={"backend": "tensorrt_rtx"})
        built = engine.build(workspace.read("policy.onnx"), settings)
        workspace.write("rtx/policy.engine", built.blob)
        workspace.write_json("rtx/engine.json", built.metadata)


def run_stages(workspace: Workspace, config: ReleaseConfig, guard: Guard) -> None:
    """Build to gate, each by ``guard(name, run)``."""

    def run(stage: contents.Stage, scenario: str | None) -> Callable[[], Any]:
        def body() -> Any:
            (result,) = line.run(stage, workspace, config, scenario)
            print(result.line(), file=sys.stderr, flush=True)
            return result.to_dict()

        return body

    for stage in MEASURED:
        for scenario in stages.scenarios(config) if stage.per_scenario else [None]:
            guard(stage.name if scenario is None else f"{stage.name} {scenario}", run(stage, scenario))


def artifacts(workspace: Workspace) -> dict[str, Any]:
    """The reports that lie in the workspace by now, by name; what is not there is ``None``."""
    found = {}
    for name in (*DOCUMENTS, "prepared"):
        data = workspace.find(f"{name}.json")
        found[name.rpartition("/")[2]] = None if data is None else json.loads(data)
    return found


def forget(workspace: Path) -> None:
    """Remove what an earlier measurement left, so that nothing of it can be taken for this one's."""
    for stage in MEASURED:
        for record in (workspace / "records").glob(f"{stage.record('*')}.json"):
            record.unlink()
        for file in stage.writes:
            if file.name.endswith(".json") and "{" not in file.name:
                (workspace / file.name).unlink(missing_ok=True)


class Parts:
    """What was measured, part by part; a part that breaks is a failure in the result and the others still run.

    Args:
        result: filled in as parts end.
        save: called after each part, so that a run that is cut off leaves what it has.
        state: the device's clocks and temperature, asked between the parts and never during one.
    """

    def __init__(self, result: dict[str, Any], save: Callable[[], None], state: Callable[[], Any]) -> None:
        self.result, self.save, self.state = result, save, state
        self.result |= {"parts": {}, "failures": []}

    def __call__(self, name: str, run: Callable[[], Any]) -> None:
        import traceback

        row: dict[str, Any] = {"device_before": self.state()}
        begun = time.perf_counter()
        try:
            row["result"] = run()
        except Exception as error:  # noqa: BLE001 - the other parts still have something to say
            traceback.print_exc()
            row["failed"] = f"{type(error).__name__}: {error}"
            self.result["failures"].append(f"{name}: {row['failed']}")
        row |= {"seconds": round(time.perf_counter() - begun, 2), "device_after": self.state()}
        self.result["parts"][name] = row
        print(f"{name}: {row['seconds']:.1f} s{' FAILED' if 'failed' in row else ''}", file=sys.stderr, flush=True)
        self.save()
