"""The plugin's pages and routes without a scheduler; a real Airflow asks the same of them in tests/end_to_end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Importing Airflow makes its home folder: that of whoever runs the tests is left alone.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="gate5-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")


@pytest.fixture(autouse=True)
def plugin_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plugin importable, as Airflow does."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "plugins"))
