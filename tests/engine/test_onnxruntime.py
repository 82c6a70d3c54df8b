"""The ONNX Runtime engine, and what all engines promise."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from gate5.config.engine import EngineConfig
from gate5.engine import Engine, EngineController, EngineInfo, build, choose_backend, load
from gate5.errors import ConfigError, EngineError, IntegrityError
from gate5.plant.base import Float32


def _session(graph: bytes, obs: Float32) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"obs": obs})[0]


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_infer(engine: Engine, graph: bytes, observations: Float32, batch: int) -> None:
    expected = _session(graph, observations[:batch])
    np.testing.assert_allclose(engine.infer(observations[:batch]), expected, atol=1e-6)
    out = np.full((batch, 3), np.nan, np.float32)
    assert engine.infer(observations[:batch], out) is out
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_results_belong_to_the_caller(engine: Engine, observations: Float32) -> None:
    """A view of the engine's buffer would change under the caller at the next inference."""
    first = engine.infer(observations[:1])
    kept = first.copy()
    engine.infer(observations[1:2])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8,), "f4"), ((1, 7), "f4"), ((1, 1), "f4"), ((0, 8), "f4"), ((513, 8), "f4"), ((1, 8), "f8")]
)
def test_wrong_observations(engine: Engine, shape: tuple[int, ...], dtype: str) -> None:
    """A [1, 1] array would broadcast into the buffer without a word."""
    with pytest.raises(EngineError, match="do not fit the engine"):
        engine.infer(np.zeros(shape, dtype))


def test_wrong_out(engine: Engine, observations: Float32) -> None:
    wrong: list[Any] = [np.zeros((2, 3), np.float32), np.zeros((1, 3))]
    for out in wrong:
        with pytest.raises(EngineError, match="`out`"):
            engine.infer(observations[:1], out)


def test_another_thread(engine: Engine, observations: Float32) -> None:
    caught: list[BaseException] = []

    def use() -> None:
        try:
            engine.infer(observations[:1])
        except EngineError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert "thread" in str(caught[0])


def test_closed(graph: bytes, observations: Float32) -> None:
    built = build(graph, EngineConfig(backend="onnxruntime"))
    engine = load(built.blob, built.metadata)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(observations[:1])


def test_poison_reaches_the_buffer(engine: Engine, observations: Float32) -> None:
    """After poison a run has to write every number again."""
    engine.infer(observations[:1])
    engine.poison()
    assert np.isnan(engine._output).all()  # type: ignore[attr-defined]
    assert np.isfinite(engine.infer(observations[:1])).all()


@pytest.mark.parametrize("batch", [1, 5])
def test_a_nan_gives_nan_in_its_own_row_whichever_number_it_is(
    engine: Engine, observations: Float32, batch: int
) -> None:
    """One of many numbers is NaN: no action of its row may look plausible, and no other row may change."""
    right = engine.infer(observations[:batch])
    for column in range(observations.shape[1]):
        spoilt = observations[:batch].copy()
        spoilt[-1, column] = np.nan
        actions = engine.infer(spoilt)
        assert np.isnan(actions[-1]).all(), column
        np.testing.assert_array_equal(actions[:-1], right[:-1])
    np.testing.assert_array_equal(engine.infer(observations[:batch]), right)


def test_controller_cuts_into_batches(engine: Engine, graph: bytes, observations: Float32) -> None:
    controller = EngineController(engine)
    controller.reset(1500)
    actions, state = controller.predict(observations)
    assert state is None
    np.testing.assert_allclose(actions, _session(graph, observations), atol=1e-6)


def test_metadata_is_plain_json(graph: bytes) -> None:
    built = build(graph, EngineConfig(backend="onnxruntime"))
    assert json.loads(json.dumps(built.metadata, allow_nan=False)) == built.metadata
    with load(built.blob, built.metadata) as engine:
        assert EngineInfo(**json.loads(json.dumps(engine.info.to_dict()))) == engine.info
        assert (engine.info.backend, engine.info.precision, engine.batch_max) == ("onnxruntime", "fp32", 512)


def test_load_refuses(graph: bytes) -> None:
    built = build(graph, EngineConfig(backend="onnxruntime"))
    flipped = bytes([*built.blob[:-1], built.blob[-1] ^ 1])
    with pytest.raises(IntegrityError, match="SHA-256"):
        load(flipped, built.metadata)
    with pytest.raises(EngineError, match="lacks backend"):
        load(built.blob, {key: value for key, value in built.metadata.items() if key != "backend"})
    with pytest.raises(EngineError, match="'openvino'"):
        load(built.blob, {**built.metadata, "backend": "openvino"})
    with pytest.raises(EngineError, match="different engines"):
        load(built.blob, {**built.metadata, "obs_dim": 9})


def test_build_refuses_what_is_no_graph() -> None:
    with pytest.raises(EngineError, match="does not take the graph"):
        build(b"not onnx", EngineConfig(backend="onnxruntime"))


def test_choose_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` falls back; ``tensorrt`` on a machine that lacks it says what is missing."""
    from gate5.engine.tensorrt import available

    monkeypatch.setattr(available, "missing", lambda: "there is no GPU")
    assert choose_backend(EngineConfig()) == "onnxruntime"
    with pytest.raises(ConfigError, match=r"there is no GPU.*docs/gpu\.md"):
        choose_backend(EngineConfig(backend="tensorrt"))
    monkeypatch.setattr(available, "missing", lambda: None)
    assert choose_backend(EngineConfig()) == "tensorrt"
    assert choose_backend(EngineConfig(backend="onnxruntime")) == "onnxruntime"


def test_split_adds_up(engine: Engine, observations: Float32) -> None:
    parts = engine.split(observations[:1])  # type: ignore[attr-defined]
    assert set(parts) == {"copy_in_ms", "compute_ms", "copy_out_ms"}
    assert all(value > 0 for value in parts.values())
