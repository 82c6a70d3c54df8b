"""Files that Stable-Baselines3 1.x wrote, with the old gym: read, and what that release's ``predict`` gave.

Those in ``sb3_1_8`` were written by stable-baselines3 1.8.0 and sb3-contrib 1.8.0 (gym 0.21, numpy 1.26) in an
environment of their own; those in ``sb3_1_2`` by 1.2.0, whose PPO still had layers that actor and critic share
(``scripts/make_old_checkpoints.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate5.checkpoint import fetch, read
from gate5.config.candidate import ExportConfig
from gate5.export import ONNXExporter
from gate5.export.compare import run_graph

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for name in ("sb3_1_2", "sb3_1_8") for path in (HERE / name).glob("*/policy.zip"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.filterwarnings("ignore")
def test_old_file(folder: Path) -> None:
    """Graph, today's SB3 where it can hold the policy, and NumPy."""
    checkpoint = read(fetch(folder))
    assert (checkpoint.sb3_version or "").startswith("1.")
    with np.load(folder / "expected.npz") as data:
        obs, action = data["obs"], data["action"]
    signature = checkpoint.signature
    rows = np.concatenate([obs, np.zeros((len(obs), signature.state), np.float32)], axis=1)
    graph = ONNXExporter(ExportConfig()).trace(checkpoint)
    for found in (checkpoint.reference(rows)[0], checkpoint.reference_numpy(rows), run_graph(graph, rows)):
        np.testing.assert_allclose(found[:, : signature.acted], action, atol=1e-4)


def test_shared_layers_are_compared_with_numpy() -> None:
    """Stable-Baselines3 2 has no such network."""
    checkpoint = read(fetch(HERE / "sb3_1_2/PPO"))
    assert checkpoint.network is None
    assert len(checkpoint.policy.layers) == 3
    assert checkpoint.reference(np.zeros((1, 3), np.float32))[1] == "numpy float64"


def test_there_are_enough() -> None:
    names = {folder.name for folder in FOLDERS}
    assert {"PPO-sde", "A2C", "SAC", "TD3", "DDPG", "DQN", "TQC", "QRDQN", "TRPO", "RecurrentPPO", "ARS"} <= names
