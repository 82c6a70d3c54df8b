"""The README and the documents say only what is there: links, commands, options and make targets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gate5.cli.commands import COMMANDS
from gate5.cli.main import _parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/checkpoints/README.md"]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


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
