"""The current release in the robustness matrix: its own observations, the same episodes."""

from __future__ import annotations

from gate5.config.evaluation import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.sco2 import SCO2Plant
from gate5.plant.stress import stress_classes
from gate5.robustness.matrix import Matrix, drive
from gate5.robustness.report import RobustnessReport


def test_it_drives_its_own_layout_of_the_same_plant() -> None:
    plants = {name: SCO2Plant(observation=name) for name in ("measured", "full")}
    pids = {name: open_baseline(BaselineConfig(), plant) for name, plant in plants.items()}
    policy, current = pids["measured"], pids["full"]
    assert policy is not None
    assert current is not None
    bias = [entry for entry in stress_classes(plants["measured"]) if entry.name == "bias"]
    found = drive(
        PerturbedPlant(plants["measured"]),
        {"policy": policy, "current": current},
        "steady_state",
        bias,
        [5, 6],
        plants={"current": PerturbedPlant(plants["full"])},
    )
    ours, theirs = found.of("policy"), found.of("current")
    assert [(c.name, c.level, c.episodes) for c in ours] == [(c.name, c.level, c.episodes) for c in theirs]
    assert found.metrics()["stress.steady_state.beyond.current.violating_episodes"] is not None
    assert Matrix.from_dict(found.to_dict()) == found


def test_why_it_did_not_drive_explains_what_is_missing() -> None:
    matrix = Matrix("hold", True, no_current="sco2-x cannot drive: it is damaged")
    report = RobustnessReport(matrices=(matrix,))
    assert report.metrics()["stress.hold.beyond.current.more_than_it"] is None
    assert report.notes()["stress.hold.beyond.current.more_than_it"] == matrix.no_current
