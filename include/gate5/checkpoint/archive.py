"""Opens a Stable-Baselines3 archive: ``data``'s readable fields and ``policy.pth``'s tensors, nothing else."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_LIMIT_BYTES = 1 << 30
_AGAIN = "save it again with Stable-Baselines3's model.save()"


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
        with zipfile.ZipFile(io.BytesIO(content)) as file:
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
        raise CheckpointError(f"The checkpoint {uri} is {kind} ({error}); {_AGAIN}.") from None
    tensors = _tensors(weights, uri)
    return Archive(data, {name: _array(name, tensor, uri) for name, tensor in tensors.items()}, tensors, version)


def _member(file: zipfile.ZipFile, name: str, uri: str) -> bytes:
    try:
        info = file.getinfo(name)
    except KeyError:
        there = ", ".join(sorted(file.namelist())[:8]) or "nothing"
        raise CheckpointError(
            f"The checkpoint {uri} holds no {name!r} (it holds {there}), so it is not a Stable-Baselines3 archive; "
            f"{_AGAIN}."
        ) from None
    if info.file_size > _LIMIT_BYTES:
        raise CheckpointError(
            f"{name} in the checkpoint {uri} unpacks to {info.file_size} bytes, "
            f"more than the {_LIMIT_BYTES} that gate5 reads."
        )
    return file.read(info)


def _data(content: bytes, uri: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"`data` in the checkpoint {uri} is not JSON ({error}); {_AGAIN}.") from None
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

    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file raises whatever it happens to hit
        name = re.search(r"(?:GLOBAL|global) `?([\w.]+)", str(error))
        reason = (
            f"names {name.group(1)}, which is not a tensor and could run code"
            if name
            else f"cannot be read ({str(error).splitlines()[0][:200] if str(error) else type(error).__name__})"
        )
        raise CheckpointError(f"policy.pth in the checkpoint {uri} {reason}; {_AGAIN}.") from None
    if not isinstance(found, dict) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise CheckpointError(f"policy.pth in the checkpoint {uri} is not a table of tensors; {_AGAIN}.")
    return {str(key): value.detach() for key, value in found.items()}


def _array(name: str, tensor: torch.Tensor, uri: str) -> NDArray[np.float32]:
    array = np.asarray(tensor.float().numpy(), dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise CheckpointError(
            f"The tensor {name} in the checkpoint {uri} holds {bad} values that are NaN or infinite: "
            "the training diverged; choose an earlier checkpoint."
        )
    return array
