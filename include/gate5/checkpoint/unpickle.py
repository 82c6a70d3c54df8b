"""Reads the few pickles that a checkpoint needs without running anything from them.

A pickle is a program that may call whatever it can name. Here it can name only what is listed in ``_ADMITTED``, and
every name leads to an inert stand-in of this module, never to the class itself: arrays are rebuilt from their bytes,
``VecNormalize``, ``RunningMeanStd`` and spaces become bags of attributes, random generators become nothing at all. So
neither Stable-Baselines3 nor Gymnasium (nor the dead ``gym``) has to be installed.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from gate5.errors import CheckpointError

_NUMBER_KINDS = "fiub"


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
            state = {**(state[0] or {}), **(state[1] or {})}
        if isinstance(state, dict):
            self.attributes = dict(state)


class NormalizeBag(Bag):
    kind = "VecNormalize"


class StatisticsBag(Bag):
    kind = "RunningMeanStd"


class BoxBag(Bag):
    kind = "Box"


class OtherSpaceBag(Bag):
    kind = "another space"


class _Dtype:
    """Stands for ``numpy.dtype``; numbers only, so that no array can hold objects."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = (code if isinstance(code, str) else ""), "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">", "=", "|") else "="

    def real(self) -> np.dtype[Any]:
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
    if len(data) != math.prod(shape) * real.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes")
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
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _from_buffer
    for code in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool_"):
        names["numpy", code] = _typed(code)
    for gym in ("gym", "gymnasium"):
        names[f"{gym}.spaces.box", "Box"] = BoxBag
        for module, name in (("discrete", "Discrete"), ("multi_discrete", "MultiDiscrete"), ("dict", "Dict"),
                             ("multi_binary", "MultiBinary"), ("tuple", "Tuple")):  # fmt: skip
            names[f"{gym}.spaces.{module}", name] = OtherSpaceBag
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
    names["collections", "OrderedDict"] = dict
    return names


_ADMITTED = _admitted()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def read(data: bytes, what: str) -> Any:
    """Rebuild a pickle's plain content; objects come back as ``Bag``, arrays as ``Array`` (see ``plain``).

    Raises:
        CheckpointError: the pickle names something that is not admitted, or is damaged; ``what`` is what it is called.
    """
    try:
        return _Reader(io.BytesIO(data), encoding="latin1").load()
    except _RefusedError as error:
        raise CheckpointError(
            f"{what} names {error}, which gate5 does not admit because unpickling it could run code; save the "
            "statistics with plain Stable-Baselines3, or set checkpoint.trust_pickle: true if "
            "you trust where the file comes from."
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever it happens to hit
        raise CheckpointError(
            f"{what} is not a pickle that can be read ({type(error).__name__}: {error}); save it again."
        ) from None


def read_base64(text: str, what: str) -> Any:
    """As ``read``, for a pickle inside SB3's ``data``."""
    return read(decode(text, what), what)


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
    strings: list[str] = []
    try:
        for op, argument, _ in pickletools.genops(data):
            if op.name == "GLOBAL":
                strings = str(argument).split(" ", 1)
            elif op.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
                strings.append(str(argument))
            elif op.name not in ("PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STACK_GLOBAL", "STOP"):
                return None
    except ValueError:
        return None
    return ".".join(strings) if len(strings) == 2 else None
