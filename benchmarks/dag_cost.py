"""What Airflow costs: the release DAG against the same stages in one process, same candidate, same configuration.

    python -m benchmarks.dag_cost [--repeat 3] [--checkpoint DIR]

The DAG's time is that of its run, from its start to its end; Airflow's own start is told apart. Small budgets, so that
what is measured is the wiring. Writes docs/results/dag-cost.md.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import yaml

from benchmarks.results import ROOT, description, table, write
from gate5.config.quick import QUICK

TARGET_S = 25.0
_LINE = re.compile(r"^(\d\d:\d\d:\d\d)  (\S+)(?: (\S+))? +(\w+)")


def main() -> int:
    """Measure and write the page; 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--checkpoint", default=str(ROOT / "examples/checkpoints/good"))
    options = parser.parse_args()
    rows = []
    for i in range(options.repeat):
        with tempfile.TemporaryDirectory(prefix="gate5-dag-") as folder:
            home = Path(folder)
            config = configuration(home)
            alone = one_process(home, config, options.checkpoint)
            whole, start = dag(home, config, options.checkpoint)
        rows.append((alone, whole, whole - alone, start))
        print(f"{i + 1}: one process {alone:.1f} s, DAG {whole:.1f} s, Airflow's start {start:.1f} s", flush=True)
    cost = statistics.median(row[2] for row in rows)
    page(rows, cost)
    return 0 if cost < TARGET_S else 1


def configuration(home: Path) -> Path:
    """The quick budgets, a store and a key of the measurement's own."""
    data: dict[str, dict[str, object]] = {"store": {"uri": str(home / "store"), "signing_key": str(home / "key.pem")}}
    for key, value in QUICK.items():
        section, _, name = key.partition(".")
        data.setdefault(section, {})[name] = value
    data["channels"] = {"production": {"quick": True}}  # promoted in both, so that both do the same
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    run(["-m", "gate5.cli.main", "keygen", "--config", str(path)], home)
    return path


def one_process(home: Path, config: Path, checkpoint: str) -> float:
    """Seconds that ``gate5 release`` takes."""
    begun = time.monotonic()
    run(["-m", "gate5.cli.main", "release", checkpoint, "--config", str(config), "--workspace", str(home / "w")], home)
    return time.monotonic() - begun


def dag(home: Path, config: Path, checkpoint: str) -> tuple[float, float]:
    """Seconds from the run's start to its last task's end, and seconds that Airflow took to start."""
    command = ["-m", "local_airflow.release", "--checkpoint", checkpoint, "--config", str(config)]
    text = run([*command, "--home", str(home / "airflow")], home)
    stamps = [(datetime.strptime(m[1], "%H:%M:%S"), m[2], m[4]) for m in map(_LINE.match, text.splitlines()) if m]
    first = stamps[0][0]
    begun = next(stamp for stamp, who, what in stamps if (who, what) == ("run", "started"))
    return (stamps[-1][0] - begun).total_seconds(), (begun - first).total_seconds()


def run(command: list[str], home: Path) -> str:
    """The output of a command of ours; a verdict is no failure here."""
    environment = {**os.environ, "GATE5_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode not in (0, 1):
        said = done.stdout[-2000:] + done.stderr[-2000:]
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


def page(rows: list[tuple[float, float, float, float]], cost: float) -> None:
    """Write the page and its numbers."""
    head = ("", "one process, s", "DAG, s", "the DAG's own cost, s", "Airflow's start, s")
    text = [
        "The same stages and budgets (those of `--quick`) in one process and as the DAG `policy_release` on a real",
        "scheduler with the LocalExecutor.",
        "",
        *table(head, [(str(i + 1), *(f"{value:.1f}" for value in row)) for i, row in enumerate(rows)]),
        "",
        f"Median cost {cost:.1f} s; target below {TARGET_S:g} s: {'met' if cost < TARGET_S else 'missed'}.",
    ]
    machine = description(("apache-airflow", "onnxruntime"))
    result = {"machine": machine, "rows": [list(row) for row in rows], "median_cost_s": cost}
    write("dag-cost", "The DAG's own cost", "python -m benchmarks.dag_cost", result, text)


if __name__ == "__main__":
    sys.exit(main())
