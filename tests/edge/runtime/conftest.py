"""A release of the shipped checkpoint, judged in all seven scenarios and pulled, and runtimes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.store import load_public_keys
from tests.support.bench import Bench

GOOD = Path(__file__).parents[3] / "examples/checkpoints/good"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "latency": {"iterations": 1000, "warmup": 10, "cadence_ms": 0.1, "cadence_iterations": 100},
    "evaluation": {"episodes": 10},
    "gate": {
        "rules": [{"name": "d", "metric": "evaluation.*.rl.engine_episodes", "op": ">=", "threshold": 1}],
        "sla_p99_ms": 1000,
    },
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a key, a store with one release on `production`, its workspace `w`, and it pulled to `plant`."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(folder))
        patch.chdir(folder)
        (folder / "release.yaml").write_text(yaml.safe_dump(CONFIG))
        assert main(["keygen"]) == 0
        assert main(["release", str(GOOD), "--config", "release.yaml", "--workspace", "w"]) == 0
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
