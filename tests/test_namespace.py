"""The root of the package: the specification's names, each imported only when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gate5

SPECIFIED = (
    "ONNXExporter", "TensorRTExporter", "LatencyBenchmark", "PIDController", "PIDBaseline", "EvaluationReporter",
    "EvaluationReport",
)  # fmt: skip

#: Refuses every library but the three that a bare worker has.
ALONE = """
import sys
HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "pycuda", "boto3", "matplotlib", "stable_baselines3", "airflow",
         "gymnasium", "securesystemslib", "cuda")

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
"""


def test_the_specified_names_are_there() -> None:
    assert sorted(SPECIFIED) == sorted(gate5.__all__)
    for name in SPECIFIED:
        assert getattr(gate5, name).__name__ == name
    assert set(SPECIFIED) <= set(dir(gate5))


def test_another_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="'gate5' has no attribute 'OnnxExporter'"):
        gate5.OnnxExporter  # noqa: B018


@pytest.mark.parametrize("name", SPECIFIED)
def test_each_is_imported_without_the_heavy_libraries(name: str) -> None:
    """Their classes import what they need when they are used."""
    done = subprocess.run(
        [sys.executable, "-c", f"{ALONE}\nimport gate5\nprint(gate5.{name}.__name__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == name, done.stderr


def test_importing_gate5_alone_imports_none_of_its_rooms() -> None:
    code = "import sys, gate5; print([name for name in sys.modules if name.startswith('gate5.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gate5", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "history" in done.stdout
