"""The same function has one identity, whatever its files are called and hold besides; another function another one."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.checkpoint import fetch, read

GOOD = Path(__file__).resolve().parents[2] / "examples" / "checkpoints" / "good"


def identity(source: Path, vecnormalize: str | None = None) -> str:
    return read(fetch(str(source), vecnormalize=vecnormalize)).function_sha256


@pytest.fixture(scope="module")
def good() -> str:
    return identity(GOOD)


def unpickled() -> Any:
    normaliser = pickle.loads((GOOD / "vecnormalize.pkl").read_bytes())
    normaliser.__dict__.update(venv=None, class_attributes={}, returns=None)  # what pickling it takes out again
    return normaliser


def renamed(folder: Path) -> tuple[Path, str | None]:
    archive, statistics = folder / "best model (2).zip", folder / "stats.pickle"
    shutil.copy(GOOD / "policy.zip", archive)
    shutil.copy(GOOD / "vecnormalize.pkl", statistics)
    return archive, str(statistics)


def packed_again(folder: Path) -> tuple[Path, str | None]:
    shutil.copy(GOOD / "vecnormalize.pkl", folder)
    with zipfile.ZipFile(GOOD / "policy.zip") as old, zipfile.ZipFile(folder / "policy.zip", "w", 8) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    return folder, None


def saved_again(folder: Path) -> tuple[Path, str | None]:
    """Other counters, another critic, another exploration: nothing that a deterministic policy computes."""
    import torch
    from stable_baselines3 import PPO

    shutil.copy(GOOD / "vecnormalize.pkl", folder)
    model = PPO.load(GOOD / "policy.zip", device="cpu")
    model.num_timesteps += 1
    with torch.no_grad():
        for weights in (*model.policy.value_net.parameters(), model.policy.log_std):
            weights.add_(0.5)
    model.save(folder / "policy.zip")
    return folder, None


def of_a_longer_training(folder: Path) -> tuple[Path, str | None]:
    """The same mean and variance, and another count, reward statistics and switches."""
    shutil.copy(GOOD / "policy.zip", folder)
    normaliser = unpickled()
    normaliser.training, normaliser.norm_reward, normaliser.gamma = True, True, 0.5
    normaliser.obs_rms.count, normaliser.ret_rms.mean = 5.0, np.float64(9)
    (folder / "vecnormalize.pkl").write_bytes(pickle.dumps(normaliser))
    return folder, None


@pytest.mark.parametrize("made", [renamed, packed_again, saved_again, of_a_longer_training])
def test_the_same_function(made: Callable[[Path], tuple[Path, str | None]], tmp_path: Path, good: str) -> None:
    assert identity(*made(tmp_path)) == good


@pytest.mark.parametrize("what", ["mean", "var", "clip_obs", "epsilon", "none"])
def test_another_normaliser_is_another_function(what: str, tmp_path: Path, good: str) -> None:
    shutil.copy(GOOD / "policy.zip", tmp_path)
    normaliser = unpickled()
    if what in ("mean", "var"):
        getattr(normaliser.obs_rms, what)[0] += 1e-6
    elif what != "none":
        setattr(normaliser, what, getattr(normaliser, what) * 2)
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(normaliser))
    assert identity(tmp_path, "none" if what == "none" else None) != good
