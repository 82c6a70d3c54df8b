"""The README and the documents say only what is there: links, commands, options and make targets."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import gate5
from gate5.cli.commands import COMMANDS
from gate5.cli.main import _parser

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/checkpoints/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: Whatever says where something lies.
TEXTS = [
    *PAGES,
    *(ROOT / name for name in ("Makefile", "Dockerfile", "pyproject.toml", "docker-compose.yaml", ".ci/run")),
    *(
        path
        for room in (
            "benchmarks",
            "config",
            "dags",
            "deploy",
            "examples",
            "include",
            "local_airflow",
            "plugins",
            "scripts",
        )
        for path in sorted((ROOT / room).rglob("*"))
        if path.suffix in (".py", ".yaml", ".json", ".md")
    ),
]
FILE = re.compile(
    r"(?<![\w/.-])(?:scripts|benchmarks|local_airflow|include|dags|plugins|tests|deploy)/[\w/.-]*\w\.(?:py|md|json|txt|js|css)"
)
DOTTED = re.compile(r"(?<![\w/.:@-])gate5\.([a-z_]\w*(?:\.[A-Za-z_]\w*)*)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_files_that_are_named_exist() -> None:
    """In documents and in code: what moves takes its name along."""
    named = {(text.relative_to(ROOT).as_posix(), name) for text in TEXTS for name in FILE.findall(text.read_text())}
    assert ("docs/index.md", "scripts/make_env.py") in named
    assert sorted((text, name) for text, name in named if not (ROOT / name).exists()) == []


def test_modules_that_documents_name_exist() -> None:
    """``gate5.store.open_store``: a module as far as there is one, and then what it holds."""
    sources = (ROOT / "include").rglob("*.py")
    keys = {"md"}.union(*(re.findall(r"\"gate5\.(\w+)\"", path.read_text()) for path in sources))  # of ONNX metadata
    texts = {page.name: re.sub(r"```python.*?```", "", page.read_text(), flags=re.DOTALL) for page in PAGES}
    named = {(page, name) for page, text in texts.items() for name in DOTTED.findall(text) if name not in keys}
    assert any(name.startswith("workspace.address") for _, name in named)
    assert sorted((page, name) for page, name in named if not _is_there(name)) == []


def _is_there(dotted: str) -> bool:
    found: object = gate5
    module = "gate5"
    for part in dotted.split("."):
        module = f"{module}.{part}"
        if _is_module(module):
            found = importlib.import_module(module)
        elif hasattr(found, part):
            found = getattr(found, part)
        else:
            return False
    return True


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return False


def test_make_targets_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z][a-z-]*)", page.read_text())}
    assert "release" in named
    assert not named - known


@pytest.mark.parametrize("line", re.findall(r"`\.venv/bin/(gate5 [^`]+)`", (ROOT / "README.md").read_text()))
def test_commands_are_understood(line: str) -> None:
    """argparse takes each command of the README as it stands, with the placeholders as values."""
    arguments = _parser().parse_args(shlex.split(line)[1:])
    assert arguments.command in {command.name for command in COMMANDS}


def test_numbers_of_the_gpu_are_those_of_the_results() -> None:
    """A number in the README is one that the results hold."""
    results = (ROOT / "docs/results/gpu-h200.md").read_text()
    section = (ROOT / "README.md").read_text().split("## On a GPU")[1].split("## ")[0]
    p99, bound = re.findall(r"([\d.]+) µs", section)
    assert f"p99 {p99} µs, upper confidence bound {bound} µs" in results
    for error in re.findall(r"\d\.\de-\d\d", section):
        mantissa, exponent = error.split("e")
        shown = [float(n) for n in re.findall(rf"\d\.\d+(?=e{exponent})", results)]
        assert any(abs(number - float(mantissa)) <= 0.05 + 1e-9 for number in shown), error
