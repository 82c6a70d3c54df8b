"""The stages of a release up to the report, one function each; ``gate5.workspace.contents`` has their order.

Each reads named artifacts from a workspace, writes named artifacts back and returns a small typed result. The DAG, the
command line and the tests call these same functions. A stage that has already been done on the same inputs returns its
recorded result at once; a stage killed at any instant leaves no half-written artifact.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from gate5 import engine, provenance
from gate5.checkpoint import fetch
from gate5.checkpoint.controller import TorchController
from gate5.config.models import ReleaseConfig
from gate5.control.policy import check_fits
from gate5.edge.golden import GOLDEN, record_golden
from gate5.engine.rows import signature_of_graph
from gate5.errors import ConfigError, PlantError, WorkspaceError
from gate5.evaluation import EvaluationReporter, ScenarioComparison, envelope
from gate5.evaluation import repeat as intervals
from gate5.evaluation.excitation import EPISODES, excite
from gate5.evaluation.observations import collect_observations
from gate5.export import ONNXExporter
from gate5.gate.judge import judge
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.latency import repeat
from gate5.latency.benchmark import LatencyBenchmark
from gate5.parity.engine import compare_engine
from gate5.pipeline import awaiting, controllers, robustness
from gate5.pipeline import current as current_release
from gate5.pipeline.evidence import evidence
from gate5.pipeline.plants import check_scenario
from gate5.pipeline.results import (
    BenchmarkResult,
    BuildResult,
    CompareResult,
    EvaluateResult,
    ExportResult,
    GateResult,
    ReportResult,
    ResolveResult,
    VerifyResult,
    evaluate_result,
)
from gate5.plant import Controller
from gate5.plant.judged import judged_plant
from gate5.plant.registry import open_plant
from gate5.store import timing_caches
from gate5.workspace.artifacts import DirectoryWorkspace, Workspace
from gate5.workspace.records import Tracker, run_stage


def load_run_config(workspace: Workspace) -> ReleaseConfig:
    """The configuration that ``resolve`` froze into the workspace, so that no stage of a run sees an edited file."""
    data = workspace.find("config.json")
    if data is None:
        raise WorkspaceError(f"The workspace {workspace.uri} has no candidate yet: run `gate5 resolve` first.")
    return ReleaseConfig.parse(canonical.loads(data), f"config.json of {workspace.uri}")


def scenarios(config: ReleaseConfig) -> list[str]:
    """The scenarios that a release has to cover: the configured ones, else all that the plant declares.

    Raises:
        PlantError: the plant has none of a name that the configuration or the run's channel asks for.
        ConfigError: there is none to cover, or a rule is about one that the plant does not have.
    """
    plant = open_plant(config.plant)
    demands = config.channels.get(config.release.channel)
    wanted = list(config.evaluation.scenarios or plant.scenarios)
    wanted += [name for name in (demands and demands.scenarios) or () if name not in wanted]
    unknown = [name for name in wanted if name not in plant.scenarios]
    if unknown:
        raise PlantError(
            f"The plant {plant.name} has no scenario {unknown[0]!r}; it has {', '.join(plant.scenarios)}: "
            f"correct evaluation.scenarios, or what the channel {config.release.channel} demands."
        )
    for rule in config.gate.rules:
        for name in rule.by_scenario:
            if name not in plant.scenarios:
                raise ConfigError(
                    f"The rule {rule.name!r} has a threshold for the scenario {name!r}, which the plant {plant.name} "
                    f"does not have: correct by_scenario; it has {', '.join(plant.scenarios)}."
                )
    if not wanted:
        raise ConfigError(
            "evaluation.scenarios is empty, so that nothing would be evaluated: name some, or set it to null."
        )
    return wanted


def resolve(
    workspace: Workspace,
    config: ReleaseConfig,
    source: str,
    *,
    unattended: bool = False,
    announced: str | None = None,
) -> ResolveResult:
    """Find, read and hash the checkpoint, check that it fits the plant, and freeze the configuration.

    The channel's current release is looked up, verified and kept here, so that the whole run compares with that one.

    Args:
        workspace: where the run's artifacts go.
        config: of the whole release.
        source: a directory, a .zip or an s3:// URI.
        unattended: nobody started the run by hand (a schedule or an event did), which makes vetoes of some rules.
        announced: when the candidate was, UTC, ISO 8601; ``None``: it was not. Of two candidates this says which is the
            older one; of others, when their runs began.

    Raises:
        StoreError: the store that the current release lies in does not answer.
        CheckpointError: it, or the baseline's, cannot be read safely or does not fit the plant.
        ConfigError: the baseline cannot be opened.
        PlantError: the plant or a scenario does not exist.
    """
    scenarios(config)  # before a large checkpoint is fetched
    files = fetch(source, vecnormalize=config.checkpoint.vecnormalize)
    checkpoint = controllers.read_candidate(files, config)
    plant = open_plant(config.plant)
    check_fits(checkpoint, plant)
    other = controllers.fetch_baseline(config, plant)
    found = current_release.find(config, unattended=unattended)

    def body(tracker: Tracker) -> ResolveResult:
        controllers.keep(tracker, "checkpoint", files)
        if other is not None:
            controllers.keep(tracker, "baseline", other)
        current_release.keep(tracker, found)
        description = checkpoint.describe()
        begun = announced or _begun(workspace, checkpoint.function_sha256)
        tracker.write_json("checkpoint.json", {**description, "source": files.uri, "begun": begun})
        tracker.write_json("config.json", config.plain())
        return ResolveResult(
            workspace=workspace.uri,
            source=files.uri,
            algorithm=checkpoint.algorithm,
            obs_dim=checkpoint.obs_dim,
            act_dim=checkpoint.act_dim,
            parameters=checkpoint.policy.parameters,
            policy_sha256=checkpoint.policy_sha256,
            vecnormalize_sha256=checkpoint.vecnormalize_sha256,
        )

    given = {
        "source": files.uri,
        "policy": checkpoint.policy_sha256,
        "vecnormalize": checkpoint.vecnormalize_sha256,
        "current": found.current.to_dict(),
        "baseline": None if other is None else [sha256(part or b"") for part in (other.policy, other.vecnormalize)],
    }
    return run_stage(workspace, config, "resolve", ResolveResult, body, given)


def _begun(workspace: Workspace, function: str) -> str:
    """When this workspace first had this policy: of two runs that end out of order it says which is the older one."""
    data = workspace.find("checkpoint.json")
    before = {} if data is None else canonical.loads(data)
    same = before.get("function_sha256") == function and isinstance(before.get("begun"), str)
    return str(before["begun"]) if same else provenance.now()


def export(workspace: Workspace, config: ReleaseConfig) -> ExportResult:
    """Write the whole policy function as ONNX and compare it with the policy on closed-loop observations."""

    def body(tracker: Tracker) -> ExportResult:
        checkpoint = controllers.candidate(tracker, config)
        plant = open_plant(config.plant)
        policy = TorchController(checkpoint.module, checkpoint.signature)
        drivers: list[Controller] = [policy]
        baseline = controllers.baseline(tracker, config, plant)
        if baseline is not None:
            drivers.append(baseline)
        observations = collect_observations(plant, drivers, config.export.samples, policy=policy)
        onnx, report = ONNXExporter(config.export).export(checkpoint, observations)
        tracker.write("observations.npz", _pack(obs=observations))
        tracker.write("policy.onnx", onnx)
        tracker.write_json("export.json", report.to_dict())
        return ExportResult(workspace.uri, tracker.outputs["policy.onnx"], report.max_abs_error, report.compared)

    given = {"plant": open_plant(config.plant).name}  # an FMU's name has its hash
    return run_stage(workspace, config, "export", ExportResult, body, given)


def build(workspace: Workspace, config: ReleaseConfig) -> BuildResult:
    """Build the engine for this machine's hardware from the ONNX graph."""
    backend = engine.choose_backend(config.engine)

    def body(tracker: Tracker) -> BuildResult:
        place = engine.timing_place(backend)
        cache = workspace.find("engine/timing.cache") or timing_caches.fetch(config.store, place)
        built = engine.build(tracker.read("policy.onnx"), config.engine, timing_cache=cache)
        tracker.write("engine/policy.engine", built.blob)
        tracker.write_json("engine/engine.json", built.metadata)
        if built.timing_cache is not None:
            workspace.write("engine/timing.cache", built.timing_cache)
            timing_caches.keep(config.store, place, built.timing_cache)
        # An engine for another machine cannot be opened here; what it is stands in its metadata all the same.
        found = built.metadata
        if engine.elsewhere(built.metadata) is None:
            with engine.load(built.blob, built.metadata, threads=config.engine.threads) as loaded:
                found = loaded.info.to_dict()
        return BuildResult(
            workspace=workspace.uri,
            backend=found["backend"],
            precision=found["precision"],
            device=found["device"],
            engine_sha256=tracker.outputs["engine/policy.engine"],
            size=len(built.blob),
        )

    return run_stage(workspace, config, "build", BuildResult, body, {"backend": backend})


def verify(workspace: Workspace, config: ReleaseConfig) -> VerifyResult:
    """Compare the built engine with the ONNX graph: closed-loop, random, extreme inputs; batches; repeatability."""

    def body(tracker: Tracker) -> VerifyResult:
        plant = open_plant(config.plant)
        space = plant.observation_space
        onnx, seen = tracker.read("policy.onnx"), _observations(tracker)
        why = awaiting.elsewhere(tracker)
        if why is not None:
            awaiting.write(tracker, config, why, seen)
            return VerifyResult(workspace.uri, None, 0, 0, why)
        with controllers.built_engine(tracker, config) as built:
            report = compare_engine(built, onnx, seen, space.low, space.high, config.parity)
            answers = record_golden(built, seen, signature_of_graph(onnx))
        tracker.write_json("parity.json", report.to_dict())
        tracker.write(GOLDEN, answers)
        return VerifyResult(workspace.uri, report.max_abs_error, report.nonfinite, report.compared)

    return run_stage(workspace, config, "verify", VerifyResult, body)


def benchmark(workspace: Workspace, config: ReleaseConfig) -> BenchmarkResult:
    """Time the engine host to host, one real observation at a time; again where that says neither yes nor no."""

    def body(tracker: Tracker) -> BenchmarkResult:
        observations, why = _observations(tracker), awaiting.reason(tracker)
        if why is not None and awaiting.elsewhere(tracker) is not None:
            return BenchmarkResult(workspace.uri, None, None, None, config.gate.sla_p99_ms, awaiting=why)
        with controllers.built_engine(tracker, config) as built:
            timed = LatencyBenchmark(built, config.latency, period_s=open_plant(config.plant).dt_s)
            report, samples = repeat.measure(
                lambda: (timed.run(observations), timed.samples), config.latency.confidence, config.gate
            )
        tracker.write("latency.npz", _pack(**{name: np.asarray(v, np.float32) for name, v in samples.items()}))
        tracker.write_json("latency.json", report.to_dict())
        return BenchmarkResult(
            workspace.uri, report.p50_ms, report.p99_ms, report.p99_upper_ms, config.gate.sla_p99_ms, len(report.looks)
        )

    return run_stage(workspace, config, "benchmark", BenchmarkResult, body)


def evaluate(workspace: Workspace, config: ReleaseConfig, scenario: str) -> EvaluateResult:
    """Let the built engine, the baseline, and the policy before it became an engine drive one scenario's seeds."""
    check_scenario(config, scenario)

    def body(tracker: Tracker) -> EvaluateResult:
        plant = judged_plant(config)
        asked = intervals.questions(config.gate, scenario, unattended=current_release.read(tracker).unattended)
        with (
            controllers.driving_engine(tracker, config) as built,
            current_release.driver(tracker, config, plant) as current,
        ):
            driver = engine.EngineController(built)
            said, before_it = robustness.told(f"evaluate {scenario}"), controllers.reference(tracker, config)

            runs = []

            def drive(times: int, confidence: float) -> ScenarioComparison:
                more = config.evaluation.model_copy(update={"episodes": times * config.evaluation.episodes})
                reporter = EvaluationReporter(plant, more, interval_confidence=confidence)
                ours, other = envelope.Watched(driver), envelope.watch(controllers.baseline(tracker, config, plant))
                runs.append((reporter, [ours, other]))
                return reporter.scenario(scenario, ours, other, said, before_it, current)

            row = intervals.drive_until(drive, asked, config.evaluation.confidence, config.gate.repeat)
            reporter, watched = runs[-1]
            bound = robustness.chance(tracker, config, plant, driver, scenario)
            arrays = reporter.trajectories(scenario) | robustness.extremes(plant, driver, bound)
        tracker.write_json(f"evaluation/{scenario}.json", row.to_dict())
        tracker.write(f"evaluation/{scenario}.npz", _pack(**arrays))
        again, few = controllers.baseline(tracker, config, plant), min(EPISODES, config.evaluation.episodes)
        seen = envelope.summarise(watched) | excite(plant, again, scenario, few)
        tracker.write(f"envelope/{scenario}.npz", _pack(**seen))
        return evaluate_result(workspace.uri, row, bound)

    given = {"plant": judged_plant(config).name}
    return run_stage(workspace, config, f"evaluate-{scenario}", EvaluateResult, body, given)


def compare(workspace: Workspace, config: ReleaseConfig) -> CompareResult:
    """Put the scenarios' rows together into one ``EvaluationReport``."""

    def body(tracker: Tracker) -> CompareResult:
        rows = [
            ScenarioComparison.from_dict(tracker.read_json(f"evaluation/{name}.json")) for name in scenarios(config)
        ]
        report = EvaluationReporter(judged_plant(config), config.evaluation).report(rows)
        tracker.write_json("comparison.json", report.to_dict())
        tracker.write_json(
            "robustness.json", robustness.joined(tracker, scenarios(config), judged_plant(config)).to_dict()
        )
        seen = [_unpack(tracker.read(f"envelope/{name}.npz")) for name in scenarios(config)]
        tracker.write_json(envelope.FILE, envelope.fit(judged_plant(config), seen).to_dict())
        metrics = report.metrics()
        bounds = {
            name: (metrics.get(f"evaluation.{name}.difference.low"), metrics.get(f"evaluation.{name}.difference.high"))
            for name in scenarios(config)
        }
        violations = [metrics.get(f"evaluation.{name}.rl.violations") for name in scenarios(config)]
        return CompareResult(
            workspace=workspace.uri,
            scenarios=scenarios(config),
            episodes=sum(int(metrics.get(f"evaluation.{name}.rl.episodes") or 0) for name in scenarios(config)),
            violations=None if None in violations else int(sum(v for v in violations if v is not None)),
            better=[name for name, (low, _) in bounds.items() if low is not None and low > 0],
            worse=[name for name, (_, high) in bounds.items() if high is not None and high < 0],
            baseline=report.scenarios[0].baseline_name,
        )

    return run_stage(workspace, config, "compare", CompareResult, body)


def gate(workspace: Workspace, config: ReleaseConfig) -> GateResult:
    """Judge the measurements by Gate 5's rules. A measurement that is missing is never a pass."""

    def body(tracker: Tracker) -> GateResult:
        found, current = evidence(tracker, config), current_release.read(tracker)
        verdict = judge(
            config.gate.rules,
            found.metrics,
            scenarios(config),
            config.gate.sla_p99_ms,
            found.notes | current_release.notes(found.metrics, found.rows),
            unattended=current.unattended,
            inapplicable=found.inapplicable | current_release.inapplicable(current, found.metrics),
            awaits=found.awaits,
        )
        verdict = verdict if found.awaits is None else awaiting.noted(verdict)
        tracker.write_json("gate.json", verdict.to_dict())
        return GateResult(workspace.uri, verdict.verdict, list(verdict.reasons))

    return run_stage(workspace, config, "gate", GateResult, body)


def report(workspace: Workspace, config: ReleaseConfig) -> ReportResult:
    """Render the HTML report from whatever the workspace holds by now."""
    from gate5.report import render

    page = render(workspace).encode()
    digest = workspace.write("report.html", page)
    path = os.fspath(workspace.path / "report.html") if isinstance(workspace, DirectoryWorkspace) else ""
    return ReportResult(workspace.uri, path or f"{workspace.uri}/report.html", digest)


def gate_report(workspace: Workspace) -> GateReport:
    """The verdict with all its rules (``.table()`` for a terminal, ``.markdown()`` for a page)."""
    return GateReport.from_dict(workspace.read_json("gate.json"))


def _observations(tracker: Tracker) -> Any:
    with np.load(io.BytesIO(tracker.read("observations.npz")), allow_pickle=False) as data:
        return data["obs"]


def _unpack(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _pack(**arrays: Any) -> bytes:
    """An .npz archive; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
