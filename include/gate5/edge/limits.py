"""What a plant's computer takes, whatever a channel's signers say: the plant's own last word."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from gate5.config.verdicts import AWAITING, RELEASED
from gate5.errors import EngineError, IntegrityError, StoreInputError
from gate5.store import Release

GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Limits of one plant; the defaults hold where nothing is said.

    Attributes:
        max_tolerance: the largest difference from the golden actions that a release may ask for (actions are in -1 to
            1; the engine's own rule is 0.01).
        min_golden: golden observations that a release must have at least.
        backends: back ends that this machine takes; ``None``: any.
        plants: the plants (``sco2``) whose policies may run here; ``None``: any.
        max_bytes: of all files of a release together.
        require_proof: whether an engine runs only where it, or one like it on such a device, was proved.
    """

    max_tolerance: float = 0.05
    min_golden: int = 1
    backends: tuple[str, ...] | None = None
    plants: tuple[str, ...] | None = None
    max_bytes: int = 2 * GIB
    require_proof: bool = False

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Limits:
        """Read a YAML file with these keys (``pull.yaml``).

        Raises:
            StoreInputError: it cannot be read, or has a key or a value that is none.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise StoreInputError(f"The limits {path} cannot be read ({error}); give a YAML file.") from None
        return cls.parse({} if data is None else data, str(path))

    @classmethod
    def parse(cls, data: Any, source: str) -> Limits:
        """Check plain data; ``source`` is what an error calls it."""
        known = [field.name for field in fields(cls)]
        if not isinstance(data, Mapping) or not set(data) <= set(known):
            unknown = sorted(map(str, set(data) - set(known))) if isinstance(data, Mapping) else data
            raise StoreInputError(f"The limits {source} have {unknown!r}; the keys are {', '.join(known)}.")
        for name, value in data.items():
            if not _fits(name, value):
                raise StoreInputError(f"The limits {source} say {name}: {value!r}; {_WANTED[name]}.")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**values)

    def check_size(self, release: Release) -> None:
        """Refuse a release whose signed sizes are more than this machine takes, before a file of it is read.

        Raises:
            IntegrityError: they are.
        """
        size = sum(release.sizes.values())
        if size > self.max_bytes:
            raise IntegrityError(
                f"The files of the release {release.id} have {size} bytes, more than this machine takes (max_bytes of "
                f"the limits is {self.max_bytes})."
            )

    def check(self, release: Release, golden: int, tolerance: float) -> None:
        """Refuse a release that this machine does not take, before its engine is read.

        Raises:
            IntegrityError: no passed verdict, or golden inputs that prove too little.
            EngineError: an engine or a policy for another machine.
        """
        if release.verdict not in RELEASED:
            raise IntegrityError(
                f"The release {release.id} is signed, but Gate 5's verdict on it is {release.verdict!r}: only `pass` "
                f"runs here, or `{AWAITING}` with the proof."
            )
        if not tolerance <= self.max_tolerance or golden < self.min_golden:
            raise IntegrityError(
                f"The release {release.id} proves too little: {golden} golden inputs within {tolerance:g}, and this "
                f"machine asks for {self.min_golden} within {self.max_tolerance:g}."
            )
        if self.backends is not None and release.backend not in self.backends:
            raise EngineError(
                f"The release {release.id} has an engine of {release.backend}, and this machine takes "
                f"{' or '.join(self.backends) or 'none'}: promote one that was built for it."
            )
        plant = release.provenance.get("plant")
        if self.plants is not None and plant not in self.plants:
            raise EngineError(
                f"The release {release.id} drives the plant {plant}, and this machine takes "
                f"{' or '.join(self.plants) or 'none'}."
            )


_WANTED = {
    "max_tolerance": "give a number of 0 or more",
    "min_golden": "give a whole number of 1 or more",
    "max_bytes": "give a whole number of 1 or more",
    "backends": "give a list such as [tensorrt]",
    "plants": "give a list such as [sco2]",
    "require_proof": "give true or false",
}


def _fits(name: str, value: Any) -> bool:
    if name == "max_tolerance":
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    if name == "require_proof":
        return isinstance(value, bool)
    if name in ("min_golden", "max_bytes"):
        return type(value) is int and value >= 1
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))
