"""The engine's effect in closed loop on the page; who the baseline is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from gate5.evaluation import ScenarioComparison
from gate5.io import canonical
from gate5.report import render
from gate5.report.sections.engine_effect import engine_effect
from tests.support.finished_run import Run


def row(run: Run, name: str = "hold") -> ScenarioComparison:
    return ScenarioComparison.from_dict(json.loads(run.artifacts[f"evaluation/{name}.json"]))


def test_the_page_shows_the_effect_in_every_scenario_and_escapes_the_reference(run: Run, tmp_path: Path) -> None:
    page = render(run.at(tmp_path))
    assert page.count("engine against reference") == 3
    assert "PyTorch &lt;b&gt;2&lt;/b&gt;, FP32" in page
    assert "<b>2</b>" not in page
    effect = row(run).reference
    assert effect is not None
    assert effect.action_abs_max is not None
    assert 0 < effect.action_abs_max < 1e-2
    assert effect.variable in ("temperature", "hot", "efficiency", "temperature_setpoint")


def test_a_difference_that_is_not_a_number_is_said_and_not_shown_as_zero(run: Run) -> None:
    whole = row(run)
    assert whole.reference is not None
    lost = dataclasses.replace(whole.reference, variable="temperature", variable_abs_max=None, return_abs_max=None)
    text = str(engine_effect(dataclasses.replace(whole, reference=lost)))
    assert "not finite in one of the two" in text
    assert engine_effect(dataclasses.replace(whole, reference=None)) is None


def test_another_policy_as_baseline_is_called_by_its_name(run: Run, tmp_path: Path) -> None:
    changes = {
        f"evaluation/{name}.json": canonical.dumps(
            dataclasses.replace(row(run, name), baseline_name="policy 0123456789ab").to_dict()
        )
        for name in ("hold", "ramp", "gust")
    }
    page = render(run.at(tmp_path, changes=changes))
    assert "Policy against policy 0123456789ab" in page
    assert "return, policy 0123456789ab" in page
    assert "return, PID" not in page
