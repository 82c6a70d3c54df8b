"""An engine that is run while it waits gives the same actions, above all where the policy has a state."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gate5 import engine, store
from gate5.checkpoint.signature import METADATA, Port, Signature
from gate5.cli.main import main
from gate5.config.engine import EngineConfig
from gate5.config.models import ReleaseConfig
from gate5.config.run import RunConfig
from gate5.edge.golden import record_golden
from gate5.edge.runtime.answering import answer
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed, read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.edge.runtime.mailbox import Mailbox
from gate5.engine.backends import backend
from gate5.io import canonical
from gate5.store import load_public_keys
from tests.support.bench import Bench

OBS, ACT, STATE = 36, 4, 3
SIGNATURE = Signature(
    (Port("obs", (OBS,), "observation"), Port("state", (STATE,), "state")),
    (Port("action", (ACT,), "action"), Port("state_out", (STATE,), "state")),
    scale=(1.0,) * ACT,
)
Rows = NDArray[np.float32]


def graph_with_a_state() -> bytes:
    """A graph whose state counts the inferences (first number) and sums what was observed: one too many shows."""
    chance = np.random.default_rng(3)
    weight = {"w": (OBS, ACT), "v": (STATE, ACT), "u": (OBS, STATE)}
    made = [
        numpy_helper.from_array((0.05 * chance.normal(size=shape)).astype(np.float32), name)
        for name, shape in weight.items()
    ]
    made.append(numpy_helper.from_array(np.ones((1, STATE), np.float32), "one"))
    nodes = [
        helper.make_node("MatMul", ["obs", "w"], ["a"]),
        helper.make_node("MatMul", ["state", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["action"]),
        helper.make_node("MatMul", ["obs", "u"], ["d"]),
        helper.make_node("Add", ["state", "d"], ["e"]),
        helper.make_node("Add", ["e", "one"], ["state_out"]),
    ]
    float32 = TensorProto.FLOAT
    shapes = {"obs": OBS, "state": STATE, "action": ACT, "state_out": STATE}
    ports = {name: helper.make_tensor_value_info(name, float32, ["batch", size]) for name, size in shapes.items()}
    made_graph = helper.make_graph(
        nodes, "g", [ports["obs"], ports["state"]], [ports["action"], ports["state_out"]], made
    )
    model = helper.make_model(made_graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, canonical.dumps(SIGNATURE.to_dict()).decode()
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@pytest.fixture(scope="module")
def built() -> engine.BuiltEngine:
    return engine.build(graph_with_a_state(), EngineConfig(backend="onnxruntime"))


@pytest.fixture(scope="module")
def observations() -> Rows:
    return np.random.default_rng(4).normal(size=(40, OBS)).astype(np.float32)


def expected(built: engine.BuiltEngine, observations: Rows, starts: tuple[int, ...]) -> Rows:
    with engine.load(built.blob, built.metadata) as loaded:
        controller, found = engine.EngineController(loaded), []
        for at, row in enumerate(observations):
            if at in starts:
                controller.reset(1)
            found.append(controller.predict(row[None])[0][0])
    return np.array(found)


class Counted(engine.EngineController):
    """Counts what was done while nobody asked."""

    repeats = 0

    def again(self) -> None:
        type(self).repeats += 1
        super().again()


def test_no_state_moves_while_it_waits(built: engine.BuiltEngine, observations: Rows) -> None:
    """Questions after gaps in which the engine ran several times, with resets between; and one asked for twice."""
    box, (ours, theirs) = Mailbox.create(OBS, ACT), socket.socketpair()
    Counted.repeats = 0

    def serve() -> None:
        with engine.load(built.blob, built.metadata) as loaded:
            answer(box, theirs, Counted(loaded), 1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    box.set_warm(True)
    starts, found, out = (0, 7, 8, 30), [], np.zeros(ACT, np.float32)
    for number, row in enumerate(observations):
        before = Counted.repeats
        box.post(number + 1, row, number in starts)
        until = time.monotonic() + 60
        while box.take(number + 1, out) is None:
            assert time.monotonic() < until
            time.sleep(0.0005)
        found.append(out.copy())
        while Counted.repeats < before + 2:
            assert time.monotonic() < until
            time.sleep(0.001)
    box.set_warm(False)
    box.post(99, observations[0], True)
    while box.take(99, out) is None:
        time.sleep(0.001)
    quiet = Counted.repeats
    time.sleep(0.05)
    assert Counted.repeats == quiet, "only while the supervisor wants it"
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    box.close()
    np.testing.assert_array_equal(np.array(found), expected(built, observations, starts))


def test_a_nudge_is_no_question(built: engine.BuiltEngine, observations: Rows) -> None:
    """The engine is woken once, twice or not at all, in time or long before: each question is answered once."""
    box, (ours, theirs) = Mailbox.create(OBS, ACT), socket.socketpair()

    def serve() -> None:
        with engine.load(built.blob, built.metadata) as loaded:
            answer(box, theirs, engine.EngineController(loaded))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found, out = [], np.zeros(ACT, np.float32)
    for number, row in enumerate(observations):
        for _ in range(number % 3):
            box.nudge()
        time.sleep((0.0, 0.0002, 0.003)[number // 3 % 3])
        box.post(number + 1, row, number == 0)
        until = time.monotonic() + 60
        while box.take(number + 1, out) is None:
            assert time.monotonic() < until
            time.sleep(0.0005)
        found.append(out.copy())
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    box.close()
    np.testing.assert_array_equal(np.array(found), expected(built, observations, (0,)))


@pytest.fixture(scope="module")
def with_a_state(
    home: Path,
    installed: Installed,
    built: engine.BuiltEngine,
    observations: Rows,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """A release whose engine has a state, published and pulled as any other."""
    with engine.load(built.blob, built.metadata) as loaded:
        rows = np.concatenate([observations, np.zeros((len(observations), STATE), np.float32)], axis=1)
        golden = record_golden(loaded, rows, SIGNATURE)
    files = {
        "engine/policy.engine": built.blob, "engine/engine.json": canonical.dumps(built.metadata), "golden.npz": golden,
        "envelope.json": (installed.folder / "files/envelope.json").read_bytes(),
    }  # fmt: skip
    given = {**installed.provenance, "engine": built.metadata}
    opened = store.open_store(ReleaseConfig.load(home / "release.yaml").store)
    store.promote(opened, "state", store.publish(opened, files, given), approved_by="me")
    place, key = tmp_path_factory.mktemp("state"), home / "var/keys/release.pub"
    config = ["--config", str(home / "release.yaml"), "--channel", "state", "--trust", str(key)]
    assert main(["pull", str(place), *config]) == 0
    return read_installed(place, load_public_keys([key]))


@pytest.fixture
def link(with_a_state: Installed, launcher: Launcher) -> Iterator[Any]:
    config = RunConfig.load(None, {"engine.keep_warm_ms": 1, "hand_over.deadline_ms": 2000.0})
    found = EngineLink(with_a_state, launcher, config)
    until = time.monotonic() + 120
    while not found.ready:
        assert found.check_start() is None, found.last_error
        assert time.monotonic() < until
        time.sleep(0.01)
    yield found
    found.close()


def test_an_engine_process_with_a_state_is_kept_warm(link: Any, built: engine.BuiltEngine, observations: Rows) -> None:
    """The real process: it works while nobody asks, and its answers are those of one that does not."""
    link.keep_warm(True)
    found = []
    for at, row in enumerate(observations[:12]):
        if at == 0:
            link.reset()
        assert link.ask(row) is None
        answered = link.wait(time.monotonic() + 60)
        assert isinstance(answered, np.ndarray), answered
        found.append(answered.copy())
        time.sleep(0.01)
    np.testing.assert_array_equal(np.array(found), expected(built, observations[:12], (0,)))
    before = cpu_ns(link.pid)
    until = time.monotonic() + 60
    while cpu_ns(link.pid) - before < 10_000_000:
        assert time.monotonic() < until, "it does nothing while it waits"
        time.sleep(0.05)


def cpu_ns(pid: int) -> int:
    """What a process has computed so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def test_only_the_release_that_drives_is_kept_warm(bench: Bench, installed: Installed, launcher: Launcher) -> None:
    """A second one beside it, in shadow or on its way out, would be in its way on the one GPU."""
    runtime = bench.runtime({"engine.keep_warm_ms": 1})
    first = runtime.link
    second = bench.runtime().link
    second.keep_warm(False)

    def states() -> list[bool]:
        return [link._box.warm for link in (first, second) if link._box is not None]

    assert states() == [True, False]
    runtime.use(installed, second)
    assert states() == [False, True]
    second.close()
    second._start()
    assert states() == [False, True], "so it is after a restart"


@pytest.mark.parametrize(("name", "ms"), [("onnxruntime", None), ("tensorrt", 1), ("tensorrt_rtx", 1)])
def test_what_is_kept_warm_where_nothing_is_said(name: str, ms: int | None) -> None:
    assert backend(name).keep_warm_ms == ms
    assert RunConfig.load(None).engine.keep_warm_ms is None


def test_a_release_with_a_state_has_the_plants_sizes(with_a_state: Installed) -> None:
    """The engine's rows are longer by the state, which is no business of the plant's."""
    metadata = canonical.loads((with_a_state.folder / "files/engine/engine.json").read_bytes())
    assert (metadata["obs_dim"], metadata["act_dim"]) == (OBS + STATE, ACT + STATE)
    assert (with_a_state.obs_dim, with_a_state.act_dim) == (OBS, ACT)
