"""What the sCO2 plant's step of 5 s does to the margins: the same episodes under the PID at a twentieth of it.

    python -m benchmarks.integration_error

Writes include/gate5/plant/sco2/integration_error.json, which the plant declares: by constraint, the 95th percentile
over the episodes of all scenarios of how far the smallest margin moves. Two minutes.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.results import ROOT
from gate5.config.evaluation import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.io import canonical
from gate5.plant.sco2 import SCO2Plant
from gate5.robustness.rollout import rollout

SUBSTEPS, EPISODES, FIRST_SEED, PERCENTILE = 20, 20, 100, 95
FILE = ROOT / "include/gate5/plant/sco2/integration_error.json"


def measure() -> dict[str, float]:
    """By constraint, how far the smallest margin moves, in the constraint's unit."""
    plants = SCO2Plant(), SCO2Plant(substeps=SUBSTEPS)
    seeds = range(FIRST_SEED, FIRST_SEED + EPISODES)
    moved: dict[str, list[float]] = {c.name: [] for c in plants[0].constraints}
    for scenario in plants[0].scenarios:
        pid = open_baseline(BaselineConfig(), plants[0])
        assert pid is not None, "the shipped plant has gains"
        before, after = (rollout(plant, pid, scenario, seeds).margins for plant in plants)
        for row, constraint in enumerate(plants[0].constraints):
            both = np.isfinite(before[row]) & np.isfinite(after[row])
            moved[constraint.name] += np.abs(after[row][both] - before[row][both]).tolist()
    return {name: float(f"{np.percentile(v, PERCENTILE):.3g}") if v else 0.0 for name, v in moved.items()}


def main() -> int:
    """Measure and write the file."""
    errors = measure()
    about = {"substeps": SUBSTEPS, "episodes": EPISODES, "first_seed": FIRST_SEED, "percentile": PERCENTILE}
    FILE.write_bytes(canonical.dumps({"errors": errors, "made_by": "python -m benchmarks.integration_error", **about}))
    for name, error in errors.items():
        print(f"{name:28s} {error:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
