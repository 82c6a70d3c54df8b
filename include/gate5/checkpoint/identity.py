"""What a policy computes, as one hash: checkpoints of the same function share it, whatever their files hold."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.io import canonical

if TYPE_CHECKING:
    from gate5.checkpoint.spec import NormaliserSpec, PolicySpec

#: Fields that say where a policy comes from, and not what it computes.
_ABOUT = frozenset({"algorithm", "notes", "use_sde", "count"})


def function_sha256(policy: PolicySpec, normaliser: NormaliserSpec | None) -> str:
    """A hash of the whole function: layers, normaliser, spaces. Names of algorithms, dates and file formats are not in
    it, so that the same training saved twice, or read from another file, is the same function."""
    parts: list[Any] = [_plain(policy), None if normaliser is None else _plain(normaliser)]
    return canonical.digest(parts)


def _says(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field tells two functions apart; one that has its default is left out, so that a field that a later
    version of gate5 adds changes the hash of no policy that does not use it."""
    given = getattr(value, field.name)
    if field.name in _ABOUT:
        return False
    return field.default is dataclasses.MISSING or isinstance(given, np.ndarray) or given != field.default


def _plain(value: Any) -> Any:
    """JSON types; an array becomes its shape, its type and the hash of its bytes."""
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value).tobytes()
        return [list(value.shape), value.dtype.str, hashlib.sha256(data).hexdigest()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if _says(field, value)
        }
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value.hex()  # an infinite clip is a number here, and none in JSON
    return value
