"""The lock files: exact, complete, consistent, and what the tests themselves run with."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def pins(name: str) -> dict[str, str]:
    """Canonical names to versions; every line must pin one exactly."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!_-]+)", line.strip())
            assert match, f"{name}: {line!r} pins no version"
            assert canonicalize_name(match[1]) not in found, f"{name}: {match[1]} is there twice"
            found[canonicalize_name(match[1])] = match[2]
    return found


def test_the_lock_pins_torch_exactly() -> None:
    assert pins("requirements.txt")["torch"] == "2.13.0"


def test_the_environment_that_tests_run_in_is_the_locked_one() -> None:
    wrong = {
        name: (version, metadata.version(name))
        for name, version in pins("requirements.txt").items()
        if metadata.version(name).split("+")[0] != version
    }
    assert wrong == {}


def test_the_lock_is_complete() -> None:
    """Whatever a locked package requires here is locked too, in a version that it accepts."""
    locked = pins("requirements.txt")
    missing = []
    for name in locked:
        for line in metadata.requires(name) or ():
            need = Requirement(line)
            if need.marker is not None and not need.marker.evaluate({"extra": ""}):
                continue
            if need.name in ("pip", "setuptools"):
                continue  # a virtual environment brings them; `pip freeze` leaves them out
            version = locked.get(canonicalize_name(need.name))
            if version is None or not need.specifier.contains(version, prereleases=True):
                missing.append(f"{name} requires {line}, locked: {version}")
    assert missing == []


def test_it_covers_what_pyproject_asks_for() -> None:
    locked = pins("requirements.txt") | pins("requirements-rtx.txt")
    for line in metadata.requires("gate5") or ():
        need = Requirement(line)
        version = locked.get(canonicalize_name(need.name))
        assert version is not None, f"{need.name} is in pyproject.toml and not in requirements.txt"
        assert need.specifier.contains(version), f"{line} against {version}"


def test_no_installed_package_misses_another() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert outcome.returncode == 0, outcome.stdout


def test_the_cluster_adds_to_the_lock_and_changes_nothing() -> None:
    cluster = pins("requirements-cluster.txt")
    assert not set(cluster) & set(pins("requirements.txt"))
    assert {"psycopg2-binary", "asyncpg", "redis", "apache-airflow-providers-celery"} <= set(cluster)
    # 5.7 breaks the provider with a message about Airflow's version.
    assert tuple(int(part) for part in cluster["celery"].split(".")) < (5, 7)


def test_a_gpu_worker_gets_tensorrt_pycuda_bindings_and_nvml() -> None:
    assert set(pins("requirements-gpu.txt")) == {
        "tensorrt",
        "tensorrt-rtx",
        "pycuda",
        "cuda-bindings",
        "nvidia-ml-py",
    }
    assert pins("requirements-gpu.txt")["tensorrt"].startswith("10.16.")
