"""A TorchScript or torch.export file: a program that says nothing of its spaces, the last way in.

Loading one is running it: TorchScript has operators that write files, and torch.export unpickles parts of its archive
without restriction. So it is read only with ``checkpoint.trust_pickle``, and what goes in and comes out is declared:
``checkpoint.spaces``. The file is the whole function from raw observations to actions; a normaliser is inside or
nowhere.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.checkpoint.archive import checked_copy, open_zip, unpacked
from gate5.checkpoint.spaces import Space, box
from gate5.checkpoint.spec import Float32, PolicySpec
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

if TYPE_CHECKING:
    import torch

TORCHSCRIPT, EXPORT = "TorchScript", "torch.export"
_MOST_NUMBERS = 1_000_000
_ROWS = 6
_SAME = 1e-4
_CHUNK = 2_000_000  # numbers at a time
_HOW = (
    "checkpoint.spaces: {observation: {shape: [4], low: -1.0, high: 1.0}, action: {shape: [1], low: -1.0, high: 1.0}}"
)
_DYNAMIC = "export it with dynamic_shapes whose first dimension is torch.export.Dim('batch')"


def kind_of(content: bytes) -> str | None:
    """``TorchScript`` or ``torch.export`` by the names of a file's members; ``None``: something else."""
    try:
        with open_zip(content) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    if any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names):
        return EXPORT
    return TORCHSCRIPT if any(name.endswith("/constants.pkl") for name in names) else None


def declared(spaces: dict[str, Any]) -> tuple[Space, Space]:
    """The observation and the action space of ``checkpoint.spaces``.

    Raises:
        CheckpointError: a key is missing or unknown, or a value cannot be.
    """
    if set(spaces) != {"observation", "action"}:
        there = ", ".join(excerpt(key, 40) for key in sorted(spaces)[:6]) or "no keys"
        raise CheckpointError(f"checkpoint.spaces has {there}, and needs observation and action: {_HOW}.")
    observation = _space(spaces["observation"], "checkpoint.spaces.observation")
    action = spaces["action"]
    if isinstance(action, dict) and set(action) == {"choices"}:
        count = action["choices"]
        if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= 100_000:
            raise CheckpointError(
                f"checkpoint.spaces.action.choices is {excerpt(count, 40)}; it is a whole number from 2 to 100000."
            )
        return observation, Space("Discrete", (), np.zeros(1), np.array([count - 1.0]), "int64", (count,))
    space = _space(action, "checkpoint.spaces.action")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise CheckpointError("checkpoint.spaces.action needs low and high: what goes to a plant has bounds.")
    return observation, space


def _space(entry: Any, where: str) -> Space:
    if not isinstance(entry, dict) or not {"shape"} <= set(entry) <= {"shape", "low", "high"}:
        raise CheckpointError(f"{where} is {excerpt(entry, 60)}, and takes shape, low and high: {_HOW}.")
    shape = entry["shape"]
    if (
        not isinstance(shape, list | tuple)
        or not 1 <= len(shape) <= 4
        or not all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in shape)
        or math.prod(shape) > _MOST_NUMBERS
    ):
        raise CheckpointError(
            f"{where}.shape is {excerpt(str(shape), 60)}; it is a list of one to four whole numbers from 1 up, "
            f"{_MOST_NUMBERS} numbers in all."
        )
    size = math.prod(shape)
    low, high = (_side(entry.get(key), size, f"{where}.{key}", sign) for key, sign in (("low", -1), ("high", 1)))
    if not (low < high).all():
        index = int(np.flatnonzero(~(low < high))[0])
        raise CheckpointError(
            f"{where}: number {index} has the bounds {low[index]:g} and {high[index]:g}; low has to be below high."
        )
    return box(low, high, tuple(shape))


def _side(value: Any, size: int, where: str, sign: int) -> Any:
    """One bound per number; left out: none."""
    values = [math.inf * sign] * size if value is None else [value] * size if not isinstance(value, list) else value
    if len(values) != size or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise CheckpointError(f"{where} is {excerpt(value, 60)}; it is a number, or a list of {size} numbers.")
    try:
        array = np.asarray(values, dtype=np.float64)
    except OverflowError:
        array = np.full(size, np.nan)
    if np.isnan(array).any() or (value is not None and not (np.abs(array) < 1e38).all()):
        raise CheckpointError(f"{where} holds a number that float32 cannot; leave it out where there is no bound.")
    return array


def digest(content: bytes) -> str:
    """The hash of a program's code and numbers: of all members but those that say when and from where it was saved."""
    found = hashlib.sha256()
    with open_zip(content) as file:
        for info in sorted(file.infolist(), key=lambda info: info.filename):
            name = info.filename.partition("/")[2]
            if not name.endswith((".debug_pkl", "serialization_id")):
                found.update(f"{name} {info.file_size} {info.CRC}\n".encode())
                found.update(hashlib.sha256(unpacked(file, info)).digest())
    return found.hexdigest()


def understand(content: bytes, kind: str, program: Any, spaces: tuple[Space, Space]) -> PolicySpec:
    """What is known of a program: its spaces, how many parameters it has, and its hash."""
    observation, action = spaces
    return PolicySpec(
        algorithm=kind,
        layers=(),
        clip_mean=None,
        squash=False,
        low=action.low.astype(np.float32),
        high=action.high.astype(np.float32),
        observation_low=observation.low.astype(np.float32),
        observation_high=observation.high.astype(np.float32),
        observation=observation,
        action=action,
        choices=action.choices,
        inside=sum(parameter.numel() for parameter in program.parameters()),
        program=digest(content),
    )


def open_program(content: bytes, kind: str, spaces: tuple[Space, Space], uri: str) -> torch.nn.Module:
    """Load a file that is trusted, and see that it is a function of each observation alone with what was declared.

    Raises:
        CheckpointError: it cannot be loaded, does not run, gives something else, or gives it another time.
    """
    import torch

    copy = checked_copy(content, f"The {kind} file {uri}")
    try:
        if kind == TORCHSCRIPT:
            program = torch.jit.load(copy, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        else:
            program = torch.export.load(copy).module()
    except Exception as error:  # noqa: BLE001 - torch raises whatever a damaged file makes it raise
        raise CheckpointError(
            f"The {kind} file {uri} cannot be loaded by PyTorch {torch.__version__} ({_words(error)}); save it again."
        ) from None
    for parameter in program.parameters():
        parameter.requires_grad_(False)
    _check(program, kind, spaces, uri)
    return program  # type: ignore[no-any-return]


def _check(program: Any, kind: str, spaces: tuple[Space, Space], uri: str) -> None:
    """Run it on a few observations, together, one by one and again."""
    observation, action = spaces
    rows = _some(observation)
    what = f"The {kind} file {uri}"
    try:
        together, again = run(program, rows, observation), run(program, rows, observation)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 - it is somebody's program
        raise CheckpointError(
            f"{what} does not run on observations of the shape [{_ROWS}, {_shape(observation)}] ({_words(error)}); "
            f"declare the spaces that it has in checkpoint.spaces{_fixed(kind, error)}."
        ) from None
    expected = action.choices[0] if action.choices else action.size
    if together.shape != (_ROWS, expected):
        raise CheckpointError(
            f"{what} gives numbers of the shape {together.shape} for {_ROWS} observations, and "
            f"checkpoint.spaces.action declares {expected} for each."
        )
    if not np.isfinite(together).all():
        raise CheckpointError(f"{what} gives NaN or infinite numbers within the observation space that is declared.")
    single = np.concatenate([run(program, rows[i : i + 1], observation) for i in range(_ROWS)])
    size = max(1.0, float(np.abs(together).max()))
    if not (np.array_equal(together, again) and (np.abs(together - single) <= _SAME * size).all()):
        raise CheckpointError(
            f"{what} gives another action for the same observation the next time, or beside others: it draws numbers "
            "at random, keeps a state or mixes a batch; export the deterministic function of one observation."
        )


def run(program: Any, rows: Float32, observation: Space) -> Float32:
    """What the program itself gives, ``[B, n]``, for rows ``[B, size]``; some at a time.

    Raises:
        CheckpointError: it gives something else than one tensor with a row for each observation.
    """
    import torch

    parts, step = [], max(1, _CHUNK // rows.shape[1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for start in range(0, len(rows), step):
                some = np.ascontiguousarray(rows[start : start + step]).reshape(-1, *observation.shape)
                out = program(torch.from_numpy(some))
                if not isinstance(out, torch.Tensor) or not out.is_floating_point() or out.ndim < 2:
                    shown = (
                        f"a tensor of {out.dtype} {tuple(out.shape)}" if isinstance(out, torch.Tensor) else excerpt(out)
                    )
                    raise CheckpointError(
                        f"The program gives {shown}, and has to give one tensor of floats [batch, ...]: export the "
                        "deterministic action alone."
                    )
                parts.append(out.reshape(len(out), -1).float().cpu().numpy())
    finally:
        torch.set_num_threads(threads)
    return np.asarray(np.concatenate(parts), dtype=np.float32)


def reference(program: Any, policy: PolicySpec, rows: Float32) -> Float32:
    """Output rows by the program itself: clipped to the action space in NumPy, or the largest score's number."""
    assert policy.observation is not None
    out = run(program, rows.astype(np.float32), policy.observation)
    if not policy.choices:
        return np.asarray(np.clip(out, policy.low, policy.high), dtype=np.float32)
    chosen: Float32 = out.argmax(axis=1, keepdims=True).astype(np.float32)
    return np.asarray(np.concatenate([chosen, np.full_like(out, np.nan)], axis=1), dtype=np.float32)


def _some(space: Space) -> Float32:
    """A few observations within the bounds; within [-1, 1] of zero or of the one bound where there is no other."""
    low = np.where(np.isfinite(space.low), space.low, np.where(np.isfinite(space.high), space.high - 2.0, -1.0))
    high = np.where(np.isfinite(space.high), space.high, low + 2.0)
    part = np.random.default_rng(0).uniform(0.0, 1.0, (_ROWS, space.size))
    return np.asarray(low + part * (high - low), dtype=np.float32)


def _shape(space: Space) -> str:
    return ", ".join(map(str, space.shape))


def _words(error: BaseException) -> str:
    """The last line of a text that TorchScript makes a whole traceback of."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {excerpt(lines[-1] if lines else '', 160)}"


def _fixed(kind: str, error: BaseException) -> str:
    guard = kind == EXPORT and ("guard" in str(error).lower() or "shape" in str(error).lower())
    return f", or {_DYNAMIC}, if it takes one size of batch alone" if guard else ""
