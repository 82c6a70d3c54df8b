"""The ascent on the output layer: it improves what imitation left, and goes on where it was killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gate5.control.closed_loop import QuickScore, pairs, quick
from gate5.errors import ConfigError
from gate5.train import TrainingSettings, train
from gate5.train.ascent import AscentConfig, value
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.resume import STATE
from gate5.train.run import Run
from gate5.train.settings import BUFFERS, PPOConfig
from gate5.train.vec_env import Shaping
from tests.support.tank import Constant, Tank

SETTINGS = TrainingSettings(
    steps=0,
    seed=1,
    ppo=PPOConfig(envs=6, n_steps=64, batch_size=128, hidden=(16, 16), chunk=384),
    imitate=ImitationConfig(rounds=1, episodes=2, epochs=2, final_epochs=2),
    ascent=AscentConfig(iterations=3, episodes=2, directions=9),
    polish=PolishConfig(generations=0),
    validation_episodes=4,
    report_episodes=2,
)


def test_a_rough_imitation_ascends_and_the_log_shows_it(tank: Tank, tmp_path: Path) -> None:
    train(tank, tmp_path, SETTINGS, progress=False)
    record = json.loads((tmp_path / "train.json").read_text())
    rows, values = record["log"], record["ascent"]["values"]
    assert values == sorted(values)
    assert [row["by"] for row in rows] == ["PPO", *["ascent"] * len(values)]
    kept = [(-row["violations"], row["gain"]) for row in rows if row["kept"]]
    assert kept == sorted(kept)
    assert kept[-1] > kept[0], "the imitation was rough"


def test_a_killed_ascent_goes_on_with_the_iterations_that_are_left(
    tank: Tank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = Run._note

    def die(self: Run, score: QuickScore, *, kept: bool, by: str = "PPO") -> None:
        note(self, score, kept=kept, by=by)
        if len(self.ascending) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_note", die)
        with pytest.raises(KeyboardInterrupt):
            train(tank, tmp_path, SETTINGS, progress=False)
    left = (tmp_path / STATE).read_bytes()
    train(tank, tmp_path, SETTINGS, progress=False, resume=True)
    record = json.loads((tmp_path / "train.json").read_text())
    assert 1 <= len(record["ascent"]["values"]) <= 3
    (tmp_path / STATE).write_bytes(left)
    other = replace(SETTINGS, ascent=AscentConfig(iterations=9))
    with pytest.raises(ConfigError, match="another plant, seed"):
        train(tank, tmp_path, other, progress=False, resume=True)


def test_what_violates_or_loses_a_term_is_worth_less(tank: Tank) -> None:
    shaping = Shaping(tank.constraints, BUFFERS, 0.3)
    good, bad = (quick(tank, Constant(a), *pairs(tank, 2, 3)) for a in (0.0, 1.0))
    assert value(tank, bad, good, shaping) < value(tank, good, good, shaping) - 10.0
    assert value(tank, good, good, shaping) == pytest.approx(value(tank, good, good, shaping))
    dearer = replace(good, terms=good.terms + 1.0)
    cheaper = replace(good, terms=good.terms - 1.0)
    least, usual, most = (value(tank, s, good, shaping) for s in (dearer, good, cheaper))
    assert least <= usual <= most
    assert np.isfinite([least, usual, most]).all()
