#!/usr/bin/env python3
"""The line and the table of stages in docs/index.md, from ``gate5.workspace.contents``.

python scripts/make_stage_docs.py          writes it
python scripts/make_stage_docs.py --check  exit code 1 where it is not up to date
"""

from __future__ import annotations

import itertools
import sys
import textwrap
from pathlib import Path

from gate5.workspace.contents import SCENARIO, STAGES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "index.md"
BEGIN = "<!-- made by scripts/make_stage_docs.py; do not edit -->"
END = "<!-- end of what is made -->"


def table() -> str:
    """The table as Markdown."""
    lines = ["| stage | what it does | writes |", "|---|---|---|"]
    for stage in STAGES:
        names = (file.name.replace(SCENARIO, "SCENARIO") for file in stage.writes)
        each = " (once for each scenario)" if stage.per_scenario else ""
        lines.append(f"| {stage.name} | {stage.title}{each} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(lines)


def line() -> str:
    """The stages as a line of arrows; those that run once for each scenario stand side by side."""
    before = STAGES[: [stage.name for stage in STAGES].index("promote")]
    steps = []
    for mapped, group in itertools.groupby(before, key=lambda stage: stage.per_scenario):
        names = [stage.name for stage in group]
        steps += [f"{', '.join(names)} (each scenario)"] if mapped else names
    text = " -> ".join([*steps, "promote | reject"])
    lines = textwrap.wrap(text.replace(" (", "\0(").replace(", ", ",\0").replace(" | ", "\0|\0"), 96)
    return "\n".join(f"    {part}" for part in _arrows_first(lines)).replace("\0", " ")


def _arrows_first(lines: list[str]) -> list[str]:
    """A line that would end with an arrow leaves it to the next one."""
    moved = [part.removesuffix(" ->") for part in lines]
    return [f"-> {now}" if before.endswith("->") else now for before, now in zip(["", *lines], moved, strict=False)]


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n\n{line()}\n\n{table()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if made != text:
            print(f"{PAGE.relative_to(ROOT)} is out of date: run python scripts/make_stage_docs.py")
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
