"""Golden inputs: an engine that is another function here, and golden inputs that prove nothing, are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gate5.edge.golden import pack_golden
from gate5.engine import load
from gate5.errors import IntegrityError
from gate5.plant.base import Float32

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""


OBS, ACT = 5, 2


def refuse(factory: Factory, kind: type[Exception], sentence: str, **more: Any) -> None:
    """A pull that is refused leaves what runs as it was, and no rubbish."""
    before, folders = factory.running(), sorted((factory.dest / "releases").glob("*"))
    with pytest.raises(kind, match=sentence):
        factory.pull(**more)
    assert factory.running() == before
    assert before is not None
    assert sorted((factory.dest / "releases").glob("*")) == folders


def never(blob: bytes, metadata: dict[str, Any]) -> Any:
    raise AssertionError("an engine was deserialised that had not been verified")


class Drifted:
    """A real engine whose actions are shifted, as on hardware with another arithmetic."""

    def __init__(self, blob: bytes, metadata: dict[str, Any], shift: float) -> None:
        self.engine, self.shift, self.closed = load(blob, metadata), np.float32(shift), False

    def infer(self, obs: Float32) -> Any:
        return self.engine.infer(obs) + self.shift

    def close(self) -> None:
        self.closed = True
        self.engine.close()


@pytest.mark.parametrize("shift", [1e-3, np.nan, np.inf])
def test_golden_inputs_that_disagree(factory: Factory, shift: float) -> None:
    factory.release(1)
    factory.pull()
    factory.release(2)
    engines: list[Drifted] = []

    def open_drifted(blob: bytes, metadata: dict[str, Any]) -> Drifted:
        engines.append(Drifted(blob, metadata, shift))
        return engines[-1]

    refuse(factory, IntegrityError, "golden actions differ", load_engine=open_drifted)
    assert engines[0].closed


EMPTY = pack_golden(np.zeros((0, OBS), np.float32), np.zeros((0, ACT), np.float32))
NOT_FINITE = pack_golden(np.zeros((1, OBS), np.float32), np.full((1, ACT), np.nan, np.float32))


@pytest.mark.parametrize(
    ("golden", "provenance", "sentence"),
    [
        (None, {}, "has no golden.npz"),
        (b"", {}, "cannot be read"),
        (b"PK\x03\x04 truncated", {}, "cannot be read"),
        (EMPTY, {}, "prove nothing"),
        (NOT_FINITE, {}, "prove nothing"),
        (..., {"golden": None}, "cannot be read"),
        (..., {"golden": {"tolerance": -1}}, "prove nothing"),
    ],
    ids=["missing", "no bytes", "truncated", "empty", "not finite", "no tolerance", "negative tolerance"],
)
def test_golden_inputs_that_prove_nothing(
    factory: Factory, golden: Any, provenance: dict[str, Any], sentence: str
) -> None:
    factory.release(1)
    factory.pull()
    files = factory.files(2) if golden is ... else factory.files(2, golden_dot_npz=golden)
    factory.release(2, files, **provenance)
    refuse(factory, IntegrityError, sentence, load_engine=never)
