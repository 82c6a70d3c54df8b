#!/usr/bin/env python3
"""Make FMUs of the sCO2 plant, to show that any FMU can be a plant, and the configuration that drives them.

python scripts/make_fmu.py [--out var/fmu]    writes sco2_fmi2.fmu, sco2_fmi3.fmu and examples/fmu/release.yaml

The FMUs are Python behind FMI: they run where a Python with NumPy, pydantic and gate5 loads them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "examples" / "fmu"
CONFIG = SOURCES / "release.yaml"
HEAD = """\
# A release on an FMU: the sCO2 plant behind FMI 2.0. Made by `python scripts/make_fmu.py`; docs/own-plant.md explains.
# gate5 release examples/checkpoints/full-observation --config examples/fmu/release.yaml
"""


def build(version: int, out: Path) -> Path:
    """Make ``out/sco2_fmi2.fmu`` or ``out/sco2_fmi3.fmu``.

    Raises:
        ImportError: pythonfmu (or pythonfmu3) is not installed.
    """
    name = f"sco2_fmi{version}"
    if version == 2:
        from pythonfmu.builder import FmuBuilder
    else:
        from pythonfmu3.builder import FmuBuilder
    out.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(SOURCES))
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            made = FmuBuilder.build_FMU(
                SOURCES / f"{name}.py", dest=Path(folder), project_files={SOURCES / "sco2_model.py"}
            )
            made = Path(made) if made else next(Path(folder).glob("*.fmu"))
            return Path(shutil.move(made, out / f"{name}.fmu"))
    finally:
        sys.path.remove(str(SOURCES))


def options() -> dict[str, Any]:
    """``plant.options`` under which the FMU is the plant that it was made of."""
    from gate5.plant.sco2 import SCO2Plant

    plant = SCO2Plant(observation="full")
    observed, moved = plant.observation_space, plant.action_space

    def bounds(box: Any, i: int) -> dict[str, float]:
        return {"low": float(box.low[i]), "high": float(box.high[i])}

    def limits(constraint: Any) -> dict[str, Any]:
        keys = ("name", "variable", "low", "high", "unit", "applies", "catastrophic", "description")
        plain = {key: getattr(constraint, key) for key in keys}
        return {key: value for key, value in plain.items() if value not in (None, False, "")}

    return {
        "dt_s": plant.dt_s,
        "seed": "seed",
        "observation": [{"name": name, **bounds(observed, i)} for i, name in enumerate(observed.names)],
        "action": [
            {"name": name, "variable": f"command_{name}", **bounds(moved, i)} for i, name in enumerate(moved.names)
        ],
        "reward": {"variable": "reward"},
        "terminated": "terminated",
        "variables": ["efficiency"],
        "constraints": [limits(constraint) for constraint in plant.constraints],
        "scenarios": {
            s.name: {"steps": s.steps, "title": s.title, "description": s.description, "start": {"phase": s.phase}}
            for s in plant.scenarios.values()
        },
    }


def configuration(path: str = "var/fmu/sco2_fmi2.fmu") -> dict[str, Any]:
    """The whole configuration of a release on the FMU, against the shipped plant's PID."""
    return {
        "plant": {"id": f"fmu:{path}", "options": options()},
        "evaluation": {"episodes": 3, "accept_undeclared": True},
        "baseline": {"kind": "pid", "gains": "include/gate5/plant/sco2/pid_gains.json"},
    }


def text() -> str:
    """What examples/fmu/release.yaml holds."""
    return HEAD + yaml.safe_dump(configuration(), sort_keys=False, width=120, default_flow_style=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(ROOT / "var" / "fmu"))
    out = Path(parser.parse_args().out)
    for version in (2, 3):
        print(f"written: {build(version, out)}")
    CONFIG.write_text(text(), encoding="utf-8")
    print(f"written: {CONFIG.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
