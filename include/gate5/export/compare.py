"""How far an exported graph is from the policy: the same observations through both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5 import __version__
from gate5.checkpoint.looks import looks_normalised
from gate5.engine.backends.onnxruntime import open_session
from gate5.engine.rows import as_rows
from gate5.errors import CheckpointError, EngineError, ExportError
from gate5.export.report import ExportReport
from gate5.io.canonical import number
from gate5.parity.difference import Difference, WorstSample, difference
from gate5.parity.probes import probes

if TYPE_CHECKING:
    from gate5.checkpoint import Checkpoint

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
MINIMUM = 1000
_SEED = 11
_SPREAD_ROWS = 128
_FLOAT64_LIMIT = 1e-4  # the specification's, on an action space of [-1, 1]
_NARROWED = ("float64", "int64", "uint64", "int32", "uint32")
_CHUNK_NUMBERS = 2_000_000  # of images, a few hundred at a time


def compare_graph(checkpoint: Checkpoint, model: bytes, rollout: Float32, samples: int) -> ExportReport:
    """Compare a graph with the policy on observations from the plant, on the space's interior and corners, and far out.

    Args:
        checkpoint: whose ``reference`` says what is right.
        model: the graph.
        rollout: input rows from closed-loop runs.
        samples: of each kind; of large observations (images) fewer.

    Raises:
        CheckpointError: the environment gives float64, and float32 cannot carry what the policy reads.
        ExportError: ONNX Runtime refuses the graph.
    """
    signature = checkpoint.signature
    samples = max(MINIMUM // 4, min(samples, 40_000_000 // rollout.shape[1]))
    policy = checkpoint.policy
    low, high = frame_bounds(checkpoint)
    inputs = probes(rollout, low, high, samples, _SEED, signature)
    names = list(inputs)
    stacked = np.concatenate([inputs[name] for name in names])
    given = _as_environment(checkpoint, stacked)
    expected, reference = _reference(checkpoint, given)
    actual = run_graph(model, stacked, 0 if policy.observation is None else policy.observation.encoded)
    judged = len(stacked) - len(inputs["far"])  # the last kind
    found = difference(expected[:judged], actual[:judged], signature)
    every = difference(expected, actual, signature)
    float64 = None
    if given.dtype == np.float64:
        float64 = found.max_abs_error
        _check_float64(checkpoint, given[:judged], stacked[:judged], actual[:judged], float64)
    by_kind, worst_kind = _by_kind(inputs, expected, actual, checkpoint, every if every.nonfinite else found)
    worst = every.worst if every.nonfinite else found.worst
    looks = looks_normalised(policy, inputs["rollout"]) if checkpoint.normaliser is None else None
    proto = _load(model)
    return ExportReport(
        onnx_sha256=hashlib.sha256(model).hexdigest(),
        onnx_bytes=len(model),
        opset=int(proto.opset_import[0].version),
        ir_version=int(proto.ir_version),
        policy_sha256=checkpoint.policy_sha256,
        vecnormalize_sha256=checkpoint.vecnormalize_sha256,
        algorithm=checkpoint.algorithm,
        obs_dim=checkpoint.obs_dim,
        act_dim=checkpoint.act_dim,
        reference=reference,
        compared=every.compared,
        nonfinite=every.nonfinite,
        max_abs_error=None if every.nonfinite else number(found.max_abs_error),
        by_kind=by_kind,
        worst=None if worst is None else WorstSample.of(worst_kind, stacked[worst], expected[worst], actual[worst]),
        verified=every.compared >= MINIMUM and every.nonfinite == 0,
        versions={"gate5": __version__, **{name: _version(name) for name in ("torch", "onnx", "onnxruntime")}},
        far_spread=_far_spread(checkpoint, given[judged:]),
        ties=every.ties,
        float64=number(float64),
        warnings=() if looks is None else (looks,),
    )


def frame_bounds(checkpoint: Checkpoint) -> tuple[Float32, Float32]:
    """Bounds of what the plant gives, one pair per number: one frame of each input, and the mask."""
    policy, signature = checkpoint.policy, checkpoint.signature
    low, high = policy.observation_low, policy.observation_high
    if policy.frames > 1:
        assert policy.observation is not None
        sides: list[list[Float32]] = [[], []]
        for (_, space), port in zip(policy.observation.leaves, signature.inputs, strict=False):
            for side, values in zip(sides, (space.low, space.high), strict=True):
                with np.errstate(over="ignore"):
                    whole = values.reshape(space.shape).astype(np.float32)
                side.append(whole[tuple(slice(-n, None) for n in port.shape)].reshape(-1))
        low, high = (np.concatenate(side) for side in sides)
    mask = sum(port.size for port in signature.inputs if port.role == "mask")
    return np.concatenate([low, np.zeros(mask, np.float32)]), np.concatenate([high, np.ones(mask, np.float32)])


def _as_environment(checkpoint: Checkpoint, rows: Float32) -> Any:
    """The rows as the environment would have given them: float64 that is not on float32's grid where it gives that."""
    policy = checkpoint.policy
    if policy.observation is None or checkpoint.normaliser is None:
        return rows  # without a normaliser, SB3 itself narrows
    wide = np.concatenate(
        [
            np.full(port.size, space.dtype in _NARROWED)
            for (_, space), port in zip(policy.observation.leaves, checkpoint.signature.inputs, strict=False)
        ]
    )
    if not wide.any():
        return rows
    whole = checkpoint.signature.whole_columns()
    given = rows.astype(np.float64)
    columns = np.flatnonzero(wide)
    noise = np.random.default_rng(_SEED).uniform(-0.49, 0.49, (len(rows), len(columns)))
    step = np.spacing(np.abs(rows[:, columns])).astype(np.float64)
    given[:, columns] += noise * np.where(np.isfinite(step), step, 0.0)
    given[:, whole] = np.round(given[:, whole])
    return given


def _check_float64(checkpoint: Checkpoint, given: Float64, rows: Float32, actual: Float32, error: float | None) -> None:
    """Refuse a policy that reads more of an observation than float32 can carry, and say of which."""
    if error is None or error < _FLOAT64_LIMIT:
        return
    narrowed, _ = _reference(checkpoint, rows)
    without = difference(narrowed, actual, checkpoint.signature).max_abs_error
    if without is None or without >= _FLOAT64_LIMIT or checkpoint.normaliser is None:
        return  # something else is wrong, and the rule on the error says so
    mean, std = _statistics(checkpoint)
    clip = checkpoint.normaliser.clip
    exact, narrow = (np.clip((side[:, : std.size] - mean) / std, -clip, clip) for side in (given, rows))
    lost = np.abs(exact - narrow).max(axis=0)
    index = int(lost.argmax())
    value = float(np.abs(rows[:, index]).max())
    raise CheckpointError(
        f"The policy of {checkpoint.uri} was trained on float64 observations, and float32 cannot carry observation "
        f"{index}: at {value:.6g} its steps are {float(np.spacing(np.float32(value))):.3g} wide, {lost[index]:.2g} of "
        f"its standard deviation, and the action is off by {error:.2g} (the limit is {_FLOAT64_LIMIT:g}). Give the "
        "plant's observation relative to a fixed value, such as the design point, and train on that."
    )


def _statistics(checkpoint: Checkpoint) -> tuple[Float64, Float64]:
    """Mean and standard deviation of each number of an observation, one frame; infinite where it is not normalised."""
    policy = checkpoint.policy
    assert policy.observation is not None
    assert checkpoint.normaliser is not None
    means, deviations = [], []
    for (key, space), port in zip(policy.observation.leaves, checkpoint.signature.inputs, strict=False):
        own = checkpoint.normaliser.part(key, space)
        last = tuple(slice(-n, None) for n in port.shape)
        means.append(np.zeros(port.size) if own is None else own.mean[last].reshape(-1))
        deviations.append(
            np.full(port.size, np.inf) if own is None else np.sqrt(own.var + own.epsilon)[last].reshape(-1)
        )
    return np.concatenate(means), np.concatenate(deviations)


def _reference(checkpoint: Checkpoint, rows: Any) -> tuple[Float32, str]:
    """The reference, of large rows some at a time."""
    space = checkpoint.policy.observation
    width = max(rows.shape[1], 0 if space is None else space.encoded)  # one number may be a million once it is one-hot
    chunk = max(1, _CHUNK_NUMBERS // width) if width > 500 else len(rows)
    parts = [checkpoint.reference(rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
    return np.concatenate([part for part, _ in parts]), parts[0][1]


def _far_spread(checkpoint: Checkpoint, far: Any) -> float | None:
    """How far the reference is from itself between batch sizes."""
    some = far[:_SPREAD_ROWS] if far.shape[1] <= 500 else far[:8]
    whole, _ = checkpoint.reference(some)
    single = np.concatenate([checkpoint.reference(some[i : i + 1])[0] for i in range(len(some))])
    large, _ = _reference(checkpoint, far)
    parts = [difference(np.nan_to_num(one), np.nan_to_num(other), checkpoint.signature).max_abs_error
             for one, other in ((whole, single), (large[: len(some)], single))]  # fmt: skip
    return number(max((part for part in parts if part is not None), default=0.0))


def _by_kind(
    inputs: dict[str, Float32], expected: Float32, actual: Float32, checkpoint: Checkpoint, found: Difference
) -> tuple[dict[str, dict[str, float | int | None]], str]:
    rows: dict[str, dict[str, float | int | None]] = {}
    start, worst_kind = 0, ""
    for name, values in inputs.items():
        part = slice(start, start + len(values))
        one = difference(expected[part], actual[part], checkpoint.signature)
        rows[name] = {
            "compared": one.compared,
            "nonfinite": one.nonfinite,
            "max_abs_error": number(one.max_abs_error),
        }
        if found.worst is not None and part.start <= found.worst < part.stop:
            worst_kind = name
        start = part.stop
    return rows, worst_kind


def run_graph(model: bytes, rows: Float32, width: int = 0) -> Float32:
    """A graph's output rows, by ONNX Runtime on the CPU.

    Args:
        width: numbers that it makes of a row inside, where these are more (one-hot).

    Raises:
        ExportError: ONNX Runtime refuses it.
    """
    width = max(width, rows.shape[1])
    chunk = max(1, _CHUNK_NUMBERS // width) if width > 500 else len(rows)
    try:
        session = open_session(as_rows(model))
        parts = [
            session.run(["action"], {"obs": rows[start : start + chunk]})[0] for start in range(0, len(rows), chunk)
        ]
    except EngineError as error:
        raise ExportError(str(error)) from error
    except Exception as error:  # onnxruntime's classes have no common root
        raise ExportError(f"ONNX Runtime does not run the exported graph: {str(error).splitlines()[0]}") from error
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def _load(model: bytes) -> Any:
    import onnx

    return onnx.load_from_string(model)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
