"""What the measuring scripts share: the machine's description and a result as JSON and Markdown in docs/results/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gate5 import provenance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


def description(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """The machine, the code's commit and the packages' versions, plain JSON types."""
    versions = provenance.library_versions(packages)
    return {
        **provenance.machine(),
        "commit": provenance.commit() or "unknown",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "packages": {name: versions.get(name) for name in packages},
    }


def write(name: str, title: str, command: str, result: dict[str, Any], text: list[str], indent: int | None = 1) -> Path:
    """Write ``docs/results/NAME.json`` and ``NAME.md``; returns the latter's path.

    Args:
        name: of the files.
        title: heading of the page.
        command: what makes these numbers again.
        result: plain JSON types; has ``machine``.
        text: the page's lines below the heading and the machine.
        indent: of the JSON; ``None``: all in one line, for large results.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = json.dumps(result, indent=indent, sort_keys=True, allow_nan=False)
    (RESULTS / f"{name}.json").write_text(document + "\n")
    described = result["machine"]
    packages = ", ".join(f"{key} {value}" for key, value in described["packages"].items() if value)
    lines = [
        f"# {title}",
        "",
        f"Made by `{command}` on {described['date']}, commit {described['commit']}; do not edit.",
        "",
        f"{described['cpu']}, {described['cpus']} CPUs, Linux {described['kernel']}, Python {described['python']}, "
        f"NumPy {described['numpy']}, {packages}.",
        "",
        *text,
    ]
    page = RESULTS / f"{name}.md"
    page.write_text("\n".join(lines).rstrip() + "\n")
    return page


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    ruler = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", ruler, *("| " + " | ".join(row) + " |" for row in rows)]
