"""Builder and runtime on imitations: what is asked of TensorRT, that nothing leaks, that no ``False`` is lost."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gate5.config import EngineConfig, ProfileConfig
from gate5.engine import EngineController
from gate5.engine.tensorrt import arrival, builder, compat, frames, plans, slot, trial
from gate5.engine.tensorrt.builder import TensorRTExporter, parts_of
from gate5.engine.tensorrt.chained import chained_ms
from gate5.engine.tensorrt.graph import CudaGraph
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError


def test_build(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings(tactic_sources=0)).build(graph, timing_cache=b"mine")
    typed = trt.__version__ == "11.4"
    one, more = ((1, 8), (1, 8), (1, 8)), ((1, 8), (16, 8), (16, 8))
    single, wide = plans.unpack(built.blob)
    if typed:
        assert (built.blob, wide) == (single, None)
        assert trt.profiles == {single: [one, more]}
    else:
        assert (trt.profiles[single], trt.profiles[wide]) == ([one], [more])
        assert b"Einsum" in trt.graphs[single]
        assert b"Einsum" not in trt.graphs[wide]
    assert built.timing_cache == (b"after plan 0" if typed else b"after plan 2")
    assert set(trt.networks) == {2 if typed else 1}  # STRONGLY_TYPED or EXPLICIT_BATCH
    assert set(trt.config.flags) == (set() if typed else {"fp16", "obey"})
    assert set(trt.config.cleared) == {"tf32"}
    metadata = built.metadata
    assert metadata["onnx_sha256"] == hashlib.sha256(graph).hexdigest()
    assert metadata["build"]["graph_sha256"] != metadata["onnx_sha256"]  # the body was lowered
    assert metadata["build"]["timing_cache_reused"]
    assert metadata["build"]["profiles"] == [[1, 1, 1], [1, 16, 16]]
    assert (metadata["precision"], metadata["batch_max"], metadata["device"]) == ("fp16", 16, "Imitation")
    assert cuda.depth == 0


def test_profiles_that_are_not_ours(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.refuses.append("other profiles")
    with pytest.raises(EngineError, match=r"profiles \[.*\], but \[\(1, 1, 1\)"):
        TensorRTExporter(settings()).build(graph)


@pytest.mark.parametrize("separate", [False, True])
def test_batch_one_alone_needs_one_profile(graph: bytes, separate: bool) -> None:
    def profiles(**sizes: int) -> list[Any]:
        return [part.profiles for part in parts_of(graph, ProfileConfig(**sizes), separate=separate)]

    assert profiles(max_batch=1) == [[(1, 1, 1)]]
    one, more = (1, 1, 1), (1, 50, 64)
    assert profiles(opt_batch=50, max_batch=64) == ([[one], [more]] if separate else [[one, more]])


def test_an_engine_for_batch_one_alone(
    trt: Any, graph: bytes, settings: Callable[..., EngineConfig], observations: Any
) -> None:
    """TensorRT 8.5 makes it static: its observation has the shape (1, 8), not (-1, 8), which was once refused."""
    one = settings().model_copy(update={"profile": ProfileConfig(max_batch=1)})
    built = TensorRTExporter(one).build(graph)
    with TensorRTEngine.open(built.blob, built.metadata, "stream") as engine:
        assert engine.infer(observations[:1]).shape == (1, 3)
        with pytest.raises(EngineError, match="B from 1 to 1"):
            engine.infer(observations[:2])


def test_fp32_is_left_as_it_is(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    built = TensorRTExporter(settings(precision="fp32")).build(graph)
    assert trt.config.flags == []
    assert set(trt.config.cleared) == {"tf32"}  # TF32 alone costs 6e-4
    facts = built.metadata["build"]
    assert facts["graph_sha256"] == built.metadata["onnx_sha256"]


def test_fp16_that_gave_fp32_fails(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    trt.types = "FP32"
    with pytest.raises(EngineError, match="FP16 was asked for"):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("kept", [np.float16, np.float32])
def test_a_compiled_body_is_judged_by_its_weights(
    trt: Any, graph: bytes, settings: Callable[..., EngineConfig], kept: Any
) -> None:
    """8.5's inspector shows nothing of it; without weights in FP16 it may run in FP32, so another plan is built."""
    trt.pieces, trt.compiled = ["{ForeignNode[/cast/enter_0.../cast/leave_0]}"], kept
    metadata = TensorRTExporter(settings()).build(graph).metadata
    part = metadata["build"]["plans"][0]
    if kept is np.float16:
        assert (part["form"], metadata["precision_evidence"]) == ("fused", "weights in the plan, inspector")
        assert [row["name"] for row in metadata["layers"]] == [*trt.pieces, "/body/body.0/Gemm"]
        assert part["refused"] == []
    else:
        assert (part["form"], metadata["precision_evidence"]) == ("as exported", "inspector")
        assert "the plan holds the weights in fp32" in part["refused"][0]


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("fails", ["to build", "to run", "to build the second time"])
def test_a_body_that_cannot_be_compiled_is_built_as_exported(
    trt: Any,
    cuda: Any,
    graph: bytes,
    settings: Callable[..., EngineConfig],
    observations: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: str,
) -> None:
    """It takes longer and works; that it was so is in the log and in the engine's metadata."""
    ordinary = builder.gpu_time

    def gpu_time(trt: Any, blob: bytes, metadata: Any, batch: int) -> float:
        if b"Einsum" in trt.graphs[plans.unpack(blob)[0]]:
            if fails == "to run":
                raise EngineError("TensorRT did not run the engine: no cuBLAS")
            trt.refuses.append("compile")
        return ordinary(trt, blob, metadata, batch)

    monkeypatch.setattr(builder, "gpu_time", gpu_time)
    if fails == "to build":
        trt.refuses.append("compile")
    built = TensorRTExporter(settings(candidates=3)).build(graph)
    part = built.metadata["build"]["plans"][0]
    if fails == "to build the second time":
        assert [row["form"] for row in part["candidates"]] == ["fused", "as exported", "as exported"]
    else:
        assert [row["form"] for row in part["candidates"]] == ["as exported"] * 3
        assert part["form"] == "as exported"
    assert part["refused"][0].startswith("fused: TensorRT ")
    assert "batch 1: the form fused is not used: TensorRT " in caplog.text
    assert cuda.depth == 0
    with TensorRTEngine.open(built.blob, built.metadata, "stream") as engine:
        assert np.isfinite(engine.infer(observations[:1])).all()


def test_timing_cache_of_another_gpu_is_not_used(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph, timing_cache=b"of another GPU")
    assert trt.config.offered[:2] == [b"of another GPU", b""]
    assert not built.metadata["build"]["timing_cache_reused"]


def test_the_quickest_of_several_engines_is_kept(
    trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder's own choice is partly chance; what the GPU runs in the least time is kept, part by part."""
    times, asked = {0: 0.03, 1: 0.02, 2: 0.04, 3: 0.09, 4: 0.08, 5: 0.07}, list[int]()

    def gpu_time(trt: Any, blob: bytes, metadata: Any, batch: int) -> float:
        asked.append(batch)
        single, wide = plans.unpack(blob)
        return times[int((single if batch == 1 else wide or single).removeprefix(b"plan "))]

    monkeypatch.setattr(builder, "gpu_time", gpu_time)
    sizes = ProfileConfig(opt_batch=8, max_batch=16)
    built = TensorRTExporter(settings(candidates=3).model_copy(update={"profile": sizes})).build(graph)
    kept = plans.unpack(built.blob)
    parts = built.metadata["build"]["plans"]
    assert built.metadata["blob_sha256"] == hashlib.sha256(built.blob).hexdigest()
    assert [row["gpu_ms"] for row in parts[0]["candidates"]] == [0.03, 0.02, 0.04]
    if compat.strongly_typed(trt):
        assert kept == (b"plan 1", None)
        assert asked == [1, 1, 1]
    else:
        assert kept == (b"plan 1", b"plan 5")
        assert asked == [1, 1, 1, 8, 8, 8]
        assert [row["form"] for row in parts[0]["candidates"]] == ["fused", "as exported", "fused"]
        assert (parts[0]["form"], parts[1]["form"]) == ("as exported", "as exported")
        for part, plan in zip(parts, kept, strict=True):
            assert part["graph_sha256"] == hashlib.sha256(trt.graphs[plan]).hexdigest()
        # plans for larger batches begin with the times of the plan that was kept, not of one another
        assert trt.config.offered == [b""] * 3 + [b"after plan 1"] * 3
        assert built.timing_cache == b"after plan 5"


def test_a_timing_cache_needs_one_plan_of_each_form(
    trt: Any, graph: bytes, settings: Callable[..., EngineConfig]
) -> None:
    """It holds the times of the plans that were kept: seconds instead of a minute, and little to choose from."""
    TensorRTExporter(settings(candidates=5)).build(graph, timing_cache=b"mine")
    assert len(trt.networks) == (1 if compat.strongly_typed(trt) else 3)


def test_one_candidate_is_one_of_each_form(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    """Whether the compiled form is the quicker one is measured, not believed; one plan alone has nothing to beat."""
    timed = [
        [(row["form"], row["gpu_ms"] is not None) for row in part["candidates"]]
        for part in TensorRTExporter(settings(candidates=1)).build(graph).metadata["build"]["plans"]
    ]
    alone = [("as exported", False)]
    if compat.strongly_typed(trt):
        assert timed == [alone]
    else:
        assert timed == [[("fused", True), ("as exported", True)], alone]


def test_candidates_are_run_and_freed(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    parts = 1 if compat.strongly_typed(trt) else 2
    built = TensorRTExporter(settings(candidates=2)).build(graph)
    for part in built.metadata["build"]["plans"]:
        assert len(part["candidates"]) == 2
        assert all(row["gpu_ms"] > 0 for row in part["candidates"])
    assert (cuda.memory, cuda.depth, cuda.released) == ({}, 0, 1 + 2 * parts)
    trt.refuses.append("execute_async_v3")
    with pytest.raises(EngineError, match="did not run"):
        TensorRTExporter(settings(candidates=2)).build(graph)
    assert cuda.depth == 0
    assert cuda.memory == {}


def test_the_gpus_time_is_taken_at_the_batch_that_was_asked_for(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[int] = []
    monkeypatch.setattr(slot.Slot, "launch", lambda self: launched.append(len(self.input)))
    with opened() as engine:
        launched.clear()  # those of the build
        assert engine.gpu_ms(5) > 0
        assert set(launched) == {5}


def test_gpu_time_is_per_launch_and_without_waiting() -> None:
    """The median of the rounds; a wait between two launches would measure the CPU."""
    events, totals = list[str](), iter([0.9, 0.4, 0.2])

    def event() -> Any:
        return SimpleNamespace(record=lambda stream: events.append("event"), time_since=lambda first: next(totals))

    stream = SimpleNamespace(synchronize=lambda: events.append("wait"))
    cuda = SimpleNamespace(Event=event)
    assert chained_ms(lambda: events.append("launch"), cuda, stream, count=4, rounds=3) == pytest.approx(0.1)
    assert events == ["event", *["launch"] * 4, "event", "wait"] * 3


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        ("parse", r"No importer for Frobnicate \(node 3\)"),
        ("build", "out of GPU memory"),
        ("profile", "refuses the profile"),
        ("deserialise", "magic tag does not match"),
    ],
)
def test_every_refusal_of_the_builder_is_told(
    trt: Any, cuda: Any, graph: bytes, refused: str, text: str, settings: Callable[..., EngineConfig]
) -> None:
    trt.refuses.append(refused)
    with pytest.raises(EngineError, match=text):
        TensorRTExporter(settings()).build(graph)
    assert (cuda.depth, cuda.released) == (0, 1)


def test_settings_that_cannot_be(trt: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    with pytest.raises(EngineError, match="tactic_sources: 512"):
        TensorRTExporter(settings(tactic_sources=512)).build(graph)
    if not compat.strongly_typed(trt):
        with pytest.raises(ConfigError, match="needs TensorRT 10"):
            TensorRTExporter(settings(precision="bf16")).build(graph)
    del trt.ICudaEngine.num_io_tensors
    with pytest.raises(ConfigError, match="too old"):
        TensorRTExporter(settings()).build(graph)


@pytest.mark.parametrize("path", ["stream", "copies"])
def test_infer(opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any, path: str, weight: Any) -> None:
    expected = np.clip(observations @ weight, -1, 1)
    with opened(path) as engine:
        for batch in (1, 5, 16):
            np.testing.assert_allclose(engine.infer(observations[:batch]), expected[:batch], atol=1e-6)
        out = np.full((1, 3), np.nan, np.float32)
        assert engine.infer(observations[:1], out) is out
        np.testing.assert_allclose(out, expected[:1], atol=1e-6)
        np.testing.assert_allclose(EngineController(engine).predict(observations[:40])[0], expected[:40], atol=1e-6)
        assert set(engine.split(observations[:1])) >= {"copy_in_ms", "compute_ms", "copy_out_ms"}
        assert cuda.depth == 0


def test_everything_is_freed(trt: Any, opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any) -> None:
    """Eight batch sizes keep buffers (8.5, with one context per profile: two); after close nothing is left."""
    for path in ("stream", "copies"):
        released = cuda.released
        engine = opened(path)
        for batch in range(1, 17):
            engine.infer(observations[:batch])
        assert len(engine._slots) == (8 if compat.profile_is_shared(trt) else 2)
        assert 1 in engine._slots  # the one that has to be fast is never the one to go
        engine.close()
        engine.close()
        assert cuda.memory == {}
        assert cuda.depth == 0
        # the build, the engine, and the two forms for batch 1 that were compared
        assert cuda.released == released + (2 if compat.strongly_typed(trt) else 4)


def test_without_cuda_bindings_the_stream_path_is_taken(
    opened: Callable[..., TensorRTEngine], monkeypatch: pytest.MonkeyPatch, observations: Any
) -> None:
    monkeypatch.setattr(slot, "driver_module", lambda: None)
    with opened("graph") as engine:
        assert engine.info.path == "stream"
        assert np.isfinite(engine.infer(observations[:1])).all()


@pytest.mark.parametrize(
    "refused",
    [
        "set_optimization_profile_async",
        "set_input_shape",
        "set_tensor_address",
        "execute_async_v3",
        "context",
        "deserialise",
    ],
)
def test_every_false_is_an_error(
    trt: Any,
    opened: Callable[..., TensorRTEngine],
    cuda: Any,
    graph: bytes,
    refused: str,
    settings: Callable[..., EngineConfig],
) -> None:
    """The earlier runtime ignored them and handed out whatever lay in the buffer."""
    built = TensorRTExporter(settings()).build(graph)
    before = cuda.released
    trt.refuses.append(refused)
    with pytest.raises(EngineError):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert cuda.depth == 0
    assert cuda.released == before + 1


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("wrong", ["not read", "another width"])
def test_a_second_plan_that_fails_takes_the_first_with_it(
    trt: Any,
    cuda: Any,
    graph: bytes,
    settings: Callable[..., EngineConfig],
    wrong: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its memory on the GPU is free again, though 8.5's bindings keep the frame that asked for the second."""
    built = TensorRTExporter(settings()).build(graph)
    if wrong == "not read":
        trt.refuses.append("deserialise wide")
    else:
        trt.offset = 1
    read, kept = trt._deserialise, list[Any]()

    def logs(blob: bytes) -> Any:
        kept.append(sys._getframe(1))
        return read(blob)

    monkeypatch.setattr(trt, "_deserialise", logs)
    trt.opened.clear()
    with pytest.raises(EngineError, match=r"does not read|has to be float32 \(-1, 8\)"):
        TensorRTEngine.open(built.blob, built.metadata, "stream")
    assert len(kept) == 2
    assert [engine() for engine in trt.opened] == [None] * len(trt.opened)
    assert cuda.depth == 0


@pytest.mark.parametrize("refused", [None, "other profiles"])
def test_a_build_lets_go_of_what_it_looked_at(
    trt: Any, graph: bytes, settings: Callable[..., EngineConfig], monkeypatch: pytest.MonkeyPatch, refused: str | None
) -> None:
    """The plan that was opened to be described, though 8.5's bindings keep the frame that did it."""
    read, kept = trt._deserialise, list[Any]()

    def logs(blob: bytes) -> Any:
        kept.append(sys._getframe(1))
        return read(blob)

    monkeypatch.setattr(trt, "_deserialise", logs)
    if refused is None:
        TensorRTExporter(settings()).build(graph)
    else:
        trt.refuses.append(refused)
        with pytest.raises(EngineError):
            TensorRTExporter(settings()).build(graph)
    assert kept
    assert [engine() for engine in trt.opened] == [None] * len(trt.opened)


def test_both_engines_are_let_go(trt: Any, opened: Callable[..., TensorRTEngine], observations: Any) -> None:
    engine = opened()
    engine.infer(observations[:4])
    engine.close()
    assert trt.opened
    assert [one() for one in trt.opened] == [None] * len(trt.opened)


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
def test_a_static_plan_serves_batch_one_only(
    trt: Any, graph: bytes, settings: Callable[..., EngineConfig], observations: Any
) -> None:
    built = TensorRTExporter(settings()).build(graph)
    trt.refuses.append("static")
    with pytest.raises(EngineError, match=r"obs is float \(1, 8\); it has to be float32 \(-1, 8\)"):
        TensorRTEngine.open(built.blob, built.metadata, "stream")


@pytest.mark.parametrize("trt", ["8.5"], indirect=True)
@pytest.mark.parametrize("damaged", ["no plan", "the first", "the second"])
def test_the_child_reads_every_plan(
    trt: Any,
    cuda: Any,
    graph: bytes,
    settings: Callable[..., EngineConfig],
    damaged: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A damaged plan may end the process that reads it: neither is read first by the process that matters."""
    single, wide = plans.unpack(TensorRTExporter(settings()).build(graph).blob)
    pair = {"no plan": (single, wide), "the first": (b"x", wide), "the second": (single, b"x")}[damaged]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(plans.pack(*pair))))
    assert trial.main() == (0 if damaged == "no plan" else 3)
    assert cuda.depth == 0


def test_engine_that_stops_running(
    trt: Any, opened: Callable[..., TensorRTEngine], cuda: Any, observations: Any
) -> None:
    with opened() as engine:
        engine.poison()
        assert np.isnan(np.asarray(engine._slots[1].output)).all()
        trt.refuses.append("execute_async_v3")
        with pytest.raises(EngineError, match="did not run"):
            engine.infer(observations[:1])
        assert cuda.depth == 0


def test_other_tensors_than_ours(trt: Any, cuda: Any, graph: bytes, settings: Callable[..., EngineConfig]) -> None:
    built = TensorRTExporter(settings()).build(graph)
    with pytest.raises(EngineError, match=r"it has to be float32 \(-1, 9\)"):
        TensorRTEngine.open(built.blob, {**built.metadata, "obs_dim": 9}, "stream")


def test_frames_that_the_bindings_keep_keep_nothing(
    trt: Any, opened: Callable[..., TensorRTEngine], observations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT 8.5's bindings keep the calling frame for ever when they log; its variables held engine and context.

    Seen on a GPU: 320 KB of device memory a closed engine, and a profile that the next context could not have.
    """
    kept: list[Any] = []
    contexts: list[Any] = []
    create = trt.engine.create_execution_context

    def logs(profiles: Any) -> Any:
        kept.append(sys._getframe(1))
        context = create(profiles)
        contexts.append(weakref.ref(context))
        return context

    monkeypatch.setattr(trt.engine, "create_execution_context", logs)
    with opened() as engine:
        engine.infer(observations[:4])
        for batch in range(2, 11):  # more than are kept: the oldest goes, and its context with it
            engine.infer(observations[:batch])
        assert 2 <= sum(context() is not None for context in contexts) <= 8
    assert len(kept) >= 10
    assert [context() for context in contexts] == [None] * len(contexts)


def test_running_frames_and_generators_are_left_alone() -> None:
    """Clearing a suspended generator would end it."""

    def numbers() -> Any:
        yield 1
        yield 2

    code = numbers.__code__.replace(co_filename=frames.__file__)
    going = FunctionType(code, globals())()
    assert next(going) == 1
    frames.clear_finished()
    assert next(going) == 2


def test_every_number_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One number is not all of them, whichever comes last; a NaN of the policy has arrived too."""
    monkeypatch.setattr(arrival, "LOOKS", 10**8)
    output = np.zeros((1, 4), np.float32)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        driver = _Driver(output, {index: np.nan if index == 1 else index for index in order})
        driver.graph().watched(arrival.Arrival(output))()
        assert output.tobytes() == np.array([[0, np.nan, 2, 3]], np.float32).tobytes()
        assert driver.waited == 0


def test_unwritten_is_no_fp16_number() -> None:
    """No FP16 engine can send it: an action that is just this one would look as if it never came."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    assert arrival.UNWRITTEN not in every


class _Driver:
    """An imitation of cuda-bindings' driver: at a launch the "GPU" writes number by number in a thread, or never."""

    def __init__(self, output: Any, values: dict[int, float], code: int = 0) -> None:
        self.output, self.values, self.code, self.waited = output, values, code, 0

    def launch(self, graph: Any, stream: Any) -> tuple[int]:
        assert np.isnan(self.output).all()

        def write() -> None:
            for index, value in self.values.items():
                time.sleep(0.001)
                self.output[0, index] = value

        threading.Thread(target=write).start()
        return (0,)

    def synchronize(self, stream: Any) -> tuple[int]:
        self.waited += 1
        return (self.code,)

    def cuGetErrorString(self, code: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"an illegal memory access was encountered"

    def graph(self) -> CudaGraph:
        made = CudaGraph.__new__(CudaGraph)
        made.__dict__ |= {"_driver": self, "_success": 0, "_exec": None, "_stream": None}
        made.__dict__ |= {"_launch": self.launch, "_synchronize": self.synchronize}
        return made


def test_what_never_comes_is_the_drivers_error() -> None:
    """A kernel that fails writes nothing: no endless loop, and no action that nobody wrote."""
    output = np.zeros((1, 4), np.float32)
    driver = _Driver(output, {}, code=700)
    with pytest.raises(EngineError, match="illegal memory access"):
        driver.graph().watched(arrival.Arrival(output))()
    assert driver.waited == 1
    assert np.isnan(output).all()
