"""Is the built engine still the same function as the exported graph?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.signature import Signature
from gate5.config.backends import BACKENDS
from gate5.config.measurement import ParityConfig
from gate5.engine.backends import backend as backend_of
from gate5.engine.backends.onnxruntime import open_session
from gate5.engine.rows import as_rows, signature_of_graph
from gate5.errors import ConfigError, EngineError
from gate5.io.canonical import number
from gate5.io.plain import from_plain, to_plain
from gate5.parity.difference import MOST_TIES, TIE, Difference, WorstSample, difference
from gate5.parity.probes import KINDS, probes

if TYPE_CHECKING:
    from gate5.engine.base import Engine

Float32 = NDArray[np.float32]
_REPEATS = 200
#: Of an engine in FP16 or BF16, whose scores are that far from the graph's, and the share of choices that may change.
_LOW_PRECISION = {"tie": 1e-2, "most": 0.1}


@dataclass(frozen=True)
class ParityReport:
    """How far the engine is from the ONNX graph.

    Attributes:
        backend, precision, batch_max: of the engine.
        compared: observations on which they were compared, at batch 1; 0 is a failure.
        nonfinite: numbers of either that are NaN or infinite; above 0 is a failure.
        max_abs_error: the largest difference of an action over rollout, interior and corners, at batch 1 and at the
            largest batch, relative to half the width of the action space (``parity.difference``); ``None`` where
            nothing was compared or something is not finite. What lies far outside is in ``by_kind``, as advice.
        by_kind: compared, nonfinite and max_abs_error for rollout, interior, corners and far, at batch 1.
        batch_compared, batch_nonfinite, batch_max_abs_error: the same at the largest batch.
        batch_spread: the largest difference between batch 1 and the largest batch.
        repeats, repeat_mismatches: inputs that were given twice, and how many gave other bits the second time.
        nan_gives_nan: whether a NaN in an observation, whichever number of it is NaN, gives an action that has one too
            (and not a plausible action).
        worst: the observation with the largest difference.
        reference: what ran the graph.
        ties: observations whose choices differ and whose scores are tied, over all kinds, at batch 1.
    """

    backend: str
    precision: str
    batch_max: int
    compared: int
    nonfinite: int
    max_abs_error: float | None
    by_kind: dict[str, dict[str, float | int | None]]
    batch_compared: int
    batch_nonfinite: int
    batch_max_abs_error: float | None
    batch_spread: float | None
    repeats: int
    repeat_mismatches: int
    nan_gives_nan: bool
    worst: WorstSample | None
    reference: str
    ties: int = 0

    def to_dict(self) -> dict[str, Any]:
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParityReport:
        return from_plain(cls, data)

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for Gate 5; not finite counts as infinite, not compared as missing."""
        metrics = {
            "parity.engine.max_abs_error": _metric(self.max_abs_error, self.nonfinite),
            "parity.engine.compared": float(self.compared),
            "parity.engine.nonfinite": float(self.nonfinite),
            "parity.engine.batch.max_abs_error": _metric(self.batch_max_abs_error, self.batch_nonfinite),
            "parity.engine.batch.spread": _metric(self.batch_spread, self.batch_nonfinite),
            "parity.engine.repeat_mismatches": float(self.repeat_mismatches) if self.repeats else None,
        }
        for kind, row in self.by_kind.items():
            metrics[f"parity.engine.{kind}.max_abs_error"] = _metric(row["max_abs_error"], int(row["nonfinite"] or 0))
        return metrics


def compare_engine(
    engine: Engine, onnx: bytes, rollout_obs: Float32, low: Float32, high: Float32, config: ParityConfig
) -> ParityReport:
    """Compare an engine with the graph it was built from.

    Args:
        engine: what is to be released.
        onnx: the graph, run here by ONNX Runtime on the CPU; by ONNX's own evaluator where ONNX Runtime is the engine.
        rollout_obs: observations from closed-loop runs, float32 ``[N, obs_dim]``. N = 0: nothing is compared.
        low, high: the plant's observation space, float32 ``[obs_dim]``; may be infinite.
        config: how many of each kind, and the seed.

    Raises:
        EngineError: the observations do not fit the engine, or it or the reference failed.
        ConfigError: the library that runs the graph for comparison is not installed.
    """
    signature = _fitting(engine, onnx, rollout_obs, low, high)
    samples, seed = config.samples, config.seed
    inputs = probes(rollout_obs, low, high, samples, seed, signature) if len(rollout_obs) else {}
    stacked = (
        np.concatenate([inputs[kind] for kind in inputs]) if inputs else np.zeros((0, engine.info.obs_dim), np.float32)
    )
    expected, reference = _reference(as_rows(onnx), stacked, engine.info.backend)
    single = _batched(engine, stacked, 1)
    batched = _batched(engine, stacked, engine.batch_max)
    judged = len(stacked) - len(inputs.get("far", ()))  # `far` comes last
    told = {"tie": TIE, "most": MOST_TIES} if engine.info.precision == "fp32" else _LOW_PRECISION

    def compare(one: Float32, other: Float32) -> tuple[Difference, Difference]:
        return tuple(difference(one[:n], other[:n], signature, **told) for n in (judged, None))  # type: ignore[return-value]

    (one, every), (many, every_many), (_, spread) = (
        compare(expected, single), compare(expected, batched), compare(single, batched)
    )  # fmt: skip
    worst_of = (every, single) if _badness(every) >= _badness(every_many) else (every_many, batched)
    if not (every.nonfinite or every_many.nonfinite):
        worst_of = (one, single) if _badness(one) >= _badness(many) else (many, batched)
    nonfinite = max(every.nonfinite, every_many.nonfinite)
    errors = [part.max_abs_error for part in (one, many)]
    found = None if nonfinite or None in errors else max(error for error in errors if error is not None)
    return ParityReport(
        backend=engine.info.backend,
        precision=engine.info.precision,
        batch_max=engine.batch_max,
        compared=every.compared,
        nonfinite=nonfinite,
        max_abs_error=number(found),
        by_kind=_by_kind(inputs, expected, single, signature, told),
        batch_compared=every_many.compared,
        batch_nonfinite=every_many.nonfinite,
        batch_max_abs_error=None if every_many.nonfinite else number(many.max_abs_error),
        batch_spread=number(spread.max_abs_error),
        repeats=min(_REPEATS, len(stacked)),
        repeat_mismatches=_mismatches(engine, stacked),
        nan_gives_nan=_nan_gives_nan(engine, stacked),
        worst=_worst(inputs, worst_of[0].worst, stacked, expected, worst_of[1]),
        reference=reference,
        ties=every.ties,
    )


def _fitting(engine: Engine, onnx: bytes, rollout_obs: Float32, low: Float32, high: Float32) -> Signature | None:
    """What the graph takes and gives, where the observations are that."""
    width, signature = engine.info.obs_dim, signature_of_graph(onnx)
    observed = width if signature is None else signature.observed
    if rollout_obs.ndim != 2 or rollout_obs.shape[1] != width or low.shape != (observed,) or high.shape != (observed,):
        raise EngineError(
            f"Observations of shape {rollout_obs.shape} with bounds {low.shape}, {high.shape} do not fit the engine: "
            f"it takes [N, {width}]."
        )
    return signature


def _reference(onnx: bytes, obs: Float32, backend: str) -> tuple[Float32, str]:
    """The graph's actions by another implementation than the engine's: a library agrees with itself."""
    judge = backend_of(backend).judge if len(obs) and backend in BACKENDS else "onnxruntime"
    run = {"onnx": _by_onnx, "onnxruntime": _by_onnxruntime}[judge]
    try:
        return run(onnx, obs)
    except ImportError as error:
        raise ConfigError(
            f"An engine of the backend {backend} is compared with {judge}, which is not there ({error}); "
            f"pip install {judge}."
        ) from None


def _by_onnx(onnx: bytes, obs: Float32) -> tuple[Float32, str]:
    import onnx as onnx_module
    from onnx.reference import ReferenceEvaluator

    try:
        results: Any = ReferenceEvaluator(onnx_module.load_from_string(onnx)).run(["action"], {"obs": obs})
    except Exception as error:  # protobuf and the evaluator raise whatever they meet
        raise EngineError(f"ONNX's reference evaluator does not run the exported graph: {error}") from error
    return np.asarray(results[0], dtype=np.float32), f"onnx {onnx_module.__version__} reference evaluator"


def _by_onnxruntime(onnx: bytes, obs: Float32) -> tuple[Float32, str]:
    import onnxruntime

    session = open_session(onnx)
    try:
        actions = session.run(["action"], {"obs": obs})[0]
    except Exception as error:  # onnxruntime's classes have no common root
        raise EngineError(f"ONNX Runtime does not run the exported graph: {str(error).splitlines()[0]}") from error
    return np.asarray(actions, dtype=np.float32), f"onnxruntime {onnxruntime.__version__} CPU"


def _batched(engine: Engine, obs: Float32, size: int) -> Float32:
    """Actions batch by batch, each into poisoned buffers: an engine that does not run leaves NaN."""
    actions = np.full((len(obs), engine.info.act_dim), np.nan, np.float32)
    for start in range(0, len(obs), size):
        engine.poison()
        engine.infer(obs[start : start + size], actions[start : start + size])
    return actions


def _mismatches(engine: Engine, obs: Float32) -> int:
    """Inputs whose second run, after other inputs, gives other bits (at batch 1)."""
    some = obs[:: max(len(obs) // _REPEATS, 1)][:_REPEATS]
    first, second = _batched(engine, some, 1), _batched(engine, some[::-1], 1)[::-1]
    same = (first.view(np.uint32) == second.view(np.uint32)).all(axis=1)
    return int(np.count_nonzero(~same))


def _nan_gives_nan(engine: Engine, obs: Float32) -> bool:
    if not len(obs):
        return False
    signature = getattr(engine, "signature", None)
    # Of a policy with several inputs not every column is a number that can be NaN: some choose, some are masks.
    columns = range(obs.shape[1] if signature is None or signature.plain else 1)
    for column in columns:
        broken = obs[:1].copy()
        broken[0, column] = np.nan
        if not np.isnan(engine.infer(broken)).any():
            return False
    return True


def _by_kind(
    inputs: dict[str, Float32], expected: Float32, actual: Float32, signature: Signature | None, told: dict[str, float]
) -> dict[str, dict[str, float | int | None]]:
    rows: dict[str, dict[str, float | int | None]] = {}
    start = 0
    for kind in KINDS:
        stop = start + len(inputs.get(kind, ()))
        part = difference(expected[start:stop], actual[start:stop], signature, **told)
        rows[kind] = {
            "compared": part.compared,
            "nonfinite": part.nonfinite,
            "max_abs_error": number(part.max_abs_error),
        }
        start = stop
    return rows


def _badness(part: Difference) -> float:
    if part.nonfinite:
        return math.inf
    return part.max_abs_error if part.max_abs_error is not None else -1.0


def _metric(error: float | int | None, nonfinite: int) -> float | None:
    return math.inf if nonfinite else number(error)


def _worst(
    inputs: dict[str, Float32], row: int | None, obs: Float32, expected: Float32, actual: Float32
) -> WorstSample | None:
    if row is None:
        return None
    edges = np.cumsum([len(inputs[kind]) for kind in inputs])
    kind = list(inputs)[int(np.searchsorted(edges, row, side="right"))]
    return WorstSample.of(kind, obs[row], expected[row], actual[row])
