"""``gate5 prove``: what only the device can show of a release, measured there: parity, latency, a short closed loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5 import engine, provenance
from gate5.config.gate import GateConfig, RuleConfig
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import GOLDEN, Golden
from gate5.edge.proved import ENGINE
from gate5.edge.pull import METADATA
from gate5.edge.release_files import ReleaseFiles
from gate5.errors import ConfigError, IntegrityError
from gate5.evaluation import EvaluationReporter
from gate5.evaluation.observations import collect_observations
from gate5.gate.judge import judge
from gate5.gate.report import GateReport
from gate5.io.canonical import loads, number
from gate5.io.files import sha256
from gate5.latency.benchmark import LatencyBenchmark
from gate5.parity.engine import compare_engine
from gate5.pipeline.stages import scenarios
from gate5.plant.judged import judged_plant
from gate5.plant.registry import open_plant
from gate5.seeds import STREAMS, seeds_of
from gate5.store.proofs import Proof

GRAPH = "policy.onnx"
EPISODES = 3
#: A release's own rules that the device can judge, by the beginning of their metric or by its end.
MEASURED = ("parity.engine.", "latency.")
DRIVEN = (".rl.violations", ".rl.engine_episodes")
#: What every proof is judged by, with the default rule's threshold, where the release's own rules do not say it.
ALWAYS = ("engine_parity", "engine_repeats", "latency_p99", "no_violations")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Proved:
    """A proof that has been made and signed.

    Attributes:
        proof: what was found.
        report: every rule.
        path: where it lies beside the release.
        stored: its name in the store; ``None``: it was not put there.
    """

    proof: Proof
    report: GateReport
    path: str
    stored: str | None

    @property
    def exit_code(self) -> int:
        return {"pass": 0, "fail": 1}.get(self.proof.verdict, 3)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"proof": self.proof.to_dict(), "path": self.path, "stored": self.stored, "text": self.line()}

    def line(self) -> str:
        """The rules, then one sentence."""
        where = f" and {self.stored} of the store" if self.stored else ", and not put into the store"
        word = {"pass": "is proved on", "fail": "fails on"}.get(self.proof.verdict, "could not be judged on")
        end = f"{self.proof.release} {word} {self.proof.device}; signed in {self.path}{where}."
        return f"{self.report.table()}\n{end}"


def measure(files: ReleaseFiles, *, episodes: int = EPISODES, say: Say = lambda _: None) -> Proof:
    """Prove a release's engine on this machine; nothing is signed or written.

    Args:
        files: of the release, its signature verified.
        episodes: of each scenario, on seeds that nothing else draws.
        say: called with a line for each part.

    Raises:
        EngineError: the engine is not for this machine (said before it is read), or failed.
        IntegrityError: a file of the release is not what was signed, or it holds too little to be proved.
        ConfigError, PlantError: its plant cannot be opened here, or a library that the comparison needs is missing.
    """
    if episodes < 1:
        raise ConfigError(f"{episodes} episodes prove nothing: give 1 or more.")
    config = ReleaseConfig.parse(loads(files.read("config.json")), f"config.json of {files.release.id}")
    metadata, blob, onnx = files.read_json(METADATA), files.read(ENGINE), files.read(GRAPH)
    golden = Golden.read(files.read(GOLDEN), files.release.provenance, files.release.id)
    names = scenarios(config)
    began = time.perf_counter()
    with engine.load(blob, metadata, threads=config.engine.threads) as built:
        built.infer(golden.obs[:1])
        start_up = time.perf_counter() - began
        info = built.info
        say(f"start-up {start_up:.2f} s: {info.backend} {info.precision} on {info.device}, {info.path}")
        found = _Measurements(built, config, onnx, golden, episodes, say)
        metrics, measured = found.all(names, blob)
    report = judge(rules(config, golden.tolerance), metrics, names, config.gate.sla_p99_ms)
    return Proof(
        release=files.release.id,
        manifest_sha256=files.release.manifest_sha256,
        engine_sha256=sha256(blob),
        device=info.device,
        versions=info.versions,
        verdict=report.verdict,
        at=provenance.now(),
        gate=report.to_dict(),
        hardware={**info.hardware, **_own_id(info.hardware)},
        measured={**measured, "start_up_s": start_up, "path": info.path, "precision": info.precision},
        machine=provenance.describe(),
    )


def rules(config: ReleaseConfig, tolerance: float) -> list[RuleConfig]:
    """What the device is judged by: the release's own rules, as far as it can, and never less than ``ALWAYS``."""
    own = [rule for rule in config.gate.rules if rule.metric.startswith(MEASURED) or rule.metric.endswith(DRIVEN)]
    judged = {rule.metric for rule in own if rule.veto is True}
    names = {rule.name for rule in own}
    for rule in GateConfig().rules:
        if rule.name in ALWAYS and rule.metric not in judged:
            own.append(rule if rule.name not in names else rule.model_copy(update={"name": f"proof_{rule.name}"}))
    why = "The released engine gives the recorded actions here."
    return [
        RuleConfig(name="golden_inputs", metric="golden.max_abs_error", op="<=", threshold=tolerance, why=why),
        *own,
    ]


@dataclass
class _Measurements:
    built: engine.Engine
    config: ReleaseConfig
    onnx: bytes
    golden: Golden
    episodes: int
    say: Say

    def all(self, names: Sequence[str], blob: bytes) -> tuple[dict[str, float | None], dict[str, Any]]:
        """Metrics for the rules, and the reports that they come from."""
        error = self.golden.error(self.built)
        self.say(f"golden inputs: {len(self.golden.obs)} agree within {error:.3g}")
        driver = engine.EngineController(self.built)
        observations = collect_observations(
            open_plant(self.config.plant), [driver], self.config.export.samples, episodes=1, policy=driver
        )
        parity = self._parity(observations)
        latency = self._latency(observations)
        driven, loop = self._closed_loop(driver, names, seeds_of("proof", int(sha256(blob)[:12], 16) % STREAMS).start)
        metrics = {"golden.max_abs_error": error, **parity.metrics(), **latency.metrics(), **driven}
        return metrics, {
            "golden": {"compared": len(self.golden.obs), "max_abs_error": number(error)},
            "parity": parity.to_dict(),
            "latency": latency.to_dict(),
            "closed_loop": loop,
        }

    def _parity(self, observations: Any) -> Any:
        space = open_plant(self.config.plant).observation_space
        found = compare_engine(self.built, self.onnx, observations, space.low, space.high, self.config.parity)
        self.say(f"parity: largest error {_shown(found.max_abs_error)} on {found.compared:,} observations")
        return found

    def _latency(self, observations: Any) -> Any:
        period_s = open_plant(self.config.plant).dt_s
        found = LatencyBenchmark(self.built, self.config.latency, period_s=period_s).run(observations)
        self.say(f"latency: p50 {found.p50_ms:.4g} ms, p99 {found.p99_ms:.4g} ms, bound {_shown(found.p99_upper_ms)}")
        return found

    def _closed_loop(
        self, driver: engine.EngineController, names: Sequence[str], seed: int
    ) -> tuple[Mapping[str, float | None], dict[str, Any]]:
        settings = self.config.evaluation.model_copy(update={"episodes": self.episodes, "seed": seed})
        reporter = EvaluationReporter(judged_plant(self.config), settings)
        rows = []
        for name in names:
            rows.append(reporter.scenario(name, driver, None))
            ours = rows[-1].rl
            self.say(f"{name}: {ours.violations} violations in {ours.episodes} episodes")
        metrics = reporter.report(rows).metrics()
        wanted = {key: value for key, value in metrics.items() if key.endswith(DRIVEN)}
        told = {
            row.scenario: {"episodes": row.rl.episodes, "violations": row.rl.violations, "steps": row.rl.steps}
            for row in rows
        }
        return wanted, {"seed": seed, "scenarios": told}


def check_files(files: ReleaseFiles) -> None:
    """Refuse to prove what nobody is known to have signed.

    Raises:
        IntegrityError: the manifest's signature was not verified.
    """
    if not files.verified:
        raise IntegrityError(f"Who signed {files.release.id} is not known: give --trust KEY.pub.")


def _own_id(hardware: Mapping[str, Any]) -> dict[str, str]:
    """The one device's own id, where it is a GPU that says it; kept for the record and never compared."""
    if not hardware:
        return {}
    from gate5.engine.tensorrt.gpu import uuid

    found = uuid()
    return {} if found is None else {"uuid": found}


def _shown(value: float | None) -> str:
    return "none" if value is None or not np.isfinite(value) else f"{value:.3g}"
