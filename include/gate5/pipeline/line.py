"""From a stage of ``workspace.contents`` to the function that carries it out, and to the class of its result."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable

from gate5.config.models import ReleaseConfig
from gate5.pipeline.results import StageResult
from gate5.pipeline.stages import scenarios
from gate5.workspace.artifacts import Workspace
from gate5.workspace.contents import Stage


def function(stage: Stage) -> Callable[..., StageResult]:
    """What carries a stage out: ``function(workspace, config, …)``."""
    module, _, name = stage.path.partition(":")
    found: Callable[..., StageResult] = getattr(importlib.import_module(module), name)
    return found


def result_type(stage: Stage) -> type[StageResult]:
    """The class of a stage's result, from the annotation of its function."""
    kind: type[StageResult] = typing.get_type_hints(function(stage))["return"]
    return kind


def run(stage: Stage, workspace: Workspace, config: ReleaseConfig, scenario: str | None = None) -> list[StageResult]:
    """Carry out a stage that needs nothing but workspace and configuration.

    Args:
        stage: which.
        workspace: of the run.
        config: of the run.
        scenario: of a stage that runs once for each: only this one; ``None``: all that the release covers.

    Returns:
        One result, or one for each scenario.
    """
    if not stage.per_scenario:
        return [function(stage)(workspace, config)]
    names = scenarios(config) if scenario is None else [scenario]
    return [function(stage)(workspace, config, name) for name in names]
