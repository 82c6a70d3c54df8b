"""Opens a Stable-Baselines3 archive: ``data``'s readable fields and ``policy.pth``'s tensors, nothing else.

Whatever the file says of itself, reading it stays under 1 GiB and a few seconds: sizes are checked before anything is
unpacked, and ``policy.pth`` is handed to torch as a plain archive made anew from the records that were checked.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.opcodes import scan
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

if TYPE_CHECKING:
    import torch

MIB = 1 << 20
LIMIT_FILE = 224 * MIB
_LIMITS = {"policy.pth": 96 * MIB, "data": 16 * MIB, "_stable_baselines3_version": 1024}
_LIMIT_PICKLE = 2 * MIB
_LIMIT_RECORDS = 20_000
_LIMIT_TENSORS = 5_000
_LONGEST_NAME = 120
_AGAIN = "save it again with Stable-Baselines3's model.save()"
_COMPILED = "_orig_mod."
_LEGACY_PICKLES = 5  # magic number, version, machine, tensors, keys of what follows
_PLAIN = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_(tensor(_v2)?|parameter)|torch\.((storage|cuda)\.)?\w+Storage|"
    r"torch\.nn\.parameter\.Parameter|torch\.(float|bfloat|u?int|complex)\d+|torch\.bool"
)


@dataclass(frozen=True)
class Archive:
    """What was read.

    Attributes:
        data: SB3's ``data``, JSON; pickled entries are left as their base64 text.
        weights: the policy's tensors as float32 arrays, all finite.
        tensors: the same as torch tensors in their own types.
        sb3_version: what wrote it, ``None`` where it does not say.
    """

    data: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    tensors: dict[str, torch.Tensor]
    sb3_version: str | None


def open_archive(content: bytes, uri: str) -> Archive:
    """Read an archive's ``data`` and ``policy.pth``.

    Raises:
        CheckpointError: not a zip, truncated, without one of the two, too large, not tensors only, or NaN weights.
    """
    try:
        with open_zip(content) as file:
            if min((info.header_offset for info in file.infolist()), default=0) > 0:
                # The end is cut off and what was found is the directory of policy.pth, itself a zip, further in.
                raise zipfile.BadZipFile("its directory is missing")
            data = _data(_member(file, "data", uri), uri)
            weights = _member(file, "policy.pth", uri)
            version = _version(file)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged archive makes zipfile raise whatever it happens to hit
        kind = "a truncated or damaged zip archive" if content[:2] == b"PK" else "not a zip archive"
        raise CheckpointError(f"The checkpoint {uri} is {kind} ({excerpt(error, 200)}); {_AGAIN}.") from None
    tensors = _tensors(weights, uri)
    return Archive(data, {name: _array(name, tensor, uri) for name, tensor in tensors.items()}, tensors, version)


def sb3_version_of(content: bytes) -> str | None:
    """What wrote an archive, as far as it says; ``None`` for anything else, too."""
    try:
        with open_zip(content) as file:
            return _version(file)
    except Exception:  # noqa: BLE001 - a damaged archive makes zipfile raise whatever it happens to hit
        return None


def open_zip(content: bytes) -> zipfile.ZipFile:
    """A zip of a bounded number of members, each with a name of its own.

    Raises:
        zipfile.BadZipFile: it is none.
    """
    if content.count(b"PK\x01\x02") > _LIMIT_RECORDS:
        raise zipfile.BadZipFile(f"more than {_LIMIT_RECORDS} members")
    file = zipfile.ZipFile(io.BytesIO(content))
    seen: set[str] = set()
    for name in file.namelist():  # of two of one name every reader takes the one it likes
        if name.casefold() in seen:
            raise zipfile.BadZipFile(f"two members are named {excerpt(name)!r}")
        seen.add(name.casefold())
    return file


def _member(file: zipfile.ZipFile, name: str, uri: str) -> bytes:
    try:
        info = file.getinfo(name)
    except KeyError:
        there = ", ".join(excerpt(there, 40) for there in sorted(file.namelist())[:8]) or "nothing"
        raise CheckpointError(
            f"The checkpoint {uri} holds no {name!r} (it holds {there}), so it is not a Stable-Baselines3 archive; "
            f"{_AGAIN}."
        ) from None
    if info.file_size > _LIMITS[name]:
        raise CheckpointError(
            f"{name} in the checkpoint {uri} unpacks to {info.file_size} bytes, "
            f"more than the {_LIMITS[name]} that gate5 reads; a policy for a plant is far smaller."
        )
    return unpacked(file, info)


def unpacked(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member's bytes, some at a time: at once, one that says that it is small could unpack to gigabytes."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{excerpt(info.filename)} is compressed in a way that Stable-Baselines3 never does")
    parts = []
    with file.open(info) as member:
        while part := member.read(MIB):
            parts.append(part)
    return b"".join(parts)


def _data(content: bytes, uri: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"`data` in the checkpoint {uri} is not JSON ({excerpt(error, 200)}); {_AGAIN}."
        ) from None
    if not isinstance(data, dict):
        raise CheckpointError(f"`data` in the checkpoint {uri} is not a JSON object; {_AGAIN}.")
    return data


def _version(file: zipfile.ZipFile) -> str | None:
    try:
        return _member(file, "_stable_baselines3_version", "").decode("ascii").strip()[:32] or None
    except (CheckpointError, UnicodeDecodeError):
        return None


def _tensors(content: bytes, uri: str) -> dict[str, torch.Tensor]:
    import torch

    where = f"policy.pth in the checkpoint {uri}"
    checked = _legacy(content, where) if content[:2] != b"PK" else checked_copy(content, where, tensors_alone=True)
    del content
    try:
        found = torch.load(checked, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file raises whatever it happens to hit
        raise CheckpointError(
            f"{where} cannot be read ({type(error).__name__}: {excerpt(error, 200)}); {_AGAIN}."
        ) from None
    if not isinstance(found, dict) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise CheckpointError(f"{where} is not a table of tensors; {_AGAIN}.")
    if not all(isinstance(key, str) and len(key) <= _LONGEST_NAME and key.isprintable() for key in found):
        raise CheckpointError(f"{where} holds a tensor whose name is no short text; {_AGAIN}.")
    tensors = {key: value.detach() for key, value in found.items()}
    _check_tensors(tensors, where)
    return tensors


def checked_copy(content: bytes, where: str, *, tensors_alone: bool = False) -> io.BytesIO:
    """The torch archive, written anew with nothing in it but the records that it has to hold, uncompressed.

    A record that deflates to gigabytes is refused by its size, and torch's own reader of zips never sees a byte that
    this one did not.

    Args:
        tensors_alone: whether a pickle in it may make nothing but plain tensors.

    Raises:
        CheckpointError: it unpacks to too much, or is damaged.
    """
    copy = io.BytesIO()
    try:
        with open_zip(content) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as new:
            total = 0
            for info in old.infolist():
                total += info.file_size
                limit = _LIMIT_PICKLE if info.filename.endswith("/data.pkl") else _LIMITS["policy.pth"]
                if info.file_size > limit or total > _LIMITS["policy.pth"]:
                    raise CheckpointError(
                        f"{where} unpacks to more than {limit} bytes ({excerpt(info.filename)}: {info.file_size}), "
                        "which gate5 does not read; a policy for a plant is far smaller."
                    )
                record = unpacked(old, info)
                if tensors_alone and info.filename.endswith("/data.pkl"):
                    _check_names(io.BytesIO(record), where)
                new.writestr(zipfile.ZipInfo(info.filename), record)
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged archive makes zipfile raise whatever it happens to hit
        raise CheckpointError(f"{where} cannot be read ({excerpt(error, 200)}); {_AGAIN}.") from None
    copy.seek(0)
    return copy


def _legacy(content: bytes, where: str) -> io.BytesIO:
    """The form of torch before 1.6, which is no zip and is handed on as it is: its size bounds it."""
    if len(content) > 32 * MIB or b"PK\x05\x06" in content[-70_000:]:
        raise CheckpointError(f"{where} is not an archive that torch wrote; {_AGAIN}.")
    stream = io.BytesIO(content)
    for _ in range(_LEGACY_PICKLES):
        _check_names(stream, where)
    stream.seek(0)
    return stream


def _check_names(stream: io.BytesIO, where: str) -> None:
    """Refuse a pickle that makes something else than a table of plain tensors, or that asks for too much.

    torch itself admits more: ``bytearray(10**10)`` and counters of it, sparse, quantised and nested tensors.
    """
    try:
        names = {name.replace(" ", ".", 1) for name in scan(stream)}
    except Exception as error:  # noqa: BLE001 - a damaged pickle makes pickletools raise whatever it happens to hit
        raise CheckpointError(f"{where} cannot be read ({excerpt(error, 200)}); {_AGAIN}.") from None
    strange = sorted(name for name in names if not _PLAIN.fullmatch(name))
    if strange:
        raise CheckpointError(
            f"{where} names {excerpt(strange[0])}, which is no plain tensor and could run code; {_AGAIN}."
        )


def _check_tensors(tensors: dict[str, torch.Tensor], where: str) -> None:
    """Whether each is a plain dense tensor of real numbers that owns as many numbers as it shows."""
    import torch

    if len(tensors) > _LIMIT_TENSORS:
        raise CheckpointError(f"{where} holds {len(tensors)} tensors, more than the {_LIMIT_TENSORS} that gate5 reads.")
    compiled = next((name for name in tensors if _COMPILED in name), None)
    if compiled is not None:
        part = ".".join(["model.policy", *compiled.partition(_COMPILED)[0].split(".")[:-1]])
        raise CheckpointError(
            f"{where} was saved from a policy under torch.compile (it holds {excerpt(compiled)}): put the policy "
            f"itself back, `{part} = {part}._orig_mod`, and save it again."
        )
    total = 0
    for name, tensor in tensors.items():
        strange = _strange(tensor)
        if strange is None:
            total += tensor.numel() * tensor.element_size()
            shown, there = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
            if shown > there:
                strange = f"shows {shown} bytes of numbers and owns {there}"
        if strange is not None:
            raise CheckpointError(f"The tensor {name} in {where} {strange}; gate5 reads plain dense tensors: {_AGAIN}.")
        if total > _LIMITS["policy.pth"]:
            raise CheckpointError(
                f"The tensors in {where} have more than {_LIMITS['policy.pth']} bytes, which gate5 does not read."
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int(tensor.numel() - torch.isfinite(tensor).sum())
            raise CheckpointError(
                f"The tensor {name} in {where} holds {bad} values that are NaN or infinite: "
                "the training diverged; choose an earlier checkpoint."
            )


def _strange(tensor: torch.Tensor) -> str | None:
    import torch

    if tensor.is_nested:
        return "is nested"
    if tensor.layout != torch.strided:
        return f"is sparse ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"has no numbers (device {tensor.device})"
    if tensor.is_quantized:
        return "is quantised"
    if tensor.is_complex():
        return "holds complex numbers, whose imaginary part no policy uses"
    real = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if tensor.dtype not in (*real, torch.int64, torch.int32, torch.bool, torch.uint8):
        return f"holds numbers of the type {tensor.dtype}"
    return None


def _array(name: str, tensor: torch.Tensor, uri: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(tensor.float().numpy(), dtype=np.float32)
    except Exception as error:  # noqa: BLE001 - torch has types that only it can hold
        raise CheckpointError(
            f"The tensor {name} in the checkpoint {uri} is not of numbers ({excerpt(error, 200)})."
        ) from None
    if not np.isfinite(array).all():
        raise CheckpointError(
            f"The tensor {name} in the checkpoint {uri} holds numbers that float32 cannot: the training diverged; "
            "choose an earlier checkpoint."
        )
    return array
