"""What counts as a difference: relative to the action space, equality of choices but for ties, never a NaN as zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint.signature import Port, Signature
from gate5.config.candidate import ExportConfig
from gate5.export import ONNXExporter
from gate5.parity.difference import TIE, difference

OBS = (Port("obs", (3,), "observation"),)


def _continuous(*half: float) -> Signature:
    return Signature(OBS, (Port("action", (len(half),), "action"),), scale=half)


def _discrete(*sizes: int, bits: bool = False) -> Signature:
    outputs = (Port("action", (len(sizes),), "action", True), Port("scores", (sum(sizes),), "scores"))
    return Signature(OBS, outputs, () if bits else sizes, bits, (1.0,) * len(sizes))


@given(st.floats(1e-6, 1e6), st.floats(1e-9, 1.0))
def test_relative_to_the_width(width: float, part: float) -> None:
    """The same part of its range is the same error; on [-1, 1] it is the absolute one."""
    expected = np.zeros((4, 1), np.float32)
    actual = expected.copy()
    actual[2] = part * width / 2
    found = difference(expected, actual, _continuous(width / 2))
    assert found.max_abs_error == pytest.approx(float(np.float32(part * width / 2)) / (width / 2), rel=1e-9)
    assert found.worst == 2
    if width == 2.0:
        assert found.max_abs_error == difference(expected, actual).max_abs_error


def test_choices_are_equal_or_tied() -> None:
    signature = _discrete(3)
    nan = float("nan")
    expected = np.array([[0, nan, nan, nan], [1, nan, nan, nan], [2, nan, nan, nan]], np.float32)
    same = np.array([[0, 5, 1, 1], [1, 0, 9, 0], [2, 0, 0, 1]], np.float32)
    assert difference(expected, same, signature).max_abs_error == 0.0
    tied = same.copy()
    tied[0] = [1, 5.0, 5.0 + 2e-5, 1]  # of scores of the size 5, 2e-5 is below the tie
    found = difference(expected, tied, signature)
    assert (found.max_abs_error, found.ties) == (0.0, 1)
    tied[0] = [1, 5.0, 5.001, 1]
    found = difference(expected, tied, signature)
    assert (found.max_abs_error, found.ties, found.worst) == (1.0, 0, 0)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("tie", [TIE, 1e-2])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_scores_that_are_all_the_same_are_no_tie(known: bool, tie: float, offset: float) -> None:
    """An engine whose body came to nothing chooses the first in every row: its own scores would excuse each."""
    signature, rng = _discrete(3), np.random.default_rng(0)
    scores = (offset + rng.normal(size=(500, 3))).astype(np.float32)
    given = scores if known else np.full_like(scores, np.nan)
    expected = np.concatenate([scores.argmax(axis=1)[:, None], given], axis=1).astype(np.float32)
    dead = np.concatenate([np.zeros((500, 1)), np.full((500, 3), offset)], axis=1).astype(np.float32)
    assert difference(expected, dead, signature, tie=tie, most=0.1).max_abs_error == 1.0
    turned = np.roll(scores, 1, axis=1)  # or whose last rows are another's
    wrong = np.concatenate([turned.argmax(axis=1)[:, None], turned], axis=1).astype(np.float32)
    assert difference(expected, wrong, signature, tie=tie, most=0.1).max_abs_error == 1.0
    if known:
        both = expected[:1].copy()
        both[0, 1:] = [3.0, 2.0, 1.0]
        both[0, 0] = 0
        other = np.array([[1, 2.0, 2.0, 1.0]], np.float32)  # its own scores are tied, the right ones are not
        assert difference(both, other, signature, tie=tie).max_abs_error == 1.0


@pytest.mark.parametrize("bits", [False, True])
def test_few_ties_of_many_rows_are_borne(bits: bool) -> None:
    signature = _discrete(1, 1, bits=True) if bits else _discrete(2)
    row = [1, 0, 2, -1] if bits else [0, 1.0, 1.0]
    other = [0, 0, -1e-7, -1] if bits else [1, 1.0, 1.0]
    expected, actual = np.array([row] * 400, np.float32), np.array([row] * 400, np.float32)
    expected[:, 2 if bits else 1 :] = np.nan
    for count, error in ((0, 0.0), (4, 0.0), (5, 1.0)):
        actual[:count] = other
        found = difference(expected, actual, signature)
        assert (found.max_abs_error, found.ties) == (error, count)


def test_bits() -> None:
    signature = _discrete(1, 1, bits=True)
    expected = np.array([[1, 0, np.nan, np.nan]], np.float32)
    assert difference(expected, np.array([[1, 0, 2, -1]], np.float32), signature).max_abs_error == 0.0
    assert difference(expected, np.array([[0, 0, -1e-6, -1]], np.float32), signature).ties == 1
    assert difference(expected, np.array([[0, 0, -0.1, -1]], np.float32), signature).max_abs_error == 1.0


@given(st.integers(0, 3), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_number_that_is_none_is_never_agreement(column: int, value: float) -> None:
    signature = _discrete(3)
    actual = np.array([[0, 5, 1, 1]], np.float32)
    actual[0, column] = value
    found = difference(np.array([[0, np.nan, np.nan, np.nan]], np.float32), actual, signature)
    assert (found.max_abs_error, found.nonfinite) == (None, 1)


def test_a_states_difference_counts() -> None:
    """A recurrent policy whose next state is off is off one step later."""
    state = Port("state", (2,), "state")
    signature = Signature((*OBS, state), (Port("action", (1,), "action"), Port("next", (2,), "state")), scale=(1.0,))
    expected = np.array([[0.5, 1.0, 100.0]], np.float32)
    assert difference(expected, expected + np.array([[0, 0, 0.1]], np.float32), signature).max_abs_error == (
        pytest.approx(1e-3, rel=1e-3)
    )


@pytest.mark.parametrize("name", ["SAC", "TD3", "DDPG", "TQC"])
def test_wide_actions_and_far_observations(tmp_path: Path, name: str) -> None:
    """Right exports of squashed policies on an action space 2,000 wide; "onnx_parity" refused them at 61a9b98."""
    import sb3_contrib
    import stable_baselines3
    import torch
    from gymnasium.spaces import Box

    class Plant(__import__("gymnasium").Env[Any, Any]):  # type: ignore[misc]
        observation_space = Box(-1000.0, 1000.0, (3,), np.float32)
        action_space = Box(-1000.0, 1000.0, (2,), np.float32)

    library = sb3_contrib if name == "TQC" else stable_baselines3
    model = getattr(library, name)("MlpPolicy", Plant(), device="cpu", buffer_size=10, seed=3,
                                   policy_kwargs={"net_arch": [256, 256]})  # fmt: skip
    with torch.no_grad():
        for parameter in model.policy.actor.parameters():
            parameter.mul_(1.5)
    model.save(tmp_path / "policy.zip")
    checkpoint = read(CheckpointFiles((tmp_path / "policy.zip").read_bytes(), None, "x"))
    rows = np.random.default_rng(0).uniform(-10, 10, (1000, 3)).astype(np.float32)
    _, report = ONNXExporter(ExportConfig()).export(checkpoint, rows)
    metrics = report.metrics()
    assert metrics["parity.onnx.max_abs_error"] is not None
    assert metrics["parity.onnx.max_abs_error"] < 1e-4, report.by_kind
    assert metrics["parity.onnx.far.beyond_reference"] is not None
    assert report.by_kind["far"]["compared"] == 2000
