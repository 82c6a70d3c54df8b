"""A channel demands a scenario that the plant does not have: said at once, in a sentence, whatever the run covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError, PlantError
from gate5.pipeline.promote import check_store
from gate5.pipeline.stages import scenarios

TANK: dict[str, Any] = {
    "plant": {"id": "tests.support.tank:Tank"},
    "store": {"uri": "store", "signing_key": "key.pem"},
    "evaluation": {"episodes": 1},
}
DEMANDS = {"channels": {"production": {"scenarios": ["step", "emergency_trip"]}}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.delenv("GATE5_CONFIG", raising=False)
    assert main(["keygen", str(tmp_path / "key.pem")]) == 0
    return tmp_path


def written(home: Path, values: dict[str, Any]) -> str:
    path = home / "release.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def release(home: Path, config: str) -> int:
    """Of a checkpoint that is not there: what is said first comes before it is looked for."""
    return main(["release", str(home / "nothing"), "--config", config, "--workspace", str(home / "w")])


@pytest.mark.parametrize("covered", [None, ["hold"]])
def test_by_the_file(home: Path, covered: list[str] | None, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(home, {**TANK, **DEMANDS, "evaluation": {"episodes": 1, "scenarios": covered}})
    capsys.readouterr()
    assert release(home, config) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no scenario 'emergency_trip'; it has hold, step, leak" in line
    assert "what the channel production demands" in line
    assert not list(home.glob("w/*.json"))


def test_by_what_is_signed_in_the_store(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not after an hour of evaluation: the file in hand says nothing of it."""
    config = written(home, {**TANK, **DEMANDS})
    said = ["--by", "ada", "--reason", "policy", "--config", config]
    assert main(["keys", "demand", "production", *said]) == 0
    config = written(home, TANK)
    capsys.readouterr()
    assert release(home, config) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "The channel production demands stricter rules, SLA, scenarios, episodes or confidence, or" in line
    assert not (home / "w").exists()
    check_store(ReleaseConfig.load(config, {"evaluation.quick": True}))  # which is tried and never promoted


def test_what_it_has_is_covered_besides(home: Path) -> None:
    demands = {"channels": {"production": {"scenarios": ["leak"]}}}
    config = ReleaseConfig.parse({**TANK, **demands, "evaluation": {"scenarios": ["hold"]}})
    assert scenarios(config) == ["hold", "leak"]
    assert scenarios(ReleaseConfig.parse({**TANK, **demands})) == ["hold", "step", "leak"]
    other = ReleaseConfig.parse({**TANK, **DEMANDS, "release": {"channel": "staging"}})
    assert scenarios(other) == ["hold", "step", "leak"], "another channel demands nothing"
    with pytest.raises(PlantError, match="'emergency_trip'"):
        scenarios(ReleaseConfig.parse({**TANK, **DEMANDS}))
    with pytest.raises(ConfigError, match="scenarios"):
        ReleaseConfig.parse({**TANK, "channels": {"production": {"scenarios": []}}})
