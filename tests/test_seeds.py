"""No episode that trains, tunes or chooses a policy is one that judges it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.evaluation import EvaluationConfig
from gate5.config.schedule import RetrainConfig
from gate5.errors import ConfigError
from gate5.seeds import PERSONAL, PURPOSES, STREAMS, seeds_of
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.settings import REPORT_SEED, VALIDATION_SEED

streams = st.integers(0, STREAMS - 1)


@given(st.sampled_from(PURPOSES), streams, st.sampled_from(PURPOSES), streams)
def test_no_two_streams_share_a_seed(one: str, a: int, other: str, b: int) -> None:
    first, second = seeds_of(one, a), seeds_of(other, b)  # type: ignore[arg-type]
    if (one, a) != (other, b):
        assert max(first.start, second.start) >= min(first.stop, second.stop)


def test_every_seed_of_train_draws_elsewhere_than_validation_and_report() -> None:
    """``train --seed 10`` once trained on the validation episodes and ``--seed 20`` on the report's."""
    for seed in (0, 1, 10, 20, 999_999):
        drawn = seeds_of("training", seed)
        for judged in (VALIDATION_SEED, REPORT_SEED, PolishConfig().seed, ImitationConfig().seed):
            assert judged not in drawn
    assert len({VALIDATION_SEED, REPORT_SEED, PolishConfig().seed, ImitationConfig().seed}) == 4


def test_a_persons_small_seeds_belong_to_no_purpose() -> None:
    assert EvaluationConfig().seed + 1000 < PERSONAL
    assert RetrainConfig().check_seed < PERSONAL
    assert all(seeds_of(purpose).start >= PERSONAL for purpose in PURPOSES)


def test_seeds_are_in_order_and_below_two_to_the_sixty_three() -> None:
    assert seeds_of(PURPOSES[-1], STREAMS - 1).stop < 2**63
    starts = [seeds_of(purpose).start for purpose in PURPOSES]
    assert all(a < b for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize("stream", [-1, STREAMS])
def test_a_seed_out_of_range_is_refused_in_one_sentence(stream: int) -> None:
    with pytest.raises(ConfigError, match=rf"The seed {stream} of the training is out of range"):
        seeds_of("training", stream)
