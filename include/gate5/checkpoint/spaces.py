"""Observation and action spaces of a checkpoint, read without Gymnasium."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint import unpickle
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

Float64 = NDArray[np.float64]
KINDS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict")
_NOTHING: Float64 = np.zeros(0)
_SHOWN = 12  # parts of a space in a sentence
_MOST_NUMBERS = 4_000_000
_MOST_KEYS = 1000
_MOST_AXES = 8
_LONGEST_KEY = 64


@dataclass(frozen=True, eq=False)
class Space:
    """One space.

    Attributes:
        kind: one of ``KINDS``.
        shape: of a value, without the batch; ``()`` for ``Discrete``; of ``Dict`` it has no meaning.
        low, high: float64 ``[size]``, row after row; of integers the smallest and the largest.
        dtype: of a value, as Gymnasium declares it; of ``Dict`` empty.
        choices: how many values each component of ``Discrete`` or ``MultiDiscrete`` can have.
        parts: of ``Dict``: key and space, in Gymnasium's order.
    """

    kind: str
    shape: tuple[int, ...] = ()
    low: Float64 = field(default_factory=lambda: _NOTHING)
    high: Float64 = field(default_factory=lambda: _NOTHING)
    dtype: str = ""
    choices: tuple[int, ...] = ()
    parts: tuple[tuple[str, Space], ...] = ()

    @property
    def size(self) -> int:
        """Numbers in a value."""
        if self.kind == "Dict":
            return sum(space.size for _, space in self.parts)
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def encoded(self) -> int:
        """Numbers that Stable-Baselines3 makes of it for a network: one-hot for what is chosen."""
        if self.kind == "Dict":
            return sum(space.encoded for _, space in self.parts)
        return sum(self.choices) if self.choices else self.size

    @property
    def is_image(self) -> bool:
        """What SB3 takes for an image: three dimensions of bytes from 0 to 255."""
        return (
            self.kind == "Box"
            and len(self.shape) == 3
            and self.dtype == "uint8"
            and bool((self.low == 0).all() and (self.high == 255).all())
        )

    @property
    def leaves(self) -> tuple[tuple[str, Space], ...]:
        """Key and space of each input: one named ``obs`` unless it is a ``Dict``."""
        return self.parts if self.kind == "Dict" else (("obs", self),)

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return bool(self.choices) or self.kind == "MultiBinary" or self.dtype.startswith(("int", "uint", "bool"))

    def describe(self) -> str:
        """As a person writes it, ``Box(3,) float32``."""
        if self.kind == "Dict":
            return f"Dict({_list([f'{key}: {space.describe()}' for key, space in self.parts])})"
        if self.kind == "Discrete":
            return f"Discrete({self.choices[0]})"
        if self.kind == "MultiDiscrete":
            return f"MultiDiscrete([{_list(list(map(str, self.choices)))}])"
        return f"{self.kind}{self.shape} {self.dtype}".rstrip()


def _list(parts: list[str]) -> str:
    more = f", and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(parts[:_SHOWN]) + more


def box(low: Any, high: Any, shape: tuple[int, ...] | None = None, dtype: str = "float32") -> Space:
    """A ``Box`` of arrays."""
    low = np.asarray(low, dtype=np.float64)
    return Space("Box", shape or low.shape, low.reshape(-1), np.asarray(high, dtype=np.float64).reshape(-1), dtype)


def read_space(data: dict[str, Any], key: str, uri: str) -> Space:
    """``action_space`` or ``observation_space`` of an archive's ``data``.

    Raises:
        CheckpointError: it is not there, cannot be read, or is not one of ``KINDS``.
    """
    entry = data.get(key)
    if not isinstance(entry, dict) or not isinstance(entry.get(":serialized:"), str):
        raise CheckpointError(f"`data` in the checkpoint {uri} has no {key}; save it again with model.save().")
    found = unpickle.read_base64(entry[":serialized:"], f"{key} in the checkpoint {uri}")
    return _of(found, f"The {key} of the checkpoint {uri}")


def _of(found: Any, what: str, depth: int = 0) -> Space:
    if not isinstance(found, unpickle.Bag) or found.kind not in KINDS:
        kind = found.kind if isinstance(found, unpickle.Bag) else type(found).__name__
        raise CheckpointError(f"{what} is a {kind or 'thing'}; gate5 takes {', '.join(KINDS)}.")
    try:
        if found.kind == "Dict":
            parts = found.attributes["spaces"]
            if depth or not isinstance(parts, dict) or not 1 <= len(parts) <= _MOST_KEYS:
                raise CheckpointError(f"{what} is an empty, a nested or a huge Dict; flatten it and train again.")
            return Space(
                "Dict", parts=tuple((_key(key, what), _of(part, f"{what}, {key}", 1)) for key, part in parts.items())
            )
        return _leaf(found, what)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{what} lacks what a {found.kind} has ({excerpt(error)!r}).") from None


def _key(key: Any, what: str) -> str:
    if not usable_key(key):
        raise CheckpointError(
            f"{what} has the key {excerpt(key, 80)!r}; a key is a text of at most {_LONGEST_KEY} characters without a "
            "dot, which no policy of Stable-Baselines3's can have."
        )
    return str(key)


def usable_key(key: Any) -> bool:
    """Whether a policy can have it: torch's modules have no names with dots."""
    return isinstance(key, str) and key.isprintable() and "." not in key and 1 <= len(key) <= _LONGEST_KEY


def _leaf(found: unpickle.Bag, what: str) -> Space:
    attributes = {key: unpickle.plain(value) for key, value in found.attributes.items()}
    if found.kind == "Discrete":
        n, start = _whole(attributes["n"]), _whole(attributes.get("start", 0))
        if not 1 <= n <= 1_000_000 or start != 0:
            raise CheckpointError(f"{what} is Discrete({n}, start={start}); Stable-Baselines3 takes it from 0 up.")
        return Space("Discrete", (), np.zeros(1), np.array([n - 1.0]), "int64", (n,))
    if found.kind == "MultiDiscrete":
        counts = _wholes(attributes["nvec"])
        starts = _wholes(attributes.get("start", np.zeros(1, np.int64)))
        if counts.ndim != 1 or not 1 <= counts.size <= 10_000 or (counts < 1).any() or starts.any():
            raise CheckpointError(
                f"{what} is MultiDiscrete of {counts.shape}; gate5 takes a flat one that starts at 0."
            )
        return Space("MultiDiscrete", counts.shape, np.zeros(counts.size), counts.astype(np.float64) - 1.0, "int64",
                     tuple(counts.tolist()))  # fmt: skip
    if found.kind == "MultiBinary":
        n = attributes["n"]
        sizes = n.reshape(-1).tolist() if isinstance(n, np.ndarray) and n.size <= _MOST_AXES else n
        shape = tuple(_whole(size) for size in (sizes if isinstance(sizes, tuple | list) else [sizes])[:_MOST_AXES])
        size = math.prod(shape)
        if not shape or min(shape) < 1 or size > 100_000:
            raise CheckpointError(f"{what} is MultiBinary({excerpt(shape, 60)}); gate5 takes one of 1 to 100000 bits.")
        return Space("MultiBinary", shape, np.zeros(size), np.ones(size), "int8")
    return _box_of(attributes, what)


def _whole(value: Any) -> int:
    """A whole number, NumPy's or Python's; text that looks like one is none."""
    value = unpickle.plain(value)
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iu":
        value = value.reshape(-1)[0].item()
    if isinstance(value, bool) or not isinstance(value, int) or not abs(value) < 1 << 62:
        raise TypeError(f"{excerpt(value, 40)} is no whole number")
    return value


def _wholes(value: Any) -> NDArray[np.int64]:
    """An array of whole numbers; a list could be as large as it likes once it is an array."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.size > _MOST_NUMBERS:
        raise TypeError(f"{excerpt(value, 40)} is no array of whole numbers")
    return value.astype(np.int64)


def _box_of(attributes: dict[str, Any], what: str) -> Space:
    sides = [attributes["low"], attributes["high"]]
    if not all(isinstance(side, np.ndarray) for side in sides):
        raise CheckpointError(f"{what} has no bounds; save it again.")
    if any(side.size > _MOST_NUMBERS for side in sides):
        raise CheckpointError(f"{what} has {sides[0].size} numbers, more than the {_MOST_NUMBERS} that gate5 reads.")
    low, high = (side.astype(np.float64) for side in sides)
    if low.shape != high.shape or low.size == 0 or low.ndim == 0:
        raise CheckpointError(f"{what} has bounds of the shapes {low.shape} and {high.shape}; save it again.")
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise CheckpointError(f"The bounds of {what[0].lower()}{what[1:]} are NaN or the wrong way round.")
    declared = found_dtype(attributes.get("dtype")) or str(sides[0].dtype)
    return Space("Box", low.shape, low.reshape(-1), high.reshape(-1), declared)


def found_dtype(value: Any) -> str | None:
    """The name of a pickled ``numpy.dtype``; ``None`` where it is none."""
    try:
        return str(value.real()) if hasattr(value, "real") and callable(value.real) else None
    except Exception:  # noqa: BLE001 - a damaged dtype
        return None
