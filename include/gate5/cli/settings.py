"""The configuration that a command goes by: of a file, of ``--set``, or the one that a run's workspace keeps."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import yaml

from gate5.config.models import ReleaseConfig
from gate5.config.site import DEFAULT_CONFIG, held_to_site
from gate5.errors import ConfigError
from gate5.io.paths import resolve_path
from gate5.workspace.artifacts import Workspace


def from_here(text: str) -> str:
    """A path as a person means it at a prompt: from the current folder; an address stays as it is."""
    return text if "://" in text else os.path.abspath(text)


def load_config(arguments: argparse.Namespace, over: dict[str, Any] | None = None) -> ReleaseConfig:
    """The configuration of ``--config`` and ``--set``; without a file, ``config/release.yaml`` where there is one.

    Whatever they say, each channel demands what the site's file (``GATE5_CONFIG``) demands of it in ``channels``.

    Args:
        over: further overrides, which ``--set`` can change again.
    """
    path = arguments.config
    if path is None and resolve_path(DEFAULT_CONFIG).exists():
        path = str(resolve_path(DEFAULT_CONFIG))
    config = ReleaseConfig.load(path, {**(over or {}), **dict(_override(text) for text in arguments.set)})
    return held_to_site(config, None if path is None else Path(path))


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text!r} is not KEY=VALUE, such as --set gate.sla_p99_ms=0.5.")
    return key, yaml.safe_load(value)


def run_config(workspace: Workspace, arguments: argparse.Namespace) -> ReleaseConfig:
    """What ``resolve`` froze into the workspace, unless the caller names a configuration."""
    from gate5.pipeline.stages import load_run_config

    if arguments.config is None and not arguments.set:
        return load_run_config(workspace)
    return load_config(arguments)
