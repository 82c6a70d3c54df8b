"""What a run asks Gate 5: which function, for which plant, by which rules, on which hardware."""

from __future__ import annotations

from gate5 import engine
from gate5.config.models import ReleaseConfig
from gate5.plant.judged import judged_plant
from gate5.provenance import cpu_name, library_versions
from gate5.store import judgements
from gate5.workspace.artifacts import Workspace
from gate5.workspace.records import Tracker


def asked_of(workspace: Workspace, config: ReleaseConfig) -> str:
    """The name of what is judged, once the policy has been exported; to be called on the machine that will judge it.

    Raises:
        WorkspaceError: the policy has not been exported.
        ConfigError: the engine's backend cannot be had here.
    """
    tracker = Tracker(workspace, config.sha256)
    tracker.read("policy.onnx")
    backend = engine.choose_backend(config.engine)
    versions = library_versions((backend.partition("_")[0],))
    hardware = f"{backend} {versions} on {engine.timing_place(backend) or cpu_name()}"
    policy = str(tracker.inputs["policy.onnx"]["sha256"])
    return judgements.question(policy, judged_plant(config).name, hardware, config)
