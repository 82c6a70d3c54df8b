"""Plants that are not ours, released by the command line with a configuration file alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.main import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/pendulum/release.yaml"
#: The SLA is a wide one: no test may fail because the machine is busy.
QUICK = ["--set", "latency.iterations=1000", "--set", "latency.warmup=100", "--set", "latency.cadence_ms=0.1",
         "--set", "latency.cadence_iterations=500", "--set", "export.samples=1000",
         "--set", "engine.backend=onnxruntime",
         "--set", "gate.sla_p99_ms=1000"]  # fmt: skip
Run = Callable[..., int]


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PPO with VecNormalize on Pendulum, really trained: ``early`` after 1,024 steps, ``trained`` after 50,000."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    folder = tmp_path_factory.mktemp("pendulum")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    envs = VecNormalize(make_vec_env("Pendulum-v1", 8, seed=1), gamma=0.95)
    model = PPO("MlpPolicy", envs, n_steps=128, batch_size=256, gamma=0.95, learning_rate=1e-3, seed=1, device="cpu")
    paths = {}
    for name, steps in (("early", 1024), ("trained", 49_152)):
        model.learn(steps, reset_num_timesteps=False)
        paths[name] = folder / name
        paths[name].mkdir()
        model.save(paths[name] / "policy.zip")
        envs.save(str(paths[name] / "vecnormalize.pkl"))
    torch.set_num_threads(threads)
    return paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with a signing key."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["keygen"]) == 0
    return tmp_path


def release(checkpoint: Path, *more: str) -> int:
    return main(["release", str(checkpoint), "--config", str(EXAMPLE), "--workspace", "w", *QUICK, *more])


def comparison(home: Path) -> dict[str, Any]:
    rows = json.loads((home / "w/comparison.json").read_text())["scenarios"]
    return {row["scenario"]: row for row in rows}


def released(home: Path) -> list[Path]:
    return list((home / "var/store").glob("channels/production/*.json"))


def test_a_trained_pendulum_is_released_with_the_example_file_alone(
    pendulum: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release(pendulum["trained"]) == 0, capsys.readouterr().out
    assert len(released(home)) == 1
    assert "no baseline" in capsys.readouterr().out
    rows = comparison(home)
    assert set(rows) == {"from_below", "near_top"}
    for row in rows.values():
        assert row["baseline"] is None
        assert row["difference"] is None
        assert row["rl"]["engine_episodes"] == 20
        assert row["reference"]["reference"].startswith("ONNX graph, NumPy")
        assert row["reference"]["return_abs_max"] < 0.5
    page = (home / "w/report.html").read_text()
    assert "Near the top" in page
    assert "engine against reference" in page


def test_an_early_pendulum_is_refused_by_the_file_s_own_rule(
    pendulum: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release(pendulum["early"]) == 1
    assert "swings_up" in capsys.readouterr().out
    assert released(home) == []


def test_another_policy_is_the_baseline_and_travels_with_the_workspace(
    pendulum: dict[str, Path], home: Path, tmp_path: Path
) -> None:
    """A stage on another machine has no such path: what it compares with lies in the workspace."""
    other = tmp_path / "yesterday"
    pendulum["early"].rename(other)
    arguments = ["--set", "baseline.kind=policy", "--set", f"baseline.checkpoint={other}"]
    try:
        assert release(pendulum["trained"], *arguments) == 0
    finally:
        other.rename(pendulum["early"])
    row = comparison(home)["from_below"]
    assert row["baseline"]["episodes"] == 20
    assert row["baseline"]["engine_episodes"] == 0
    assert row["baseline_name"].startswith("policy ")
    assert row["difference"]["low"] > 0, "the trained policy is better on the same seeds"
    assert f"return, {row['baseline_name']}" in (home / "w/report.html").read_text()
    (home / "w/records/evaluate-near_top.json").unlink()
    assert main(["evaluate", "--workspace", "w", "--scenario", "near_top"]) == 0, "the path is gone by now"


def test_the_default_rules_never_pass_a_plant_without_their_scenarios(
    pendulum: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ask for PID and for an emergency trip: `fail` for what is measured as absent, never `pass`."""
    plain = yaml.safe_load(EXAMPLE.read_text())
    del plain["gate"]
    (home / "plain.yaml").write_text(yaml.safe_dump(plain))
    arguments = ["release", str(pendulum["trained"]), "--config", str(home / "plain.yaml"), "--workspace", "w", *QUICK]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "emergency_trip_shown: evaluation.emergency_trip.rl.engine_episodes: no stage reports" in out
    assert "compared_with_pid" in out
    assert released(home) == []


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str) -> None:
    """Exit code 2 and one sentence on stderr with all of ``words``."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gate5: ")
    for word in words:
        assert word in lines[0]


class TestBadInput:
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GATE5_HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)

    def resolve(self, checkpoint: Path, *settings: str) -> list[str]:
        more = [part for setting in settings for part in ("--set", setting)]
        return ["resolve", str(checkpoint), "--workspace", "w", *more]

    def test_a_constraint_on_a_variable_that_the_plant_does_not_have(
        self, pendulum: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        constraint = "plant.options.constraints=[{name: fast, variable: rat, high: 8}]"
        arguments = [*self.resolve(pendulum["early"], constraint), "--config", str(EXAMPLE)]
        refused(capsys, arguments, "'fast'", "did you mean 'rate'?")

    def test_a_limit_of_a_constraint_that_the_plant_does_not_have(self, capsys: pytest.CaptureFixture[str]) -> None:
        limit = "plant.options={constraints: {turbine_inlet_hihg: {high: 705}}}"
        refused(capsys, self.resolve(ROOT / "examples/checkpoints/good", limit), "did you mean 'turbine_inlet_high'?")

    def test_an_environment_whose_spaces_do_not_match_the_policy(
        self, pendulum: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("takes 3 observations and gives 1 actions", "the plant sco2 has 36 and 4")
        refused(capsys, self.resolve(pendulum["early"]), *words)

    def test_a_baseline_policy_of_another_plant(
        self, pendulum: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = ("baseline.kind=policy", f"baseline.checkpoint={pendulum['early']}")
        words = ("The baseline's policy takes 3 observations",)
        refused(capsys, self.resolve(ROOT / "examples/checkpoints/good", *settings), *words)

    def test_a_baseline_policy_without_its_checkpoint_and_the_reverse(self, capsys: pytest.CaptureFixture[str]) -> None:
        good = ROOT / "examples/checkpoints/good"
        refused(capsys, self.resolve(good, "baseline.kind=policy"), "checkpoint")
        refused(capsys, self.resolve(good, "baseline.checkpoint=x.zip"), "'x.zip'", "kind to policy")

    def test_no_pid_for_a_foreign_plant(self, pendulum: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
        arguments = [*self.resolve(pendulum["early"], "baseline.kind=pid"), "--config", str(EXAMPLE)]
        refused(capsys, arguments, "gymnasium:Pendulum-v1 has no PID gains", "baseline.kind to none")

    @pytest.mark.parametrize(
        ("change", "says"),
        [({"kp": [1.0, 2.0]}, "kp"), ({"measurement": "net_powr"}, "net_powr"), ({"kp": "strong"}, "'strong'")],
    )
    def test_a_gain_of_the_wrong_shape(
        self, change: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        gains = json.loads((ROOT / "include/gate5/plant/sco2/pid_gains.json").read_text())
        next(c for c in gains["channels"] if c["loops"])["loops"][0].update(change)
        (tmp_path / "gains.json").write_text(json.dumps(gains))
        good = ROOT / "examples/checkpoints/good"
        refused(capsys, self.resolve(good, "baseline.gains=gains.json"), says)

    def test_a_scenario_that_is_not_in_the_release(
        self, pendulum: dict[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([*self.resolve(pendulum["early"]), "--config", str(EXAMPLE)]) == 0
        capsys.readouterr()
        words = ("'near_topp'", "near_top")
        refused(capsys, ["evaluate", "--workspace", "w", "--scenario", "near_topp"], *words)
