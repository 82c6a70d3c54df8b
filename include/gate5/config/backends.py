"""The names of the engines' backends: the modules of ``gate5/engine/backends``, by their files.

By their files and not by an import, because a configuration is read where no engine can be loaded, and because this
room lies below the engines'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

#: Every backend's name.
BACKENDS = tuple(sorted(path.stem for path in (Path(__file__).parents[1] / "engine" / "backends").glob("[!_]*.py")))
AUTO = "auto"


def _known(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"it must be one of {', '.join(map(repr, BACKENDS))}")
    return name


def _known_or_auto(name: str) -> str:
    if name not in (AUTO, *BACKENDS):
        raise ValueError(f"it must be one of {', '.join(map(repr, (AUTO, *BACKENDS)))}")
    return name


#: A backend, as a field of a configuration.
BackendName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(BACKENDS)})]
#: The same, or ``auto``.
BackendChoice = Annotated[
    str, AfterValidator(_known_or_auto), WithJsonSchema({"type": "string", "enum": [AUTO, *BACKENDS]})
]
