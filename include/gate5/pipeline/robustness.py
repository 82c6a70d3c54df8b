"""The stages that look for what breaks a policy: ``falsify`` and ``stress``, and the bound that ``evaluate`` adds."""

from __future__ import annotations

import dataclasses
import io
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gate5 import engine
from gate5.config.models import ReleaseConfig
from gate5.errors import EvaluationError, Gate5Error
from gate5.evaluation.current import CurrentRelease, same_plant
from gate5.evaluation.recording import Recording, record
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.pipeline import controllers
from gate5.pipeline import current as current_release
from gate5.pipeline.plants import check_scenario
from gate5.pipeline.results import FalsifyResult, StressResult
from gate5.plant.base import Controller, Plant
from gate5.plant.disturbance import disturbable
from gate5.plant.judged import judged_plant
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.stress import StressClass, integration_error, stress_classes
from gate5.robustness import matrix, monte_carlo
from gate5.robustness.cases import Case, case_of, closeness, drive, read_case
from gate5.robustness.report import RobustnessReport, SearchResult
from gate5.robustness.search import search, usable
from gate5.seeds import seeds_of
from gate5.store import cases as kept
from gate5.workspace.artifacts import Workspace
from gate5.workspace.records import Tracker, run_stage

_LOG = logging.getLogger("gate5.robustness")


def falsify(workspace: Workspace, config: ReleaseConfig, scenario: str) -> FalsifyResult:
    """Search the plant's declared ranges for the episode that comes closest to a limit; the engine drives."""
    check_scenario(config, scenario)

    def body(tracker: Tracker) -> FalsifyResult:
        plant = judged_plant(config)
        if disturbable(plant) is None:
            nothing = SearchResult(scenario, applicable=False)
            tracker.write_json(f"falsification/{scenario}.json", nothing.to_dict())
            return FalsifyResult(workspace.uri, scenario, False, 0, None, "", "", False)
        with controllers.driving_engine(tracker, config) as built:
            found = _worst(tracker, config, plant, engine.EngineController(built), scenario)
        case = found.case
        assert case is not None
        tracker.write_json(f"falsification/{scenario}.json", found.to_dict())
        tracker.write_json(f"cases/{scenario}.json", case.to_dict())
        if case.violates:
            kept.keep(config.store, plant.name, scenario, case.identity, workspace.read(f"cases/{scenario}.json"))
        return FalsifyResult(
            workspace.uri, scenario, True, found.evaluations, _finite(case.margin), case.unit, case.sentence(),
            case.violates,
        )  # fmt: skip

    return run_stage(
        workspace, config, f"falsify-{scenario}", FalsifyResult, body, {"plant": judged_plant(config).name}
    )


def stress(workspace: Workspace, config: ReleaseConfig, scenario: str) -> StressResult:
    """Drive what the plant declares can go wrong: the engine, the baseline and the channel's current release."""
    check_scenario(config, scenario)

    def body(tracker: Tracker) -> StressResult:
        plant = judged_plant(config)
        declared = stress_classes(plant)
        inner = disturbable(plant)
        if not declared or inner is None:
            tracker.write_json(f"stress/{scenario}.json", matrix.Matrix(scenario, applicable=False).to_dict())
            return StressResult(workspace.uri, scenario, False, 0, 0, 0, 0, None)
        perturbed = _perturbed(plant)
        seeds = seeds_of("stress", config.stress.seed)[: config.stress.episodes]
        with (
            controllers.driving_engine(tracker, config) as built,
            current_release.driver(tracker, config, plant) as current,
        ):
            drivers: dict[str, Controller] = {"policy": engine.EngineController(built)}
            baseline = controllers.baseline(tracker, config, plant)
            if baseline is not None:
                drivers["baseline"] = baseline
            current = _on_the_same_plant(current, plant, drivers["policy"], scenario, seeds[:1])
            plants = {}
            if isinstance(current, CurrentRelease):
                drivers["current"] = current.controller
                if current.plant is not plant:
                    plants["current"] = _perturbed(current.plant)
            classes = [*declared, *_latency(tracker)]
            found = matrix.drive(perturbed, drivers, scenario, classes, seeds, told(f"stress {scenario}"), plants)
        if isinstance(current, str):
            found = dataclasses.replace(found, no_current=current)
        tracker.write_json(f"stress/{scenario}.json", found.to_dict())
        return _stress_result(workspace, found)

    return run_stage(workspace, config, f"stress-{scenario}", StressResult, body, {"plant": judged_plant(config).name})


def _perturbed(plant: Plant) -> PerturbedPlant:
    inner = disturbable(plant)
    if inner is None:
        raise EvaluationError(f"The plant {plant.name} declares nothing that can go wrong any more.")
    return inner if isinstance(inner, PerturbedPlant) else PerturbedPlant(inner)


def _on_the_same_plant(
    current: CurrentRelease | str, plant: Plant, policy: Controller, scenario: str, seeds: Sequence[int]
) -> CurrentRelease | str:
    """The current release, or why it does not drive where its plant is not the candidate's."""
    if isinstance(current, str) or current.plant is plant:
        return current
    try:
        same_plant(plant, current.plant, scenario, seeds, record(plant, policy, scenario, seeds))
        _perturbed(current.plant)
    except Gate5Error as error:
        return str(error)
    return current


def chance(
    tracker: Tracker, config: ReleaseConfig, plant: Plant, controller: Controller, scenario: str
) -> monte_carlo.Chance | None:
    """Many episodes on the candidate's own seeds; ``None`` where the plant declares nothing or none are asked for."""
    count = config.evaluation.monte_carlo
    if not count or disturbable(plant) is None:
        return None
    found = monte_carlo.estimate(
        plant, controller, scenario, candidate_hash(tracker), count, config.evaluation.confidence,
        told(f"monte carlo {scenario}"),
    )  # fmt: skip
    tracker.write_json(f"chance/{scenario}.json", found.to_dict())
    return found


def extremes(plant: Plant, controller: Controller, bound: monte_carlo.Chance | None) -> dict[str, Any]:
    """The trajectories of the worst and the median of many episodes, ``worst/...`` and ``median/...``."""
    if bound is None:
        return {}
    arrays: dict[str, Any] = {}
    for start, seed in (("worst", bound.worst_seed), ("median", bound.median_seed)):
        arrays |= arrays_of(record(plant, controller, bound.scenario, [seed]), plant.dt_s, start)
    return arrays


def about(plant: Plant) -> dict[str, Any]:
    """What the plant declares, for the report: whether anything, what is observed without an instrument, its errors."""
    inner = disturbable(plant)
    signals = {s.name: s for s in inner.signals} if inner is not None else {}
    hidden = [n for n in plant.observation_space.names if n in signals and signals[n].kind == "unmeasurable"]
    return {
        "declared": inner is not None,
        "unmeasurable": hidden,
        "integration_error": integration_error(plant),
    }


def joined(tracker: Tracker, scenarios: Sequence[str], plant: Plant) -> RobustnessReport:
    """What all scenarios came to."""
    bounds = [tracker.find(f"chance/{name}.json") for name in scenarios]
    return RobustnessReport(
        tuple(monte_carlo.Chance.from_dict(canonical.loads(data)) for data in bounds if data is not None),
        tuple(SearchResult.from_dict(tracker.read_json(f"falsification/{name}.json")) for name in scenarios),
        tuple(matrix.Matrix.from_dict(tracker.read_json(f"stress/{name}.json")) for name in scenarios),
        about(plant),
    )


def candidate_hash(tracker: Tracker) -> str:
    """What the candidate's Monte Carlo seeds follow from: the SHA-256 of its graph."""
    return sha256(tracker.read("policy.onnx"))


def arrays_of(tape: Recording, dt_s: float, start: str) -> dict[str, Any]:
    """The first episode of a recording for an archive: ``START/variable``, NaN after its end."""
    live = tape.live[:, 0]
    arrays = {f"{start}/{name}": np.where(live, tape.values[row, :, 0], np.nan) for row, name in enumerate(tape.names)}
    arrays[f"{start}/reward"] = np.where(live, tape.reward[:, 0], np.nan)
    for i in range(tape.action.shape[2]):
        arrays[f"{start}/action/{i}"] = np.where(live, tape.action[:, 0, i], np.nan)
    return {"t_s": dt_s * np.arange(1, live.size + 1), **arrays}


def replayed(plant: Plant, controller: Controller, case: Case) -> tuple[Case, Recording]:
    """Drive a case again; what it comes to now, and everything that was recorded.

    Raises:
        PlantError: the plant no longer declares its numbers.
    """
    inner = plant.plant if isinstance(plant, PerturbedPlant) else plant
    own = plant.perturbations if isinstance(plant, PerturbedPlant) else ()
    found = drive(plant, controller, case.scenario, case.seed, case.numbers)
    tape = record(PerturbedPlant(inner, own, case.numbers), controller, case.scenario, [case.seed])
    about = {"sensors": case.sensors, "candidate": case.candidate, "found_by": case.found_by}
    return case_of(plant, case.scenario, case.seed, case.numbers, found, **about), tape


def _worst(
    tracker: Tracker, config: ReleaseConfig, plant: Plant, controller: Controller, scenario: str
) -> SearchResult:
    seed = seeds_of("falsification", config.falsification.seed)[0]
    settings = config.falsification
    found = search(
        plant, controller, scenario, seed=seed, control_steps=settings.control_steps,
        progress=told(f"falsify {scenario}"),
    )  # fmt: skip
    candidate = candidate_hash(tracker)

    def driven(seed: int, numbers: Mapping[str, float], by: str) -> Case:
        at_work = drive(plant, controller, scenario, seed, numbers)
        about = {"sensors": config.evaluation.sensors, "candidate": candidate, "found_by": by}
        return case_of(plant, scenario, seed, numbers, at_work, **about)

    earlier = _earlier(config, plant, scenario)
    every = [
        driven(seed, found.numbers, found.found_by),
        *(driven(e.seed, e.numbers, "earlier candidate") for e in earlier),
    ]
    worst = min(every, key=closeness)
    again, tape = replayed(plant, controller, worst)
    arrays = arrays_of(tape, plant.dt_s, "rl")
    tracker.write(f"cases/{scenario}.npz", _pack(arrays))
    return SearchResult(scenario, True, found.evaluations, len(earlier), found.curve, found.smallest, again)


def _earlier(config: ReleaseConfig, plant: Plant, scenario: str) -> list[Case]:
    inner = disturbable(plant)
    declared = () if inner is None else inner.disturbances(scenario)
    cases = []
    for data in kept.fetch(config.store, plant.name, scenario):
        try:
            case = read_case(data, "a kept case")
        except Gate5Error as error:
            _LOG.warning("A kept case is not used: %s", error)
            continue
        if case.scenario == scenario and case.sensors == config.evaluation.sensors and usable(case.numbers, declared):
            cases.append(case)
    return cases


def _latency(tracker: Tracker) -> list[StressClass]:
    """The engine's own measured latencies, in seconds, injected as delay: as they are, and a thousand times as long."""
    measured = tracker.find("latency.npz")
    if measured is None:  # the engine is for another machine, where nobody has timed it yet
        return []
    with np.load(io.BytesIO(measured), allow_pickle=False) as data:
        name = next((n for n in ("cadence", "back_to_back") if n in data.files), data.files[0])
        samples = np.sort(np.asarray(data[name], dtype=np.float64).ravel())
    if not samples.size:
        return []
    picked = samples[np.linspace(0, samples.size - 1, min(samples.size, 1001)).astype(int)] / 1e3
    part = Perturbation("latency", 1.0, samples=tuple(picked.tolist()))
    return [
        StressClass(
            "latency",
            "measured latency of the engine",
            (part,),
            (1.0, 1000.0),
            1.0,
            "x measured",
            "the stage benchmark",
        )
    ]


def _stress_result(workspace: Workspace, found: matrix.Matrix) -> StressResult:
    def count(who: str, expected: bool) -> int:
        return sum(c.violating for c in found.of(who) if c.expected == expected)

    def whole(expected: bool) -> int:
        return sum(c.episodes for c in found.of("policy") if c.expected == expected)

    others = bool(found.of("baseline"))
    return StressResult(
        workspace.uri, found.scenario, True, count("policy", True), whole(True), count("policy", False), whole(False),
        count("baseline", True) + count("baseline", False) if others else None,
    )  # fmt: skip


def told(what: str, every_s: float = 5.0) -> Any:
    """A progress function that logs now and then."""
    begun = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            _LOG.info("%s: %d %% after %.0f s", what, 100 * done // max(total, 1), now - begun)

    return report


def _pack(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
