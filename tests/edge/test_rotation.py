"""Keys change while machines promote and plants pull real engines; ``scripts/rotate_keys.py`` does more of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.rotate_keys import rotate


@pytest.mark.parametrize("seed", [0, 1])
def test_a_key_is_added_ended_and_revoked_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nothing here is about what a crash leaves
    count = rotate(tmp_path, promotions=15, plants=2, seed=seed)
    assert count.wrong == []
    assert len(count.promoted) + count.refused == 15
    assert len(count.promoted) >= 6, "the key that stays promotes all of its own"
    assert count.pulls >= 4
