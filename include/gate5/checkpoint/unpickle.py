"""Reads the few pickles that a checkpoint needs without running anything from them.

A pickle is a program that may call whatever it can name. Here it can name only what is listed in ``_ADMITTED``, and
every name leads to an inert stand-in of this module, never to the class itself: arrays are rebuilt from their bytes,
``VecNormalize``, ``RunningMeanStd`` and spaces become bags of attributes, random generators become nothing at all. So
neither Stable-Baselines3 nor Gymnasium (nor the dead ``gym``) has to be installed.

A pickle is also a program that may ask for memory: its bytes, its operations and the arrays that it makes are counted.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from gate5.checkpoint.opcodes import scan
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

_NUMBER_KINDS = "fiub"
LIMIT_BYTES = 64 << 20
_LIMIT_ARRAY_BYTES = 64 << 20
_LIMIT_ATTRIBUTES = 1000


class _RefusedError(pickle.UnpicklingError):
    """A name that is not in the list."""


class Bag:
    """Stands for an object of an admitted class; holds its attributes in ``attributes``."""

    kind = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __new__(cls, *args: Any, **kwargs: Any) -> Bag:
        bag = super().__new__(cls)
        bag.attributes = {}
        return bag

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2:
            parts = [part or {} for part in state]
            if not all(isinstance(part, dict) and len(part) <= _LIMIT_ATTRIBUTES for part in parts):
                raise pickle.UnpicklingError("the attributes of an object are not a table of a usual size")
            state = {**parts[0], **parts[1]}
        if isinstance(state, dict):
            self.attributes = state  # not copied: a thousand objects may share one table


class NormalizeBag(Bag):
    kind = "VecNormalize"


class StatisticsBag(Bag):
    kind = "RunningMeanStd"


class BoxBag(Bag):
    kind = "Box"


class DiscreteBag(Bag):
    kind = "Discrete"


class MultiDiscreteBag(Bag):
    kind = "MultiDiscrete"


class MultiBinaryBag(Bag):
    kind = "MultiBinary"


class DictBag(Bag):
    kind = "Dict"


class TupleBag(Bag):
    kind = "Tuple"


class _Maker:
    """An admitted function. It takes no state: BUILD on a plain function would change its defaults for good."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(*args, **kwargs)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function is given a state")


class _Table(dict[Any, Any]):
    """Stands for ``collections.OrderedDict``."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("an OrderedDict is given a state")


class _Dtype:
    """Stands for ``numpy.dtype``; numbers only, so that no array can hold objects."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = (code if isinstance(code, str) else ""), "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">", "=", "|") else "="

    def real(self) -> np.dtype[Any]:
        if len(self.code) > 8:
            raise _RefusedError(f"numpy.dtype({self.code[:20]!r}...)")
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBER_KINDS or dtype.fields is not None:
            raise _RefusedError(f"numpy.dtype({self.code!r})")
        return dtype.newbyteorder("=" if self.order == "|" else self.order)  # type: ignore[arg-type]


class Array:
    """Stands for ``numpy.ndarray`` until ``plain`` makes the real array."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, tuple(shape), "F" if fortran else "C")


class _Nothing:
    """Stands for a random generator."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _array(data: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> np.ndarray[Any, Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise _RefusedError("a NumPy array that does not hold plain numbers")
    real = dtype.real()
    if len(shape) > 32 or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise pickle.UnpicklingError("an array whose shape is not a few numbers")
    if len(data) != math.prod(shape) * real.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {excerpt(str(shape), 60)} with {len(data)} bytes")
    _Reader.array_bytes += len(data)
    if _Reader.array_bytes > _LIMIT_ARRAY_BYTES:
        raise pickle.UnpicklingError(f"arrays of more than {_LIMIT_ARRAY_BYTES} bytes")
    return np.frombuffer(bytes(data), dtype=real).reshape(shape, order=order).copy()


def _reconstruct(*_: Any) -> Array:
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Array:
    array = Array()
    array.value = _array(data, dtype, tuple(shape), order)
    return array


def _scalar(dtype: Any, data: Any = b"") -> Array:
    array = Array()
    array.value = _array(data, dtype, (), "C")
    return array


def _encode(text: Any, coding: Any = "") -> bytes:
    """``_codecs.encode``, by which protocol 2 writes bytes."""
    if not isinstance(text, str) or coding != "latin1":
        raise pickle.UnpicklingError("bytes in a coding other than latin1")
    _Reader.array_bytes += len(text)
    if _Reader.array_bytes > _LIMIT_ARRAY_BYTES:
        raise pickle.UnpicklingError(f"arrays of more than {_LIMIT_ARRAY_BYTES} bytes")
    return text.encode("latin1")


def _typed(code: str) -> type[_Dtype]:
    class Typed(_Dtype):
        def __init__(self, *_: Any) -> None:
            super().__init__(code)

    return Typed


def _admitted() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): Array,
        ("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"): NormalizeBag,
        ("stable_baselines3.common.running_mean_std", "RunningMeanStd"): StatisticsBag,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _Maker(_reconstruct)
        names[f"{core}.multiarray", "scalar"] = _Maker(_scalar)
        names[f"{core}.numeric", "_frombuffer"] = _Maker(_from_buffer)
    for code in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool_"):
        names["numpy", code] = _typed(code)
    for gym in ("gym", "gymnasium"):
        names[f"{gym}.spaces.box", "Box"] = BoxBag
        for module, bag in (("discrete", DiscreteBag), ("multi_discrete", MultiDiscreteBag), ("dict", DictBag),
                            ("multi_binary", MultiBinaryBag), ("tuple", TupleBag)):  # fmt: skip
            names[f"{gym}.spaces.{module}", bag.kind] = bag
        names[f"{gym}.utils.seeding", "RandomNumberGenerator"] = _Nothing
    for module, name in (
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random._generator", "Generator"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random.mtrand", "RandomState"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    ):
        names[module, name] = _Nothing
    names["collections", "OrderedDict"] = _Table
    names["_codecs", "encode"] = _Maker(_encode)
    return names


_ADMITTED = _admitted()


class _Reader(pickle.Unpickler):
    array_bytes = 0  # of the reading under way; reading is not shared between threads of one process

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


class Unknown(dict[Any, Any]):
    """In the reading of ``read_names``: whatever a pickle made by calling something. It keeps nothing of what is done
    to it; ``made_by`` is the name of what was called. A class that the pickle names is a subclass, never called."""

    made_by = ""

    def __new__(cls, *_: Any, **__: Any) -> Unknown:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> Unknown:
        return self

    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None:
        """Nothing is kept."""

    add = append
    extend = append


def named(value: Any) -> str | None:
    """``module.name`` of a class that a pickle names, in the reading of ``read_names``; ``None``: something else."""
    return str(value.made_by) if isinstance(value, type) and issubclass(value, Unknown) else None


class _NameReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Table
        return type("Named", (Unknown,), {"made_by": f"{module}.{name}"})


def read(data: bytes, what: str, *, trustable: bool = False) -> Any:
    """Rebuild a pickle's plain content; objects come back as ``Bag``, arrays as ``Array`` (see ``plain``).

    Args:
        what: what the pickle is called.
        trustable: whether ``checkpoint.trust_pickle`` would read it after all, so that the text may say so.

    Raises:
        CheckpointError: the pickle names something that is not admitted, asks for too much, or is damaged.
    """
    _Reader.array_bytes = 0
    try:
        _count(data)
        return _Reader(io.BytesIO(data), encoding="latin1").load()
    except _RefusedError as error:
        way_out = "save it again with plain Stable-Baselines3 and Gymnasium"
        if trustable:
            way_out += ", or set checkpoint.trust_pickle: true if you trust where the file comes from"
        raise CheckpointError(
            f"{what} names {excerpt(error, 300)}, which gate5 does not admit because unpickling it could run code; "
            f"{way_out}."
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever it happens to hit
        raise CheckpointError(
            f"{what} is not a pickle that can be read ({type(error).__name__}: {excerpt(error, 300)}); save it again."
        ) from None


def read_names(data: bytes, what: str) -> Any:
    """Rebuild a pickle's tables, lists and numbers; for classes see ``named``, all else is ``Unknown``.

    Raises:
        CheckpointError: the pickle asks for too much or is damaged.
    """
    try:
        _count(data)
        return _NameReader(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever it happens to hit
        raise CheckpointError(
            f"{what} is not a pickle that can be read ({type(error).__name__}: {excerpt(error, 300)}); save it again."
        ) from None


def _count(data: bytes) -> None:
    """Refuse a program that is too long or that would never end."""
    if len(data) > LIMIT_BYTES:
        raise pickle.UnpicklingError(f"{len(data)} bytes, more than the {LIMIT_BYTES} that gate5 reads")
    scan(data)


def read_base64(text: str, what: str) -> Any:
    """As ``read``, for a pickle inside SB3's ``data``."""
    return read(decode(text, what), what)


def read_names_base64(text: str, what: str) -> Any:
    """As ``read_names``, for a pickle inside SB3's ``data``."""
    return read_names(decode(text, what), what)


def decode(text: str, what: str) -> bytes:
    """The bytes of a pickle inside SB3's ``data``."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointError(f"{what} is not base64 text; is the archive damaged?") from None


def plain(value: Any) -> Any:
    """The array or number inside an ``Array``; anything else as it is."""
    if isinstance(value, Array):
        return value.value
    return value


def class_name(data: bytes) -> str | None:
    """``module.name`` of a class that was pickled by reference, read without unpickling; ``None``: another pickle."""
    try:
        found = read_names(data, "a class")
    except CheckpointError:
        return None
    return named(found)
