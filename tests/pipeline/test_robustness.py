"""The thin margin of an earlier checkpoint is found, refused, kept for later candidates, and can be replayed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.checkpoint import fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.cli.main import main
from gate5.config.evaluation import BaselineConfig
from gate5.config.models import ReleaseConfig
from gate5.control import open_baseline
from gate5.plant.sco2 import SCO2Plant
from gate5.robustness.cases import drive
from gate5.robustness.report import RobustnessReport
from gate5.store import open_store
from tests.support.small import FEW_EPISODES

ROOT = Path(__file__).resolve().parents[2]
THIN = ROOT / "examples/checkpoints/thin-margin"
SCENARIO = "load_following"
CONFIG: dict[str, Any] = {
    "engine": {"backend": "onnxruntime"},
    "export": {"samples": 1000},
    "latency": {"iterations": 1000, "warmup": 100, "cadence_ms": 0.1, "cadence_iterations": 500},
    "evaluation": {"episodes": 2, "monte_carlo": 50, "scenarios": [SCENARIO]},
    "falsification": {"control_steps": 400_000},
    "stress": {"episodes": 1},
    "gate": {"sla_p99_ms": 1000, "rules": FEW_EPISODES},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the old checkpoint has been through a whole release."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(folder))
        patch.chdir(folder)
        assert main(["keygen"]) == 0
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        assert main(["release", str(THIN), "--config", "config.yaml", "--workspace", "w"]) == 1
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE5_HOME", str(home))
    monkeypatch.chdir(home)


def case(home: Path, workspace: str = "w") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / workspace / f"cases/{SCENARIO}.json").read_text())
    return found


def test_the_violation_is_found_and_the_gate_refuses_it(home: Path) -> None:
    found = case(home)
    assert found["violates"]
    assert found["constraint"] == "compressor_inlet"
    assert found["value_margin"] < -0.02, "more than the integration error"
    reasons = json.loads((home / "w/rejection.json").read_text())["reasons"]
    assert any(
        "worst_case.load_following.margin" in r and "gate5 replay cases/load_following.json" in r for r in reasons
    )


def test_the_worst_case_is_the_only_veto_that_refuses_it(home: Path) -> None:
    rules = [rule for rule in json.loads((home / "w/gate.json").read_text())["rules"] if rule["veto"]]
    assert [rule["name"] for rule in rules if rule["outcome"] == "fail"] == ["worst_case"]


def inlet(who: str, seed: int, numbers: dict[str, float]) -> float:
    """The smallest margin of the compressor inlet in one episode of load following, which breaks nothing else."""
    plant = SCO2Plant()
    policy = TorchController(read(fetch(str(THIN.parent / "good"))).module)
    driver = policy if who == "good" else open_baseline(BaselineConfig(), plant)
    assert driver is not None
    episodes = drive(plant, driver, SCENARIO, seed, numbers)
    (row,) = (i for i, c in enumerate(episodes.constraints) if c.name == "compressor_inlet")
    assert not episodes.violating.any()
    return float(episodes.margins[row, 0])


@pytest.mark.parametrize("who", ["good", "PID"])
def test_what_broke_the_earlier_policy_leaves_the_shipped_one_and_the_pid_room(home: Path, who: str) -> None:
    assert inlet(who, case(home)["seed"], case(home)["numbers"]) > 0.1


@pytest.mark.parametrize("who", ["good", "PID"])
def test_a_seed_on_which_the_first_shipped_policy_went_over_34_c_leaves_room(who: str) -> None:
    """At 1250 s, with 34.007 C, on the plant's earlier, explicit step."""
    assert inlet(who, 28611, {}) > 0.1


def test_replay_comes_to_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", f"w/cases/{SCENARIO}.json", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["same"]
    assert document["now"]["value_margin"] == pytest.approx(case(home)["value_margin"], abs=1e-6)


def test_replay_says_where_it_is_not_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "w", home / "other", dirs_exist_ok=True)
    changed = case(home) | {"value_margin": 1.0}
    (home / "other/cases/load_following.json").write_text(json.dumps(changed))
    assert main(["replay", "other/cases/load_following.json"]) == 1
    assert "not the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("{", "no case"),
        ("[]", "no case"),
        ('{"format": 1}', "no case"),
    ],
)
def test_a_file_that_is_no_case_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    path = home / "w" / "cases" / "x.json"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    assert main(["replay", str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_a_number_out_of_its_range_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = case(home)
    changed["numbers"]["coolant_offset"] = 40.0
    (home / "w/cases/far.json").write_text(json.dumps(changed))
    assert main(["replay", "w/cases/far.json"]) == 2
    assert "declares -2 to 2" in capsys.readouterr().err


def test_a_violation_is_kept_and_tried_on_the_next_candidate(home: Path) -> None:
    """A search too small to find anything by itself still meets what broke the one before."""
    backend = open_store(ReleaseConfig.load(home / "config.yaml").store).backend
    assert len(backend.list(f"cases/sco2/{SCENARIO}/")) == 1
    small = CONFIG | {"falsification": {"control_steps": 360 * 8}}
    (home / "small.yaml").write_text(yaml.safe_dump(small))
    assert main(["release", str(THIN), "--config", "small.yaml", "--workspace", "w2"]) == 1
    again = case(home, "w2")
    assert again["found_by"] == "earlier candidate"
    assert again["numbers"] == case(home)["numbers"]


def test_the_same_verdict_again(home: Path) -> None:
    assert main(["release", str(THIN), "--config", "config.yaml", "--workspace", "w3"]) == 1
    first, second = (
        RobustnessReport.from_dict(json.loads((home / w / "robustness.json").read_text())) for w in ("w", "w3")
    )
    measured = {name: value for name, value in first.metrics().items() if ".latency." not in name}
    assert measured == {name: second.metrics()[name] for name in measured}


def test_a_quick_run_says_so_and_is_not_promoted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the rules say, a channel that does not accept quick runs does not get one."""
    rules = [{"name": "full_evidence", "metric": "evidence.quick", "op": "==", "threshold": 0.0, "veto": False}]
    lax = CONFIG | {"gate": {"rules": [*rules, {"name": "any", "metric": "parity.onnx.max_abs_error", "op": "<",
                                                "threshold": 1.0}]}}  # fmt: skip
    (home / "quick.yaml").write_text(yaml.safe_dump(lax))
    assert main(["release", str(THIN), "--config", "quick.yaml", "--workspace", "q", "--quick"]) == 1
    out = capsys.readouterr().out
    assert "full_evidence: evidence.quick is 1" in out
    assert "This was a quick run, which proves less than the channel 'production' asks for" in out
    assert not (home / "var/store/channels/production").exists()
    assert "QUICK RUN" in (home / "q/report.html").read_text()
    assert main(["promote", "--workspace", "q"]) == 1
    assert "accept quick runs there with channels.production.quick: true" in capsys.readouterr().err
    (home / "quick.yaml").write_text(yaml.safe_dump({**lax, "channels": {"production": {"quick": True}}}))
    assert main(["release", str(THIN), "--config", "quick.yaml", "--workspace", "q2", "--quick"]) == 0


def test_the_matrix_has_every_class_for_both(home: Path) -> None:
    report = RobustnessReport.from_dict(json.loads((home / "w/robustness.json").read_text()))
    (matrix,) = report.matrices
    names = {cell.name for cell in matrix.of("policy")}
    assert {"noise", "bias", "delay", "latency", "turbine_efficiency", "stuck.net_power", "dead_band"} <= names
    assert [c.name for c in matrix.of("policy")] == [c.name for c in matrix.of("baseline")]
    metrics = report.metrics()
    assert metrics["stress.load_following.travel_factor_under_noise"] > 1.5  # type: ignore[operator]


def test_a_plant_that_declares_nothing_says_not_applicable(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its metrics are missing, and what is missing never passes."""
    from gate5.pipeline import robustness
    from gate5.workspace.artifacts import DirectoryWorkspace

    config = ReleaseConfig.parse({"plant": {"id": "gymnasium:Pendulum-v1"}, "evaluation": {"scenarios": ["default"]}})
    workspace = DirectoryWorkspace(home / "pendulum")
    assert "not applicable" in robustness.falsify(workspace, config, "default").line()
    assert "not applicable" in robustness.stress(workspace, config, "default").line()


def test_a_default_run_on_such_a_plant_is_refused_unless_the_configuration_accepts_it() -> None:
    from gate5.gate.judge import judge

    (rule,) = (rule for rule in ReleaseConfig().gate.rules if rule.name == "disturbances_declared")
    assert judge([rule], {"evidence.declared": 0.0}, [], 1.0).verdict == "fail"
    assert judge([rule], {"evidence.declared": 1.0}, [], 1.0).verdict == "pass"


def test_the_stages_need_no_heavy_library_to_begin() -> None:
    """With a task for each scenario, what a stage imports is paid twenty times."""
    import subprocess
    import sys

    heavy = ("torch", "onnx", "onnxruntime", "boto3", "matplotlib", "gymnasium", "stable_baselines3", "scipy")
    text = f"import sys, gate5.pipeline.stages; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
