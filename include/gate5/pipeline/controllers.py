"""Who drives the plant beside the engine: the candidate before it became an engine, and the baseline.

What a run needs of them lies in its workspace, so that stages on different machines see the same bytes.
"""

from __future__ import annotations

import importlib.util

import numpy as np

from gate5 import engine
from gate5.checkpoint import Checkpoint, CheckpointFiles, fetch, read
from gate5.checkpoint.controller import TorchController
from gate5.config.engine import EngineConfig
from gate5.config.models import ReleaseConfig
from gate5.control.baseline import open_baseline
from gate5.engine.rows import signature_of_graph
from gate5.evaluation import Reference
from gate5.pipeline import awaiting
from gate5.plant import Controller, Plant
from gate5.plant.base import Float32
from gate5.workspace.records import Tracker


def fetch_baseline(config: ReleaseConfig, plant: Plant) -> CheckpointFiles | None:
    """The files of ``baseline.checkpoint``, read once to see that they fit; ``None`` for another kind of baseline.

    Raises:
        InputError: the baseline, of whatever kind, cannot be opened for this plant.
    """
    files = (
        None
        if config.baseline.checkpoint is None
        else fetch(config.baseline.checkpoint, vecnormalize=config.baseline.vecnormalize)
    )
    open_baseline(config.baseline, plant, policy=files, trust_pickle=config.checkpoint.trust_pickle)
    return files


def keep(tracker: Tracker, folder: str, files: CheckpointFiles) -> None:
    """Write a checkpoint's files into the workspace."""
    tracker.write(f"{folder}/policy.zip", files.policy)
    if files.vecnormalize is not None:
        tracker.write(f"{folder}/vecnormalize.pkl", files.vecnormalize)


def candidate(tracker: Tracker, config: ReleaseConfig) -> Checkpoint:
    """The checkpoint that ``resolve`` put into the workspace."""
    return read_candidate(_kept(tracker, "checkpoint"), config)


def read_candidate(files: CheckpointFiles, config: ReleaseConfig) -> Checkpoint:
    """A candidate's files as the configuration says that they are to be read.

    Raises:
        CheckpointError: they cannot be read safely.
    """
    return read(files, **config.checkpoint.reading())


def baseline(tracker: Tracker, config: ReleaseConfig, plant: Plant) -> Controller | None:
    """The baseline for ``plant``; ``None`` where the configuration asks for none.

    Raises:
        InputError: it cannot be opened for this plant.
    """
    files = None if config.baseline.checkpoint is None else _kept(tracker, "baseline")
    return open_baseline(config.baseline, plant, policy=files, trust_pickle=config.checkpoint.trust_pickle)


def built_engine(tracker: Tracker, config: ReleaseConfig) -> engine.Engine:
    """The engine that ``build`` made, opened in this thread."""
    metadata = tracker.read_json("engine/engine.json")
    return engine.load(tracker.read("engine/policy.engine"), metadata, threads=config.engine.threads)


def driving_engine(tracker: Tracker, config: ReleaseConfig) -> engine.Engine:
    """The engine that ``build`` made; the exported graph in its place where it was built for another machine."""
    return built_engine(tracker, config) if awaiting.elsewhere(tracker) is None else awaiting.stand_in(tracker, config)


class GraphController:
    """Drives a plant with the exported graph, operator by operator in NumPy (``onnx.reference``)."""

    def __init__(self, onnx_model: bytes) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        self._graph = ReferenceEvaluator(onnx.load_from_string(onnx_model))

    def reset(self, batch: int) -> None:
        """A feed-forward policy has no past."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for raw observations float32 ``[B, obs_dim]``."""
        (action,) = self._graph.run(["action"], {"obs": np.ascontiguousarray(obs, dtype=np.float32)})
        return np.asarray(action, dtype=np.float32), None


def reference(tracker: Tracker, config: ReleaseConfig) -> Reference:
    """The policy in FP32 without the engine: the exported graph in NumPy, or on the CPU where there is no ``onnx``.

    The graph is within the export's tolerance of the policy in PyTorch, which would take seconds to import in each
    scenario's task. For an engine that is that very graph, ONNX Runtime again would always say zero, therefore NumPy.
    """
    graph = tracker.read("policy.onnx")
    signature = signature_of_graph(graph)
    plain = signature is None or signature.plain
    if not plain and importlib.util.find_spec("torch") is not None:  # states, masks, pictures: rows that need a driver
        import torch

        policy = candidate(tracker, config)
        driver = TorchController(policy.module, policy.signature)
        return Reference(f"PyTorch {torch.__version__}, FP32", driver)
    if plain and importlib.util.find_spec("onnx") is not None:
        return Reference(f"ONNX graph, NumPy {np.__version__}, FP32", GraphController(graph))
    built = engine.build(graph, EngineConfig(backend="onnxruntime", profile=config.engine.profile))
    loaded = engine.load(built.blob, built.metadata)
    version = loaded.info.versions.get("onnxruntime", "")
    return Reference(f"ONNX graph, ONNX Runtime {version}, FP32", engine.EngineController(loaded))


def _kept(tracker: Tracker, folder: str) -> CheckpointFiles:
    return CheckpointFiles(
        policy=tracker.read(f"{folder}/policy.zip"),
        vecnormalize=tracker.find(f"{folder}/vecnormalize.pkl"),
        uri=tracker.workspace.uri,
    )
