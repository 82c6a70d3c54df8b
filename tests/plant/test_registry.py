"""Opening the plant that a configuration names."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from gate5.config.candidate import PlantConfig
from gate5.config.models import ReleaseConfig
from gate5.errors import PlantError
from gate5.plant.base import Plant
from gate5.plant.registry import open_plant
from gate5.plant.sco2 import SCO2Plant


def test_sco2_with_options() -> None:
    plant = open_plant(PlantConfig(id="sco2", options={"turbine_efficiency": 0.91}))
    assert isinstance(plant, SCO2Plant)


def test_module_and_factory() -> None:
    plant = open_plant(PlantConfig(id="gate5.plant.sco2:SCO2Plant"))
    assert isinstance(plant, Plant)


@pytest.mark.parametrize(
    ("identifier", "options", "says"),
    [
        ("sco", {}, "did you mean 'sco2'"),
        ("something", {}, "gymnasium:ENV_ID"),
        ("sco2", {"turbine_eff": 1.0}, "turbine_eff"),
        ("no_such_module:make", {}, "no_such_module"),
        ("gate5.plant.sco2:SCO2Plnt", {}, "did you mean 'SCO2Plant'"),
        ("gate5.plant.sco2.design:size", {"q": 1}, "does not take the options"),
        ("gate5.config.candidate:PlantConfig", {}, "it must implement gate5.plant.base.Plant"),
        ("gymnasium:Pendulm-v1", {}, "did you mean 'Pendulum-v1'"),
        ("gymnasium:Pendulum-v1", {"stpes": 3}, "stpes"),
        ("gymnasium:Pendulum-v1", {"kwargs": {"gravity": 9.8}}, "gravity"),
    ],
)
def test_bad_input_is_one_sentence(identifier: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(PlantError) as error:
        open_plant(PlantConfig(id=identifier, options=options))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_plant_needs_neither_gymnasium_nor_coolprop_nor_torch() -> None:
    code = (
        "import sys\n"
        "for name in ('gymnasium', 'CoolProp', 'torch', 'stable_baselines3', 'scipy'): sys.modules[name] = None\n"
        "import gate5.plant.registry, gate5.plant.gymnasium_env, gate5.plant.sco2.env, gate5.plant.sco2.make_tables\n"
        "import gate5.plant.sco2.validate\n"
        "from gate5.config.candidate import PlantConfig\n"
        "import numpy as np\n"
        "plant = gate5.plant.registry.open_plant(PlantConfig())\n"
        "plant.reset('steady_state', [1, 2]); plant.step(np.zeros((2, 4), np.float32))\n"
        "try: gate5.plant.sco2.env.SCO2Env()\n"
        "except gate5.errors.PlantError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout


def test_the_documents_example_opens() -> None:
    text = (Path(__file__).parents[2] / "docs" / "own-plant.md").read_text(encoding="utf-8")
    example = text.split("## A Gymnasium environment")[1].split("- **Variables**")[0]
    plant = open_plant(ReleaseConfig.parse(yaml.safe_load(textwrap.dedent(example))).plant)
    assert set(plant.scenarios) == {"near_top", "anywhere"}
    assert [c.name for c in plant.constraints] == ["rate"]
