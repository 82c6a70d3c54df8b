"""The line of stages, said once: what each is for, what it reads from a run's workspace and what it writes there.

    resolve -> export -> build -> verify -> benchmark -> evaluate, falsify, stress (one per scenario)
    -> compare -> gate -> report

and then promote or reject. The command line, the release in one process, promotion, the report, Airflow's pages and the
documentation take the line from here; the DAG is wired by hand, for people to read, and a test holds it to this value.
A new stage is an entry here, a function where ``function`` says, and a task in ``dags/policy_release.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gate5.errors import WorkspaceError

#: In a file's name: the scenario of a stage that runs once for each.
SCENARIO = "{scenario}"


@dataclass(frozen=True)
class File:
    """A file that a stage writes.

    Attributes:
        name: in the workspace; may hold ``{scenario}``.
        released: whether it is part of a release.
        identity: whether it is part of what makes two candidates the same, whatever was measured on them.
        optional: whether the stage may leave it out.
    """

    name: str
    released: bool = False
    identity: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of the line.

    Attributes:
        name: as command, task and record.
        title: what it does, for a reader.
        reads: names of the files that it takes from the workspace; each is written by an earlier stage.
        writes: what it leaves there.
        per_scenario: whether it runs once for each scenario.
        function: ``module:name`` of what carries it out; its annotated return type is the stage's result.
        command: whether it is a command of ``gate5``.
        recorded: whether it leaves a record, so that it need not run again on the same inputs.
    """

    name: str
    title: str
    reads: tuple[str, ...]
    writes: tuple[File, ...]
    per_scenario: bool = False
    function: str = ""
    command: bool = True
    recorded: bool = True

    @property
    def path(self) -> str:
        """``module:name`` of the stage's function."""
        return self.function or f"gate5.pipeline.stages:{self.name}"

    def record(self, scenario: str | None = None) -> str:
        """The name of its record, ``evaluate-load_rejection``."""
        return f"{self.name}-{scenario}" if self.per_scenario else self.name


_CHECKPOINT = ("checkpoint/policy.zip", "checkpoint/vecnormalize.pkl")
_BASELINE = ("baseline/policy.zip", "baseline/vecnormalize.pkl")
_ENGINE = ("engine/policy.engine", "engine/engine.json")
_CURRENT = (
    "current.json",
    "current/policy.onnx",
    "current/policy.engine",
    "current/engine.json",
    "current/golden.npz",
)
_EVALUATION = "evaluation/{scenario}.json"
_CHANCE = "chance/{scenario}.json"
_SEARCH = "falsification/{scenario}.json"
_MATRIX = "stress/{scenario}.json"

STAGES: tuple[Stage, ...] = (
    Stage(
        "resolve",
        "find, read and hash the checkpoint; freeze configuration and current release",
        reads=(),
        writes=(
            File("checkpoint/policy.zip"),
            File("checkpoint/vecnormalize.pkl", optional=True),
            File("baseline/policy.zip", optional=True),
            File("baseline/vecnormalize.pkl", optional=True),
            File("current.json", released=True),
            *(File(name, optional=True) for name in _CURRENT[1:]),
            File("checkpoint.json", released=True),
            File("config.json", released=True, identity=True),
            File("run.json", optional=True),
        ),
    ),
    Stage(
        "export",
        "write the whole policy function as ONNX and compare it",
        reads=(*_CHECKPOINT, *_BASELINE),
        writes=(
            File("observations.npz"),
            File("policy.onnx", released=True, identity=True),
            File("export.json", released=True),
        ),
    ),
    Stage(
        "build",
        "build the engine for this machine",
        reads=("policy.onnx",),
        writes=(
            File("engine/policy.engine", released=True, identity=True),
            File("engine/engine.json", released=True),
        ),
    ),
    Stage(
        "verify",
        "compare the engine with the ONNX graph",
        reads=("policy.onnx", "observations.npz", *_ENGINE),
        writes=(
            File("parity.json", released=True, optional=True),
            File("golden.npz", released=True),
            File("awaiting.json", released=True, optional=True),
        ),
    ),
    Stage(
        "benchmark",
        "time the engine host to host",
        reads=("observations.npz", "awaiting.json", *_ENGINE),
        writes=(File("latency.npz", optional=True), File("latency.json", released=True, optional=True)),
    ),
    Stage(
        "evaluate",
        "let engine, PID and the channel's current release drive the plant's scenarios",
        reads=("policy.onnx", *_CHECKPOINT, *_BASELINE, *_CURRENT, *_ENGINE),
        writes=(
            File(_EVALUATION),
            File("evaluation/{scenario}.npz"),
            File("envelope/{scenario}.npz"),
            File(_CHANCE, optional=True),
        ),
        per_scenario=True,
    ),
    Stage(
        "falsify",
        "search the declared ranges for the worst case",
        reads=("policy.onnx", *_ENGINE),
        writes=(
            File(_SEARCH),
            File("cases/{scenario}.json", optional=True),
            File("cases/{scenario}.npz", optional=True),
        ),
        per_scenario=True,
        function="gate5.pipeline.robustness:falsify",
    ),
    Stage(
        "stress",
        "drive what the plant declares can go wrong, level by level",
        reads=("policy.onnx", "latency.npz", *_BASELINE, *_CURRENT, *_ENGINE),
        writes=(File(_MATRIX),),
        per_scenario=True,
        function="gate5.pipeline.robustness:stress",
    ),
    Stage(
        "compare",
        "put the scenarios together",
        reads=(_EVALUATION, "envelope/{scenario}.npz", _CHANCE, _SEARCH, _MATRIX),
        writes=(
            File("comparison.json", released=True),
            File("envelope.json", released=True),
            File("robustness.json", released=True),
        ),
    ),
    Stage(
        "gate",
        "judge by Gate 5's rules",
        reads=(
            "current.json",
            "export.json",
            "parity.json",
            "latency.json",
            "awaiting.json",
            "comparison.json",
            "robustness.json",
        ),
        writes=(File("gate.json", released=True),),
    ),
    Stage(
        "report",
        "render the HTML report from what there is by now",
        reads=(),
        writes=(File("report.html", released=True),),
        recorded=False,
    ),
    Stage(
        "promote",
        "publish a candidate that passed",
        reads=("gate.json", "current.json"),
        writes=(File("release.json"),),
        function="gate5.pipeline.promote:promote",
        recorded=False,
    ),
    Stage(
        "reject",
        "record why the candidate is not released; hold what a person rejected",
        reads=("gate.json", "checkpoint.json", "engine/engine.json"),
        writes=(File("rejection.json"),),
        function="gate5.pipeline.promote:reject",
        command=False,
    ),
)

#: The last stage that measures or judges; what follows acts on its verdict.
VERDICT = "gate"


def stage(name: str) -> Stage:
    """The stage of a name.

    Raises:
        KeyError: there is none.
    """
    return {entry.name: entry for entry in STAGES}[name]


def measuring() -> tuple[Stage, ...]:
    """The stages up to the verdict, in order, the gate itself left out."""
    names = [entry.name for entry in STAGES]
    return STAGES[: names.index(VERDICT)]


def files(entries: Iterable[Stage] = STAGES) -> tuple[File, ...]:
    """Every file of some stages, in the order in which they are written."""
    return tuple(file for entry in entries for file in entry.writes)


def writer(name: str) -> str:
    """The record of the stage that writes a file, ``evaluate-cold_startup`` of ``evaluation/cold_startup.json``.

    Raises:
        WorkspaceError: no stage does.
    """
    for entry in STAGES:
        for file in entry.writes:
            scenario = _scenario(file.name, name)
            if scenario is not None:
                return entry.record(scenario)
    raise WorkspaceError(f"No stage writes {name}: workspace/contents.py lists what each stage writes.")


def check(record: str, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Hold a stage that has run to what is said of it here.

    Args:
        record: the stage's record; one that is none of ``STAGES`` is not held to anything.
        inputs, outputs: names of the files that it read and wrote.

    Raises:
        WorkspaceError: it read or wrote something else.
    """
    entry = next((entry for entry in STAGES if record == entry.name or _is_mapped(entry, record)), None)
    if entry is None:
        return
    said = {"read": entry.reads, "wrote": tuple(file.name for file in entry.writes)}
    for verb, names in (("read", inputs), ("wrote", outputs)):
        extra = sorted(name for name in names if not any(_scenario(known, name) is not None for known in said[verb]))
        if extra:
            raise WorkspaceError(
                f"The stage {record} {verb} {', '.join(extra)}, which workspace/contents.py does not say of it."
            )


def _is_mapped(entry: Stage, record: str) -> bool:
    return entry.per_scenario and record.startswith(f"{entry.name}-")


def _scenario(pattern: str, name: str) -> str | None:
    """What stands for ``{scenario}`` where ``name`` fits ``pattern``; empty where it has none; ``None``: no fit."""
    before, found, after = pattern.partition(SCENARIO)
    if not found:
        return "" if name == pattern else None
    inner = name[len(before) : len(name) - len(after)] if after else name[len(before) :]
    fits = name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)
    return inner if fits and "/" not in inner else None
