"""Damaged files: only a policy or a ``CheckpointError``. ``scripts/fuzz_checkpoints.py`` runs as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.fuzz_checkpoints import CRAFTED, bytes_of, right

#: Every seed that was ever not right: 207151 put something at place 2^31 of a pickle's memo, gigabytes; of 309148 the
#: sentence had 33,904 characters; of 1405126 norm_obs is an array; 1942412 has a million quantiles and no net_arch, of
#: which the reference policy took 1.5 GiB.
KEPT: tuple[int, ...] = (207_151, 309_148, 1_405_126, 1_942_412)


@pytest.mark.parametrize("start", [*range(0, 100, 25), *range(CRAFTED, CRAFTED + 100, 25)])
@pytest.mark.filterwarnings("ignore")
def test_some(tmp_path: Path, start: int) -> None:
    for seed in range(start, start + 25):
        assert right(seed, tmp_path) is None, f"seed {seed}"


@pytest.mark.parametrize("seed", KEPT)
@pytest.mark.filterwarnings("ignore")
def test_kept(tmp_path: Path, seed: int) -> None:
    assert right(seed, tmp_path) is None


def test_cases_differ_and_come_again() -> None:
    assert bytes_of(7, "x") == bytes_of(7, "x")
    assert len({bytes_of(seed, "x") for seed in range(40)}) == 40
    assert bytes_of(CRAFTED + 7, "x") == bytes_of(CRAFTED + 7, "x")
    assert len({bytes_of(seed, "x") for seed in range(CRAFTED, CRAFTED + 40)}) > 35
