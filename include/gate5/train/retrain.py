"""Retraining, one function per step: train a candidate, check it quickly, and find out whether it is new.

The DAG ``policy_retrain`` calls these. A candidate has a folder (or an S3 prefix) of its own, which follows from the
run's name, so that every attempt at a task finds what the attempt before left there. What is announced is judged by the
release that follows; the quick check only keeps back what cannot be worth one.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gate5 import store
from gate5.checkpoint import Checkpoint, fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.models import ReleaseConfig
from gate5.control.policy import check_fits
from gate5.evaluation.evaluator import Evaluator
from gate5.evaluation.results import ControllerResult
from gate5.io import canonical
from gate5.io.names import path_segment
from gate5.plant.registry import open_plant
from gate5.train.options import settings_of
from gate5.workspace.artifacts import DirectoryWorkspace, open_workspace

#: For the record beside the candidate; the release that follows evaluates it thoroughly.
REPORT_EPISODES = 20


@dataclass(frozen=True)
class Trained:
    """A candidate.

    Attributes:
        uri: its folder or S3 prefix.
        policy_sha256, vecnormalize_sha256: of its files.
        identity: of what it computes; the same training twice gives other files (they hold the time) but this again.
        seed, steps: of the training.
        resumed_at: at which steps the training went on after a kill.
    """

    uri: str
    policy_sha256: str
    vecnormalize_sha256: str | None
    identity: str
    seed: int
    steps: int
    resumed_at: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trained:
        """The inverse of ``to_dict``."""
        return cls(**data)

    def line(self) -> str:
        """One line for a person."""
        resumed = f", resumed at step {', '.join(map(str, self.resumed_at))}" if self.resumed_at else ""
        return f"candidate {self.identity[:12]} in {self.uri}: seed {self.seed}, {self.steps:,} steps{resumed}"

    def announcement(self, by: str) -> dict[str, Any]:
        """What an announcement says of it."""
        known = {"uri": self.uri, "sha256": self.policy_sha256, "identity": self.identity, "by": by}
        if self.vecnormalize_sha256 is not None:
            known["vecnormalize_sha256"] = self.vecnormalize_sha256
        return known


@dataclass(frozen=True)
class Checked:
    """What the quick check saw: why the candidate is not worth a release (``reasons``, empty: it is), and returns."""

    reasons: list[str]
    returns: dict[str, float | None]
    violations: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Checked:
        """The inverse of ``to_dict``."""
        return cls(**data)

    def line(self) -> str:
        """One line for a person."""
        if self.reasons:
            return "not sane: " + "; ".join(self.reasons)
        broken = {name: count for name, count in self.violations.items() if count}
        return "sane" + (f", but violations in {', '.join(broken)}: Gate 5 will judge them" if broken else "")


def candidate_uri(config: ReleaseConfig, run_id: str) -> str:
    """The folder or S3 prefix of a run's candidate; it is made when something is written to it."""
    return open_workspace(f"{config.retrain.folder.rstrip('/')}/{path_segment(run_id)}").uri


def freeze(config: ReleaseConfig, uri: str) -> ReleaseConfig:
    """The configuration of a candidate: the one it was begun with, else this one, which is then kept beside it."""
    workspace = open_workspace(uri)
    data = workspace.find("config.json")
    if data is None:
        workspace.write_json("config.json", config.plain())
        return config
    return ReleaseConfig.parse(canonical.loads(data), f"config.json of {uri}")


def seed_of(config: ReleaseConfig, run_id: str) -> int:
    """``retrain.seed``, else a seed that follows from the run's name."""
    if config.retrain.seed is not None:
        return config.retrain.seed
    return 1000 + int(hashlib.sha256(run_id.encode()).hexdigest()[:8], 16) % 20_000


def train_candidate(config: ReleaseConfig, uri: str, seed: int, progress: Callable[[str, float], None]) -> Trained:
    """Train a candidate into ``uri``, going on where an earlier attempt was killed.

    Raises:
        ConfigError: the options of the training do not exist, or the plant has no PID to imitate.
        PlantError: the plant does not exist or cannot be trained on.
    """
    from gate5.train import train

    workspace = open_workspace(uri)
    settings = settings_of(config, seed, report_episodes=REPORT_EPISODES)
    with tempfile.TemporaryDirectory() as scratch:
        out = workspace.path if isinstance(workspace, DirectoryWorkspace) else Path(scratch)
        train(open_plant(config.plant), out, settings, progress=progress, resume=True, state=workspace)
    record = workspace.read_json("train.json")
    found = _read(config, uri)
    return Trained(
        uri=uri,
        policy_sha256=found.policy_sha256,
        vecnormalize_sha256=found.vecnormalize_sha256,
        identity=found.function_sha256,
        seed=seed,
        steps=int(record["steps"]),
        resumed_at=[int(step) for step in record["resumed_at"]],
    )


def quick_check(config: ReleaseConfig, uri: str) -> Checked:
    """Let the policy, not yet an engine, drive a few episodes of every scenario.

    Not sane is what crashes the solver, gives actions that are no numbers, or ends an episode before its time. Other
    violations are counted, and left to Gate 5.

    Raises:
        CheckpointError: the candidate cannot be read safely or does not fit the plant.
    """
    plant = open_plant(config.plant)
    found = _read(config, uri)
    check_fits(found, plant)
    evaluator, policy = Evaluator(plant), TorchController(found.module, found.signature)
    first = config.retrain.check_seed
    seeds = range(first, first + config.retrain.episodes)
    rows = {name: evaluator.run(policy, name, seeds)[0] for name in plant.scenarios}
    checked = Checked(
        reasons=[reason for name, row in rows.items() for reason in sanity_failures(name, row)],
        returns={name: row.return_mean for name, row in rows.items()},
        violations={name: row.violations for name, row in rows.items()},
    )
    open_workspace(uri).write_json("check.json", checked.to_dict())
    return checked


def sanity_failures(scenario: str, row: ControllerResult) -> list[str]:
    """Why a policy that drove a scenario so is not worth a release."""
    reasons = []
    if row.solver_failures:
        reasons.append(f"the plant's solver failed in {row.solver_failures} step(s)")
    if row.nonfinite_actions:
        reasons.append(f"{row.nonfinite_actions} action(s) were not finite")
    if row.return_mean is None:
        reasons.append("the return is not finite")
    reasons += [
        f"{count} episode(s) ended early ({why})" for why, count in row.end_reasons.items() if why != "completed"
    ]
    return [f"{scenario}: {reason}" for reason in reasons]


def known(candidate: Trained, announced: Iterable[Mapping[str, Any]]) -> str | None:
    """Which of the announcements was of this same candidate: a sentence, or ``None``.

    Args:
        announced: the extras of earlier announcements; those of people have no ``identity``, but the files' hashes.
    """
    files = (candidate.policy_sha256, candidate.vecnormalize_sha256)
    for extra in announced:
        if extra.get("identity") == candidate.identity or (
            (extra.get("sha256"), extra.get("vecnormalize_sha256")) == files
        ):
            return f"It was announced before, as {extra.get('uri')}."
    return None


def released(config: ReleaseConfig, candidate: Trained) -> str | None:
    """Why there is no use in announcing: the release that was made of these files, or the channel's hold on this
    policy: a sentence, or ``None``.

    Raises:
        StoreError: the store cannot be read.
    """
    opened = store.open_store(config.store)
    policy = {"function": candidate.identity, "plant": config.plant.name}
    for hold in store.holds(opened, config.release.channel):
        if policy.items() <= hold.candidate.items():
            return f"It is held: {hold.sentence()}."
    for name in dict.fromkeys(entry.release for entry in store.history(opened, config.release.channel)):
        release = store.find_release(opened, name)
        made_of = {} if release is None else dict(release.provenance.get("checkpoint") or {})
        if (made_of.get("policy_sha256"), made_of.get("vecnormalize_sha256")) == (
            candidate.policy_sha256,
            candidate.vecnormalize_sha256,
        ):
            return f"It was released before, as {name}."
    return None


def _read(config: ReleaseConfig, uri: str) -> Checkpoint:
    return read(fetch(uri), trust_pickle=config.checkpoint.trust_pickle)
