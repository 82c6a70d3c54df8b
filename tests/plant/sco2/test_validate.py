"""The command that compares the plant with CoolProp."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate5.plant.sco2 import validate


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "_BALANCE_SEEDS", range(1))
    monkeypatch.setattr(validate.compare, "__defaults__", (validate.MAP[::24],))


@pytest.mark.usefixtures("_small")
def test_it_writes_the_tables_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(["--out", str(tmp_path)]) == 0
    text = (tmp_path / "plant-validation.txt").read_text()
    assert text == capsys.readouterr().out
    assert "All within" in text
    assert "emergency_trip" in text
    assert (tmp_path / "plant-properties.svg").read_text().startswith("<svg")


@pytest.mark.usefixtures("_small")
def test_it_fails_where_a_difference_exceeds_its_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(validate, "STEADY_LIMIT", 1e-9)
    assert validate.main([]) == 1
    assert "OUTSIDE" in capsys.readouterr().out


def test_a_plant_that_is_off_by_a_per_cent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference does not come from what it checks: a wrong efficiency in the plant shows."""
    original = validate.solve_map

    def tilted(points: tuple[validate.Point, ...]) -> object:
        cycle, state, y = original(points)
        return cycle, state, y._replace(turbine_power=y.turbine_power * 1.01)

    monkeypatch.setattr(validate, "solve_map", tilted)
    worst = {d.quantity: d.relative for d in validate.compare(validate.MAP[:4])}
    assert worst["turbine power"] > validate.STEADY_LIMIT
    assert worst["compressor power"] < validate.STEADY_LIMIT
