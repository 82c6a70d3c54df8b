"""The runner behind `make release` lives in scripts/."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the runner's package importable; returns its folder."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return ROOT / "scripts"
