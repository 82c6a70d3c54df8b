"""A release of the shipped checkpoint, judged in all seven scenarios and pulled, and runtimes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.plant_folder import publish
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.store import load_public_keys
from gate5.workspace.artifacts import open_workspace
from tests.support.bench import Bench
from tests.support.small import FEW_EPISODES

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "examples/checkpoints/good"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "evaluation": {"episodes": 50, "monte_carlo": 0},
    "gate": {"rules": FEW_EPISODES},
}


@pytest.fixture(autouse=True)
def children_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts run modules of ``tests.support``, wherever pytest was started and installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)


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
        publish(open_workspace(str(folder / "w")), ReleaseConfig.load(folder / "release.yaml"), str(GOOD))
        assert main(["pull", "plant", "--config", "release.yaml", "--trust", "var/keys/release.pub"]) == 0
        yield folder


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
