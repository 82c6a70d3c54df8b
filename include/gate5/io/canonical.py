"""JSON as gate5 writes it: plain types only, no NaN, keys sorted, so that equal values have equal bytes."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any


def dumps(value: Any) -> bytes:
    """Serialise ``value`` canonically (sorted keys, UTF-8, one trailing newline).

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: a value is not a plain JSON type (a NumPy scalar, a path).
    """
    return (json.dumps(value, allow_nan=False, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def loads(data: bytes | str) -> Any:
    """Parse JSON; ``NaN`` and ``Infinity``, which JSON does not have, are refused."""
    return json.loads(data, parse_constant=_refuse)


def digest(value: Any) -> str:
    """The SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(dumps(value)).hexdigest()


def number(value: float | int | None) -> float | None:
    """A Python float for JSON, ``None`` where the value is missing or not finite."""
    if value is None:
        return None
    plain = float(value)
    return plain if math.isfinite(plain) else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
