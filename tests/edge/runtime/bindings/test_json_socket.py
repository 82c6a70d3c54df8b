"""The socket binding against a real Unix socket: whatever the plant's side writes, or does not take, it goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate5.config.models import ReleaseConfig
from gate5.edge.runtime.bindings.json_socket import JsonSocket
from gate5.plant.judged import judged_plant

PLANT = judged_plant(ReleaseConfig.load(None))
N = PLANT.observation_space.size


class Side:
    """The plant's side."""

    def __init__(self, path: Path) -> None:
        self.listens = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listens.bind(str(path))
        self.listens.listen()
        self.said: list[str] = []
        self.binding = JsonSocket(PLANT, {"path": str(path)}, self.said.append)
        self.binding.open()
        self.line, _ = self.listens.accept()

    def writes(self, text: bytes) -> None:
        self.line.sendall(text)


@pytest.fixture
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    found = Side(tmp_path_factory.mktemp("s") / "p.sock")
    yield found
    found.binding.close()
    found.line.close()
    found.listens.close()


def whole(value: float, **more: float) -> bytes:
    return json.dumps({"obs": [value] * N, **more}).encode() + b"\n"


def test_the_newest_whole_line_counts(side: Side) -> None:
    assert side.binding.read().obs is None
    side.writes(whole(1.0, time=100.0) + whole(2.0, time=105.0) + whole(3.0)[:20])
    obs = side.binding.read().obs
    assert obs is not None
    assert obs.tolist() == [2.0] * N
    side.writes(whole(3.0)[20:])
    obs = side.binding.read().obs
    assert obs is not None
    assert obs.tolist() == [3.0] * N
    named = {name: float(i) for i, name in enumerate(PLANT.observation_space.names)}
    missing = PLANT.observation_space.names[2]
    del named[missing]
    side.writes(json.dumps({"obs": {**named, missing: None}}).encode() + b"\n")
    obs = side.binding.read().obs
    assert obs is not None
    assert np.flatnonzero(np.isnan(obs)).tolist() == [2]
    assert obs[3] == 3.0


def test_lines_that_are_played_again_are_old(side: Side) -> None:
    ages = []
    for stamp in (1000.0, 1000.1, 100.0, 100.1, 97.0):
        side.writes(whole(1.0, time=stamp))
        ages.append(side.binding.read().age_s)
    assert ages[2] == np.inf, "a clock that was set, or stored lines"
    assert ages[3] < np.inf
    assert 2.5 < ages[4] < np.inf


BAD = [
    b"[" * 100_000, b'{"obs": ' + b"[" * 100_000, b'{"obs": [' + b",".join([b"1" + b"0" * 400] * N) + b"]}",
    b'{"obs": [' + b"1" * 5000 + b"]}", b'{"obs": 3}', b'{"obs": "x"}', b"\xff\xfe", b"", b"null", b'{"time": 3}',
    b'{"obs": [' + b",".join([b"1"] * N) + b'], "time": 1' + b"0" * 400 + b"}", b'{"obs": {"a": 1}, "time": []}',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_line_that_is_none_does_not_end_the_control(side: Side, line: bytes) -> None:
    side.writes(whole(1.0))
    side.writes(line + b"\n")
    obs = side.binding.read().obs
    side.writes(whole(2.0))
    obs = side.binding.read().obs
    assert obs is not None
    assert obs.tolist() == [2.0] * N


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=N) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional={"obs": VALUES, "time": VALUES}) | VALUES)
def test_whatever_comes_is_read_or_passed_over(side: Side, value: object) -> None:
    side.writes(json.dumps(value).encode() + b"\n")
    obs = side.binding.read().obs
    assert obs is None or obs.shape == (N,)


def test_a_plant_that_writes_faster_than_it_is_read_does_not_hold_the_control_up(side: Side) -> None:
    """Each read of the socket brings as much again: without an end to it, ``read`` would never come back."""

    class Endless:
        reads = 0

        def recv(self, size: int) -> bytes:
            self.reads += 1
            assert self.reads < 1000, "it still reads"
            return whole(1.0) * 10

        def close(self) -> None: ...

    endless = Endless()
    side.binding.close()
    side.binding._socket = endless  # type: ignore[assignment]
    obs = side.binding.read().obs
    assert obs is not None
    assert endless.reads > 0


def test_what_the_plant_does_not_take_is_in_the_reading(side: Side) -> None:
    first = np.linspace(-1.0, 1.0, PLANT.action_space.size, dtype=np.float32)
    side.writes(whole(1.0))
    side.binding.write(first)
    assert json.loads(side.line.recv(4096)) == {"action": first.tolist()}
    assert side.binding.read().refused == ""
    side.line.close()
    side.binding.read()
    side.binding.write(np.zeros_like(first))
    reading = side.binding.read()
    assert reading.refused
    assert reading.standing is not None
    assert reading.standing.tolist() == first.tolist(), "what it took last"
    side.binding._again = 0.0
    side.binding.read()  # connects again
    side.binding.write(np.zeros_like(first))
    reading = side.binding.read()
    assert not reading.refused
    assert reading.standing is not None
    assert reading.standing.tolist() == [0.0] * len(first)
    assert [text.partition(":")[0] for text in side.said if "actions" in text] == [
        "the plant does not take actions", "the plant takes actions again"
    ]  # fmt: skip
