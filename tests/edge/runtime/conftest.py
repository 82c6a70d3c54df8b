"""A release of the shipped checkpoint, judged in all seven scenarios and pulled, and runtimes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gate5 import engine, store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.evaluation import envelope
from gate5.io import canonical
from gate5.pipeline import stages
from gate5.plant.registry import open_plant
from gate5.store import load_public_keys
from gate5.workspace.artifacts import Workspace, open_workspace
from tests.support.bench import Bench

GOOD = Path(__file__).parents[3] / "examples/checkpoints/good"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "evaluation": {"episodes": 5, "monte_carlo": 0},
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a key, a store with one release on `production`, its workspace `w`, and it pulled to `plant`.

    The release's engine, golden inputs and envelope are real; it has no verdict, whose stages take minutes.
    """
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(folder))
        patch.chdir(folder)
        (folder / "release.yaml").write_text(yaml.safe_dump(CONFIG))
        assert main(["keygen"]) == 0
        _publish(open_workspace(str(folder / "w")), ReleaseConfig.load(folder / "release.yaml"))
        assert main(["pull", "plant", "--config", "release.yaml", "--trust", "var/keys/release.pub"]) == 0
        yield folder


def _publish(workspace: Workspace, config: ReleaseConfig) -> None:
    stages.resolve(workspace, config, str(GOOD))
    stages.export(workspace, config)
    stages.build(workspace, config)
    seen = []
    for scenario in stages.scenarios(config):
        stages.evaluate(workspace, config, scenario)
        with np.load(io.BytesIO(workspace.read(f"envelope/{scenario}.npz"))) as arrays:
            seen.append(dict(arrays))
    bounds = envelope.fit(open_plant(config.plant), seen)
    with np.load(io.BytesIO(workspace.read("observations.npz"))) as arrays:
        obs = arrays["obs"][:64]
    blob, metadata = workspace.read("engine/policy.engine"), workspace.read_json("engine/engine.json")
    with engine.load(blob, metadata) as loaded:
        golden = pack_golden(obs, loaded.infer(obs))
    files = {
        "engine/policy.engine": blob,
        "engine/engine.json": canonical.dumps(metadata),
        "golden.npz": golden,
        "envelope.json": canonical.dumps(bounds.to_dict()),
    }
    opened = store.open_store(config.store)
    provenance = {
        "plant": "sco2", "engine": metadata, "gate": {"verdict": "pass"}, "golden": golden_provenance(),
        "config": config.plain(),
    }  # fmt: skip
    release = store.publish(opened, files, provenance)
    store.promote(opened, "production", release, approved_by="me")


@pytest.fixture(scope="session")
def installed(home: Path) -> Installed:
    return read_installed(home / "plant", load_public_keys([home / "var/keys/release.pub"]))


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.close()


@pytest.fixture
def bench(installed: Installed, launcher: Launcher) -> Iterator[Bench]:
    found = Bench(installed, launcher)
    yield found
    for link in found.links:
        link.close()
