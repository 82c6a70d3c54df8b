"""A training that is killed goes on from its last saved state, and the result says so."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.cli.main import main
from gate5.errors import CheckpointError, ConfigError
from gate5.train import TrainingSettings, train
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.resume import STATE
from gate5.train.settings import FROM_NOTHING, PPOConfig
from gate5.workspace.artifacts import Workspace, open_workspace
from tests.support.s3_server import S3Server
from tests.support.tank import Tank

TINY = ImitationConfig(rounds=1, episodes=2, epochs=1, final_epochs=1, batch=256)
SMALL = PPOConfig(envs=6, n_steps=64, batch_size=128, hidden=(16, 16), chunk=384)
SEARCH = PolishConfig(generations=12, population=6, episodes=1, sigma=0.05)
STEPS = 1500
SETTINGS = TrainingSettings(
    STEPS, seed=3, ppo=SMALL, imitate=TINY, polish=SEARCH, validation_episodes=4, report_episodes=2
)
#: Sums in another order differ in the last digit: trainings that are compared have the same number of threads.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

#: Trains in a process of its own and says what it is at, so that the test can kill it there.
CHILD = """
import sys
from pathlib import Path
from gate5.train import TrainingSettings, train
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.settings import PPOConfig
from tests.support.tank import Tank

out, steps = sys.argv[1:]
settings = TrainingSettings(
    steps=int(steps), seed=3, report_episodes=2, validation_episodes=4,
    imitate=ImitationConfig(rounds=1, episodes=2, epochs=1, final_epochs=1, batch=256),
    ppo=PPOConfig(envs=6, n_steps=64, batch_size=128, hidden=(16, 16), chunk=384),
    polish=PolishConfig(generations=12, population=6, episodes=1, sigma=0.05),
)
say = lambda text, share: print(text.split(",")[0], flush=True)
train(Tank(), Path(out), settings, progress=say, resume=True)
"""


class Interrupted(Exception):  # noqa: N818 - stands for a kill
    """Ends a training at a chosen point."""


def go(
    tank: Tank,
    out: Path,
    *,
    resume: bool = False,
    state: Workspace | None = None,
    progress: Callable[[str, float], None] | bool = False,
    **changes: Any,
) -> Any:
    """The training of all tests here, with some settings changed; returns its record."""
    train(tank, out, replace(SETTINGS, **changes), progress=progress, resume=resume, state=state)
    return json.loads((out / "train.json").read_text())


def stop_at(what: str, count: int) -> Callable[[str, float], None]:
    """Raise when ``what`` has been said ``count`` times."""
    seen: list[str] = []

    def say(text: str, share: float) -> None:
        seen.append(text)
        if sum(what in line for line in seen) == count:
            raise Interrupted

    return say


def stopped(tank: Tank, out: Path, what: str, count: int) -> None:
    with pytest.raises(Interrupted):
        go(tank, out, progress=stop_at(what, count))
    assert (out / STATE).exists()
    assert not (out / "train.json").exists()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in ``ONE_THREAD``, for the trainings in this process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was stopped after its first chunk of PPO."""
    folder = tmp_path_factory.mktemp("begun")
    stopped(Tank(), folder, "PPO", 2)
    return folder


@pytest.fixture
def out(begun: Path, tmp_path: Path) -> Path:
    """A copy of ``begun``."""
    return Path(shutil.copytree(begun, tmp_path / "out"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training of all tests here, which nobody stopped."""
    folder = tmp_path_factory.mktemp("finished")
    go(Tank(), folder)
    return folder


def environment() -> dict[str, str]:
    """Of a process that finds the tests' own modules, as this one does."""
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_until(command: list[str], start: str, line: int) -> None:
    """Run a process and send it SIGKILL when it has said ``line`` lines that begin with ``start``."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as child:
        assert child.stdout is not None
        said = 0
        for text in child.stdout:
            said += text.startswith(start)
            if said == line:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL


def run_to_its_end(command: list[str]) -> list[str]:
    """Run a process; returns the lines that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_killed_with_kill_9_it_goes_on_in_a_new_process(tmp_path: Path, finished: Path) -> None:
    """Killed in PPO and again in the search. What had been done is not done again: the learning curve up to the first
    kill is that of a training nobody killed, in another process."""
    out = tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, str(out), str(STEPS)]
    run_until(command, "PPO", 3)
    assert not (out / "train.json").exists()
    run_until(command, "output layer", 8)
    assert not (out / "train.json").exists()
    said = run_to_its_end(command)

    record, whole = (json.loads((folder / "train.json").read_text()) for folder in (out, finished))
    assert not any(text.startswith(("imitation", "PPO")) for text in said)
    assert 0 < len(said) <= SEARCH.generations - 5, "of the search, only what was not saved is done again"
    first, second = record["resumed_at"]
    assert first >= 768, "the chunk before the one that was killed had been saved"
    assert second == record["steps"] == whole["steps"] == 1536
    assert record["log"][: 1 + first // 384] == whole["log"][: 1 + first // 384]
    assert len(record["polish"]["values"]) == SEARCH.generations
    assert not (out / STATE).exists()


def test_a_search_that_was_interrupted_ends_as_if_it_had_not_been(tank: Tank, tmp_path: Path, finished: Path) -> None:
    """Everything before the search and in it is restored exactly, so the policies are equal to the bit."""
    from gate5.checkpoint import fetch, read

    stopped(tank, tmp_path, "output layer", 7)
    go(tank, tmp_path, resume=True)
    first, second = (read(fetch(str(folder))) for folder in (tmp_path, finished))
    for ours, theirs in zip(first.policy.layers, second.policy.layers, strict=True):
        np.testing.assert_array_equal(ours.weight, theirs.weight)
    assert first.normaliser is not None
    assert second.normaliser is not None
    np.testing.assert_array_equal(first.normaliser.mean, second.normaliser.mean)


def test_two_resumptions_are_both_on_record_and_the_seeds_of_episodes_go_on(tank: Tank, out: Path) -> None:
    """A curriculum that began again would train on the same episodes over and over."""
    with pytest.raises(Interrupted):
        go(tank, out, resume=True, progress=stop_at("PPO", 3))
    assert go(tank, out, resume=True)["resumed_at"] == [384, 1152]


def test_the_state_of_the_curriculum_optimiser_and_generators_comes_back(tank: Tank, tmp_path: Path) -> None:
    import torch

    from gate5.train.resume import SavedTraining
    from gate5.train.run import Run

    def made() -> Run:
        return Run(tank, 3, SMALL, "cpu", 4)

    run, saved = made(), SavedTraining(open_workspace(tmp_path), {})
    run.measure_scale()
    run.improve(384, lambda text, share: None, guarded=False, save=saved.save)
    expected = (run.curriculum.draw(5), np.random.random(3).tolist(), torch.rand(3).tolist())
    moments = [float(v["exp_avg"].abs().sum()) for v in run.model.policy.optimizer.state.values()]
    again = made()
    assert saved.load(again)
    assert (again.curriculum.draw(5), np.random.random(3).tolist(), torch.rand(3).tolist()) == expected
    assert [float(v["exp_avg"].abs().sum()) for v in again.model.policy.optimizer.state.values()] == moments
    assert again.model.num_timesteps == run.model.num_timesteps == 384


def test_a_training_that_came_to_its_end_is_not_repeated(tank: Tank, tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "policy.zip").stat().st_mtime_ns
    go(tank, tmp_path, resume=True, progress=stop_at("", 1))
    assert (tmp_path / "policy.zip").stat().st_mtime_ns == before
    with pytest.raises(Interrupted):  # another seed is another training
        go(tank, tmp_path, resume=True, seed=4, progress=stop_at("", 1))


def test_without_resume_it_begins_anew(tank: Tank, out: Path) -> None:
    assert go(tank, out, steps=384, polish=PolishConfig(generations=0))["resumed_at"] == []


@pytest.mark.parametrize(
    "change",
    [{"seed": 4}, {"steps": 2000}, {"ppo": replace(SMALL, gamma=0.9)}, {"polish": PolishConfig(generations=0)}],
)
def test_another_training_does_not_go_on_from_it(tank: Tank, out: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="another plant, seed, number of steps or other settings"):
        go(tank, out, resume=True, **change)


def test_another_limit_of_the_plant_is_another_training(tank: Tank, out: Path) -> None:
    tank.constraints = (replace(tank.constraints[0], high=2.9), *tank.constraints[1:])
    with pytest.raises(ConfigError, match="another plant"):
        go(tank, out, resume=True)


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def test_a_damaged_state_is_told_and_code_in_it_is_not_run(
    tank: Tank, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    whole = (out / STATE).read_bytes()
    for data in (b"", whole[: len(whole) // 2], pickle.dumps(Malicious(), protocol=2)):
        (out / STATE).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"training\.pt in .* is damaged"):
            go(tank, out, resume=True)
    assert not (out / "owned").exists()


def test_the_state_may_lie_in_s3_where_another_machine_goes_on(tank: Tank, tmp_path: Path) -> None:
    short: dict[str, Any] = {"steps": 1152, "polish": PolishConfig(generations=0)}
    with S3Server() as server:
        server.bucket("candidates")
        state = open_workspace("s3://candidates/run", server.client())
        with pytest.raises(Interrupted):
            go(tank, tmp_path / "first", state=state, progress=stop_at("PPO", 3), **short)
        assert state.list() == [STATE]
        record = go(tank, tmp_path / "second", state=state, resume=True, **short)
        assert record["resumed_at"] == [768]
        assert state.list() == ["policy.zip", "train.json", "vecnormalize.pkl"]
        assert state.read("policy.zip") == (tmp_path / "second" / "policy.zip").read_bytes()


def test_the_command_resumes_and_refuses_another_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gate5.train import settings

    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    small = replace(FROM_NOTHING, envs=4, n_steps=64, batch_size=64, chunk=256, hidden=(8,))
    monkeypatch.setattr(settings, "FROM_NOTHING", small)
    plant = ["--set", "plant.id=gymnasium:Pendulum-v1", "--set", "plant.options={steps: 40}"]
    command = ["train", str(tmp_path / "out"), "--no-imitation", "--seed", "1", "--resume", *plant, "--steps"]
    assert main([*command, "256"]) == 0
    assert main([*command, "256"]) == 0
    (tmp_path / "out" / STATE).write_bytes(b"half")
    assert main([*command, "256"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_after_ctrl_c_the_command_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --resume, the same command again would begin anew."""

    def interrupted(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gate5.train.train", interrupted)
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    assert main(["train", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err.count("--resume") == 1
