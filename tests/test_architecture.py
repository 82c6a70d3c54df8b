"""The house: rooms in an order, no import upwards, no circle; line of stages, operators and backends are whole.

Read from the source (``ast``), imports inside functions and under ``TYPE_CHECKING`` included: an arrow is an arrow
whenever it is followed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gate5.config.backends import BACKENDS
from gate5.config.engine import EngineConfig
from gate5.config.gate import RuleConfig
from gate5.config.operators import OPERATORS
from gate5.engine.backends import backend, ranked
from gate5.engine.kind import Backend
from gate5.gate.judge import judge
from gate5.pipeline import line
from gate5.pipeline.results import StageResult
from gate5.workspace import contents

ROOT = Path(__file__).resolve().parents[1]

#: From the roof down. A room may import from the floors below its own.
FLOORS = (
    ("local_cluster",),
    ("benchmarks", "cli", "local_airflow", "dags", "plugins"),
    ("train", "pipeline"),
    ("report",),
    ("export", "robustness", "edge"),
    ("control", "evaluation", "latency", "parity"),
    ("plant", "engine", "store", "workspace", "gate"),
    ("checkpoint", "config"),
    ("io",),
    ("seeds",),
    ("errors", "provenance"),
)
FLOOR = {room: len(FLOORS) - index for index, rooms in enumerate(FLOORS) for room in rooms}
#: Rooms outside include/gate5, by what their modules are imported as.
PREFIXES = {
    "benchmarks": "benchmarks",
    "local_airflow": "local_airflow",
    "local_cluster": "local_cluster",
    "gate5_dag": "dags",
    "gate5_plugin": "plugins",
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its full name."""
    found = {}
    for folder in (ROOT / "include", ROOT / "dags", ROOT / "plugins"):
        for path in folder.rglob("*.py"):
            found[_name(path.relative_to(folder))] = path
    for folder in (ROOT / "benchmarks", ROOT / "local_airflow", ROOT / "local_cluster"):
        for path in folder.rglob("*.py"):
            found[_name(path.relative_to(ROOT))] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    """A million nodes are of no use to other files' tests."""
    yield
    parsed.cache_clear()


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str | None:
    """The room of a module; ``None``: the root of the package, which belongs to none."""
    first, *rest = module.split(".")
    if first == "gate5":
        return rest[0] if rest and rest[0] != "__main__" else None
    return PREFIXES.get(first, "dags" if first.startswith("policy_") else None)


def imports(module: str, path: Path) -> Iterator[tuple[str, int]]:
    """Modules of the project that a module imports, with the line."""
    yield from imports_of(parsed(path), module)


def imports_of(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    """As ``imports``, of a part of a module; ``importlib.import_module`` of a name that is written there counts too."""
    known = modules()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            first = node.args[0]
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        for name in names:
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != module:
                yield target, getattr(node, "lineno", 0)


@cache
def arrows() -> tuple[tuple[str, str, str], ...]:
    """(module, imported module, place) for every import within the project."""
    return tuple(
        (module, target, f"{path.relative_to(ROOT)}:{number}")
        for module, path in modules().items()
        for target, number in imports(module, path)
    )


def test_every_room_has_its_floor() -> None:
    """A new folder has to be given its place before anything is built in it."""
    assert {found for module in modules() if (found := room(module))} - set(FLOOR) == set()


def test_imports_go_down() -> None:
    wrong = []
    for module, target, place in arrows():
        above, below = room(module), room(target)
        if above is None or below is None or above == below:
            continue
        if FLOOR[above] <= FLOOR[below]:
            wrong.append(f"{place}: {above} imports {below} ({target})")
    assert wrong == []


def test_imports_are_written_in_full() -> None:
    """A relative import would be read by no test of this file."""
    for module, path in modules().items():
        for node in ast.walk(parsed(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{module}:{node.lineno}: a relative import"


def test_the_library_takes_nothing_from_its_own_root_but_the_version() -> None:
    """``gate5`` gives its users names of any room; within the library that would be a way upwards."""
    for module, path in modules().items():
        if module == "gate5" or not module.startswith("gate5."):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "gate5":
                taken = {alias.name for alias in node.names if f"gate5.{alias.name}" not in modules()}
                assert taken <= {"__version__"}, f"{module}:{node.lineno} takes {taken} from the root"


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: all but the bodies of functions and of TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        yield from at_import(node)


def packages(target: str, module: str) -> Iterator[str]:
    """The packages that importing a module runs first, without those that ``module`` itself lies in."""
    parts = target.split(".")
    for end in range(2, len(parts)):
        package = ".".join(parts[:end])
        if package in modules() and not module.startswith(f"{package}."):
            yield package


def test_no_circle_of_modules() -> None:
    """At import time: what a function imports when it runs may close a circle only within its own room."""
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        graph[module] = set()
        for node in at_import(parsed(path)):
            for target, _ in imports_of(node, module):
                graph[module] |= {target, *packages(target, module)} - {module}
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, f"a circle of imports: {' -> '.join((*trail, module))}"
        state[module] = 1
        for target in sorted(graph[module]):
            visit(target, (*trail, module))
        state[module] = 2

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("stage", contents.STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_its_function_and_its_result(stage: contents.Stage) -> None:
    parameters = list(inspect.signature(line.function(stage)).parameters)
    assert parameters[:2] == ["workspace", "config"]
    assert ("scenario" in parameters) == stage.per_scenario
    kind = line.result_type(stage)
    assert issubclass(kind, StageResult)
    assert kind is not StageResult


def test_every_stage_function_is_in_the_line() -> None:
    """A function of a stage's shape in the module of stages that the line does not know would never run."""
    module = importlib.import_module("gate5.pipeline.stages")
    shaped = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and list(inspect.signature(value).parameters)[:2] == ["workspace", "config"]
    }
    assert shaped == {stage.name for stage in contents.STAGES if stage.path.startswith("gate5.pipeline.stages:")}


def test_the_dag_has_a_task_for_every_stage_that_calls_its_function() -> None:
    tree = ast.parse((ROOT / "dags" / "policy_release.py").read_text(encoding="utf-8"))
    tasks = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    for stage in contents.STAGES:
        assert stage.name in tasks, f"dags/policy_release.py has no task {stage.name}"
        module, _, function = stage.path.partition(":")
        called = {ast.unparse(node) for node in ast.walk(tasks[stage.name]) if isinstance(node, ast.Attribute)}
        assert f"{module.rpartition('.')[2]}.{function}" in called, f"the task {stage.name} does not call {stage.path}"


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_is_registered_whole(name: str) -> None:
    found = backend(name)
    assert isinstance(found, Backend)
    assert found.name == name, "a backend is called as its module"
    assert found.title
    assert found.judge in ("onnx", "onnxruntime")
    assert found.judge != found.package, "a library that is compared with itself agrees"
    assert found.missing() is None or isinstance(found.missing(), str)
    assert EngineConfig.model_validate({"backend": name}).backend == name
    assert len({other.rank for other in ranked()}) == len(BACKENDS), "`auto` has to have one answer"


DUMMY = """
from gate5.engine.base import BuiltEngine
from gate5.engine.kind import Backend

class Dummy(Backend):
    name, title, rank, package = "dummy", "Dummy", 99, "json"
    def missing(self): return None
    def build(self, onnx, config, *, timing_cache=None):
        import hashlib
        known = {"backend": "dummy", "precision": "fp32", "obs_dim": 1, "act_dim": 1, "batch_max": 1, "versions": {}}
        return BuiltEngine(onnx, {**known, "onnx_sha256": "", "blob_sha256": hashlib.sha256(onnx).hexdigest()})
    def load(self, blob, metadata, *, threads=1): return ("opened", blob)

BACKEND = Dummy()
"""
USE = """
from gate5 import engine
from gate5.config.models import ReleaseConfig
config = ReleaseConfig.parse({"engine": {"backend": "dummy"}, "release": {"require_backend": "dummy"}})
built = engine.build(b"graph", config.engine)
assert engine.load(built.blob, built.metadata) == ("opened", b"graph")
assert engine.choose_backend(ReleaseConfig().engine) == "dummy", "auto takes the one of the highest rank"
"""


def test_another_backend_is_one_new_file(tmp_path: Path) -> None:
    """Nothing else has to be told: the configuration admits it, `auto` finds it, build and load reach it."""
    shutil.copytree(ROOT / "include" / "gate5", tmp_path / "gate5", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "gate5" / "engine" / "backends" / "dummy.py").write_text(DUMMY)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_admitted_judged_and_shown(name: str) -> None:
    rule = RuleConfig.model_validate({"name": "r", "metric": "m", "op": name, "threshold": 1.0})
    outcomes = set()
    for value in (0.0, 1.0, 2.0):
        (result,) = judge([rule], {"m": value}, [], 1.0).rules
        assert result.margin is not None
        holds = OPERATORS[name].holds(value, 1.0)
        assert result.outcome == ("pass" if holds else "fail")
        # The margin says the same as the comparison, on the good side of the threshold and off it.
        assert result.margin >= 0 if holds else result.margin <= 0
        outcomes.add(result.outcome)
        assert name in judge([rule], {"m": value}, [], 1.0).table()
    assert outcomes == {"pass", "fail"}, "an operator that never fails is none"


def test_the_quick_tests_cover_every_room() -> None:
    """`make check` runs the tests of tests/quick.txt; a room without one there would be broken without a word."""
    named = (ROOT / "tests" / "quick.txt").read_text(encoding="utf-8").split()
    missing = [path for path in named if not (ROOT / path.partition("::")[0]).exists()]
    assert missing == []
    covered = {Path(path).parts[1] for path in named}
    assert set(FLOOR) - covered - {"errors", "provenance", "seeds"} == set()


def test_the_picture_of_the_rooms_is_the_house() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.partition("```text\n")[2].partition("```")[0]
    drawn = tuple(tuple(line.split("   ")[0].split()) for line in picture.splitlines())
    assert drawn == FLOORS


def test_the_documented_stages_are_the_line() -> None:
    script = [sys.executable, str(ROOT / "scripts/make_stage_docs.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_names_files_that_exist() -> None:
    """docs/architecture.md sends a newcomer to files; a move must not leave it behind."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in set(re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+\.(?:py|md)|[a-z_0-9]+(?:/[a-z_0-9]+)*/)`", text)):
        assert any((base / path).exists() for base in (ROOT, ROOT / "include" / "gate5")), path
