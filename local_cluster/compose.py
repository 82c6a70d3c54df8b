"""docker-compose.yaml as data: the one description of the cluster. What runs here is what stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gate5.errors import ConfigError

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z0-9_]+)(?::(?P<kind>[?-])(?P<rest>[^}]*))?\})")
#: What an image starts where the compose file gives only arguments.
ENTRYPOINTS = {"gate5-airflow": ["airflow"], "gate5-gpu": ["airflow"]}


@dataclass(frozen=True)
class Service:
    """One service, its variables filled in.

    Attributes:
        name: of the service.
        command: the whole command line, the image's entry point included; empty where the image's own is used.
        environment: as the container sees it.
        mounts: named volumes, by where they are mounted.
        stays: whether it is started again when it ends.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: Mapping[str, str]
    stays: bool


def read_services(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service of a compose file.

    Args:
        path: of the compose file.
        variables: what ``.env`` says.

    Raises:
        ConfigError: a variable that has to be set is not.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: _service(name, said, variables) for name, said in document["services"].items()}


def read_env(path: Path) -> dict[str, str]:
    """The variables of a ``.env`` file."""
    lines = [line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Z]", line)]
    return dict(lines)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with its variables, as compose fills them in.

    Raises:
        ConfigError: one that has to be set is not.
    """

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"], match["rest"] or ""
        if name is None:
            return "$"
        found = variables.get(name, "")
        if not found and kind == "?":
            raise ConfigError(f"docker-compose.yaml: {name} {rest}.")
        return found or (rest if kind == "-" else "")

    return _VARIABLE.sub(value, text)


def _service(name: str, said: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    command = said.get("command", [])
    words = [filled(word, variables) for word in (shlex.split(command) if isinstance(command, str) else command)]
    # `init` names an interpreter of its own: the official image's entry point runs that as it is.
    entry = [] if words[:1] == ["python"] else ENTRYPOINTS.get(said["image"], [])
    mounts = dict(reversed(volume.split(":")[:2]) for volume in said.get("volumes", ()))
    environment = {key: filled(str(value), variables) for key, value in said.get("environment", {}).items()}
    return Service(name, (*entry, *words) if words else (), environment, mounts, said.get("restart") != "no")
