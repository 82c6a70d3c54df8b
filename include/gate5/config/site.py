"""The site's own configuration: what it demands of a channel holds for every other file with the same store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gate5.config.gpus import release_dag
from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError, InputError
from gate5.io.paths import resolve_path

DEFAULT_CONFIG = "config/release.yaml"


class SiteConfig(NamedTuple):
    """The configuration that a deployment names, and its file."""

    path: Path
    config: ReleaseConfig


def site_config(environment: Mapping[str, str] = os.environ) -> SiteConfig:
    """The file that ``GATE5_CONFIG`` names, else ``config/release.yaml``; the defaults where it is not there.

    Args:
        environment: of the process that it is for.

    Raises:
        ConfigError: it says something that a release cannot mean.
    """
    path = resolve_path(environment.get("GATE5_CONFIG") or DEFAULT_CONFIG)
    return SiteConfig(path, ReleaseConfig.load(path) if path.exists() else ReleaseConfig())


def binding(config: ReleaseConfig, path: Path | None) -> ReleaseConfig | None:
    """The site's configuration where another one is held to it: it is of another file and has the same store.

    Args:
        path: the other one's file; ``None``: it is of none.

    Raises:
        ConfigError: the site's file is wrong, or ``GATE5_CONFIG`` names one that is not there.
    """
    site = site_config()
    if path is not None and site.path.resolve() == path.resolve():
        return None
    if os.environ.get("GATE5_CONFIG") and not site.path.exists():
        raise ConfigError(
            f"GATE5_CONFIG names {site.path}, which is not there, so that nobody can say what it demands of the "
            f"channel {config.release.channel}: put it back, or name another one."
        )
    return site.config if same_store(site.config, config) else None


def same_store(one: ReleaseConfig, other: ReleaseConfig) -> bool:
    """Whether two configurations name one store, however each of them writes it."""
    return _address(one) == _address(other)


def held_to_site(config: ReleaseConfig, path: Path | None) -> ReleaseConfig:
    """A configuration whose channels demand no less than the site's section ``channels`` says of them.

    Args:
        path: its file, ``None``: it has none; the site's own is as it is.

    Raises:
        ConfigError: nothing can meet both, or the site's file is wrong or not there.
    """
    site = binding(config, path)
    for channel, demands in ({} if site is None else site.channels).items():
        config = config.demanding(demands, channel)
    return config


def channel_owners() -> dict[str, str]:
    """By channel, the DAG whose kind of GPU it has engines for; empty where there is one kind."""
    site = site_config().config
    others = {said.channel: release_dag(name) for name, said in site.other_gpus.items()}
    return {site.release.channel: release_dag(None), **others} if others else {}


def refuse_between_kinds(source: str, target: str) -> None:
    """Refuse that a release goes from the channel of one kind of GPU to that of another.

    Raises:
        InputError: it would.
    """
    owners = channel_owners()
    first, second = owners.get(source), owners.get(target)
    if first and second and first != second:
        raise InputError(
            f"The channel {source!r} has engines that {first} releases, and {target!r} those of {second}: release the "
            f"candidate with {second}, whose kind of GPU the plants of {target!r} have."
        )


def _address(config: ReleaseConfig) -> str:
    """The same for every way to write one store: ``S3://b//p/`` is opened as ``s3://b/p`` is."""
    uri = config.store.uri
    if "://" not in uri:
        return str(resolve_path(uri).resolve())
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}/{parts.path.strip('/')}"
