"""The plugin's pages are plain functions; the routes are tested on a real Airflow in tests/end_to_end."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def plugin_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plugin importable, as Airflow does."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "plugins"))
