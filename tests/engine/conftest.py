"""An exported graph made directly, without training and without SB3."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gate5.checkpoint import Checkpoint
from gate5.checkpoint.module import build_module
from gate5.checkpoint.spec import Layer, NormaliserSpec, PolicySpec
from gate5.config.candidate import ExportConfig
from gate5.config.engine import EngineConfig
from gate5.engine import Engine, build, load
from gate5.export import ONNXExporter
from gate5.plant.base import Float32


@pytest.fixture(scope="session")
def graph() -> bytes:
    """A policy with 8 observations and 3 actions."""
    rng = np.random.default_rng(1)

    def layer(out: int, inside: int, activation: str | None) -> Layer:
        weight = (rng.normal(size=(out, inside)) / np.sqrt(inside)).astype(np.float32)
        return Layer(weight, rng.normal(size=out).astype(np.float32), activation)

    wide, one = np.full(8, np.inf, np.float32), np.ones(3, np.float32)
    layers = (layer(32, 8, "Tanh"), layer(32, 32, "Tanh"), layer(3, 32, None))
    policy = PolicySpec("PPO", layers, None, False, -one, one, -wide, wide)
    normaliser = NormaliserSpec(np.full(8, 5.0), np.full(8, 4.0), 1e-8, 10.0, 1e5)
    made = Checkpoint(build_module(policy, normaliser), policy, normaliser, "x", "a" * 64, "b" * 64, None, {})
    object.__setattr__(made, "reference", lambda given: (made.reference_numpy(given), "numpy float64"))
    return ONNXExporter(ExportConfig()).export(made, observations_of(100))[0]


def observations_of(count: int) -> Float32:
    return (5 + 2 * np.random.default_rng(4).normal(size=(count, 8))).astype(np.float32)


@pytest.fixture
def observations() -> Float32:
    """Float32 [1500, 8]."""
    return observations_of(1500)


@pytest.fixture
def engine(graph: bytes) -> Iterator[Engine]:
    """An ONNX Runtime engine of the graph."""
    built = build(graph, EngineConfig(backend="onnxruntime"))
    with load(built.blob, built.metadata) as loaded:
        yield loaded
