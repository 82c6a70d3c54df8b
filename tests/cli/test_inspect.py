"""``gate5 inspect``: what a checkpoint is and how it can be released, for people and for programs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gate5.cli.main import main
from scripts.policy_kinds import Case, train

GOOD = Path(__file__).parents[2] / "examples/checkpoints/good"
KINDS = [
    Case("PPO", "Dict", "Box"), Case("RecurrentPPO", "Box", "Box"), Case("MaskablePPO", "Box", "MultiDiscrete"),
    Case("DQN", "image", "Discrete"), Case("SAC", "frames", "Box"), Case("ARS", "Discrete", "Box"),
]  # fmt: skip


def test_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(GOOD)]) == 0
    text = capsys.readouterr().out
    digest = hashlib.sha256((GOOD / "policy.zip").read_bytes()).hexdigest()
    statistics = str(GOOD / "vecnormalize.pkl")
    for expected in ("PPO", "Box(36,) float32", "36-64-64-4, ReLU", "6,788", statistics, digest, "Baselines3 2."):
        assert expected in text
    assert main(["inspect", str(GOOD), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["releasable"] is True
    assert found["checkpoint"]["normaliser"]["count"] > 0


@pytest.mark.parametrize("case", KINDS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: Case) -> None:
    train(case, tmp_path)
    more = ["--set", "checkpoint.frame_stack=3"] if case.observation == "frames" else []
    if case.observation == "Discrete":  # VecNormalize takes none of it: nothing has to be said
        more += ["--set", "plant.id=sco2"]
    assert main(["inspect", str(tmp_path), *more]) == 0, capsys.readouterr().out
    text = capsys.readouterr().out
    for expected in {
        "Dict": ("gear [batch, 1]", "speed [batch, 2]", "area [batch, 2, 2]"),
        "frames": ("3 frames in one", "obs_before"),
        "image": ("after a CNN on obs", "obs [batch, 1, 36, 36]"),
    }.get(case.observation, ()):  # fmt: skip
        assert expected in text
    if case.algorithm == "RecurrentPPO":
        assert "after an LSTM of 8-8" in text
        assert "zero at the start of an episode" in text
    if case.algorithm == "MaskablePPO":
        assert "action_mask [batch, 5]" in text


def test_without_statistics_it_says_what_it_is_and_what_is_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.zip").write_bytes((GOOD / "policy.zip").read_bytes())
    assert main(["inspect", str(tmp_path), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["releasable"] is False
    assert "checkpoint.vecnormalize" in found["how"]
    assert found["checkpoint"]["algorithm"] == "PPO"
    assert main(["inspect", str(tmp_path), "--set", "checkpoint.vecnormalize=none"]) == 0


def test_not_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.zip").write_bytes(b"hello")
    assert main(["inspect", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "cannot be released" in out
    assert "not a zip archive" in out
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
