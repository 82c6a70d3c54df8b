"""The backends, one module each: a module of this folder with a ``BACKEND`` is registered by being here.

``engine.backend``, ``release.require_backend``, ``gate5 doctor`` and the reports take them from here; nothing else has
to be told.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from gate5.config.backends import BACKENDS

if TYPE_CHECKING:
    from gate5.engine.kind import Backend


@cache
def backend(name: str) -> Backend:
    """The backend of a name, one of ``gate5.config.backends.BACKENDS``.

    Raises:
        KeyError: there is none.
    """
    if name not in BACKENDS:
        raise KeyError(name)
    found: Backend = importlib.import_module(f"{__name__}.{name}").BACKEND
    return found


def ranked() -> list[Backend]:
    """All of them, the one that ``auto`` likes best first."""
    return sorted((backend(name) for name in BACKENDS), key=lambda found: -found.rank)
