"""Measures all kinds of policies; the tables of docs/checkpoints.md: ``python -m scripts.make_checkpoint_table``."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

from scripts.policy_kinds import ACTIONS, OBSERVATIONS, Row, cases, measure

PAGE = Path(__file__).parents[1] / "docs/checkpoints.md"
BEGIN, END = "<!-- table: scripts/make_checkpoint_table.py -->\n", "<!-- end of the table -->\n"


def main() -> None:
    """Train, export and compare all of them (some minutes), then put the tables between the two marks."""
    warnings.simplefilter("ignore")
    rows = []
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(case, Path(folder)))
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + BEGIN + tables(rows) + END + rest.partition(END)[2])


def tables(rows: list[Row]) -> str:
    """Observations and actions, a column each; an empty cell is a pair that SB3 or sb3-contrib does not have."""
    observed: dict[str, dict[str, str]] = defaultdict(dict)
    acted: dict[str, dict[str, str]] = defaultdict(dict)
    first: dict[str, str] = {}
    for row in rows:
        case = row.case
        first.setdefault(case.algorithm, case.action)
        if case.action == first[case.algorithm]:
            observed[case.algorithm][case.observation] = _cell(row)
        if case.observation == "Box":
            acted[case.algorithm][case.action] = _cell(row)
    return f"{_table('observations', list(OBSERVATIONS), observed)}\n{_table('actions', list(ACTIONS), acted)}"


def _cell(row: Row) -> str:
    if row.case.action.startswith("Box"):
        return re.sub(r"e-0?", "e-", f"{row.error:.0e}") if row.error else "0"
    ties = f", {row.ties} tied" if row.ties else ""
    return f"equal{ties}" if row.error < 1e-4 else f"**{row.error:g}**"  # 1 where one differs; else of the states


def _table(what: str, columns: list[str], cells: dict[str, dict[str, str]]) -> str:
    lines = [f"| {what} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [
        f"| {name} | {' | '.join(found.get(column, '') for column in columns)} |" for name, found in cells.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
