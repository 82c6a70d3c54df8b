"""Gradients through the plant: they improve what training begins with, go on after a kill, and need a plant for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gate5.cli.main import main
from gate5.control.closed_loop import QuickScore
from gate5.errors import ConfigError, PlantError
from gate5.plant.base import Scenario
from gate5.plant.sco2 import SCO2Plant
from gate5.train import TrainingSettings, train
from gate5.train.gradient import GradientConfig
from gate5.train.half import HalfConfig
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.run import Run
from gate5.train.settings import PPOConfig
from gate5.train.summary import curve, curve_picture
from tests.support.tank import Tank

SETTINGS = TrainingSettings(
    steps=0,
    seed=1,
    ppo=PPOConfig(envs=2, n_steps=64, batch_size=128),
    imitate=ImitationConfig(rounds=1, episodes=2),
    gradient=GradientConfig(
        iterations=3, episodes=2, hardest=1, among=4, sets=1, window=40, learning_rate=2e-5, validate=1
    ),
    half=HalfConfig(steps=0),
    polish=PolishConfig(generations=0),
    validation_episodes=2,
    report_episodes=2,
)


class OneScenario(SCO2Plant):
    """The sCO2 plant with its shortest scenario alone."""

    scenarios: Mapping[str, Scenario] = {"steady_state": SCO2Plant().scenarios["steady_state"]}


def test_a_few_steps_gain_and_a_killed_training_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(OneScenario(), tmp_path / "whole", SETTINGS, progress=False)
    whole = json.loads((tmp_path / "whole" / "train.json").read_text())
    values, rows = whole["gradient"]["values"], whole["log"]
    assert len(values) == 3
    assert values[-1] > values[0]
    assert [row["by"] for row in rows] == ["PPO", *["gradient"] * 3]
    assert max(row["gain"] for row in rows[1:]) > rows[0]["gain"]
    assert "| 0 | gradient |" in "\n".join(curve(whole))
    assert "gradient through the plant" in curve_picture(whole)

    note = Run._note

    def die(self: Run, score: QuickScore, *, kept: bool, by: str = "PPO") -> None:
        if len(self.climbing) == 3:
            raise KeyboardInterrupt
        note(self, score, kept=kept, by=by)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            train(OneScenario(), tmp_path / "killed", SETTINGS, progress=False)
    other = replace(SETTINGS, gradient=replace(SETTINGS.gradient, iterations=9))
    with pytest.raises(ConfigError, match="another plant, seed"):
        train(OneScenario(), tmp_path / "killed", other, progress=False, resume=True)
    train(OneScenario(), tmp_path / "killed", SETTINGS, progress=False, resume=True)
    record = json.loads((tmp_path / "killed" / "train.json").read_text())
    np.testing.assert_allclose(record["gradient"]["values"], values, atol=1e-3)  # the weights are saved in float32


def test_a_plant_without_gradients_is_named(tank: Tank, tmp_path: Path) -> None:
    settings = replace(SETTINGS, ppo=PPOConfig(envs=2, n_steps=64, batch_size=128, hidden=(16, 16)))
    with pytest.raises(PlantError, match="has no differentiable"):
        train(tank, tmp_path, settings, progress=False)


def test_fewer_than_no_iterations_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path), "--gradient", "-1"]) == 2
    assert "--gradient is -1" in capsys.readouterr().err


def test_gradients_without_an_imitated_start_are_refused(tank: Tank, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begin at the imitated policy"):
        train(tank, tmp_path, replace(SETTINGS, imitation=False), progress=False)
