"""``gate5 inspect``: what a checkpoint is, and whether and how it can be released."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from gate5.checkpoint import Checkpoint, CheckpointFiles, read
from gate5.checkpoint.archive import sb3_version_of
from gate5.checkpoint.program import EXPORT, TORCHSCRIPT, kind_of
from gate5.errors import CheckpointError, Gate5Error

NO = CheckpointError.exit_code


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        uri: where the policy lies.
        policy_sha256: of the archive.
        sb3_version: of what wrote it, as far as it says; of a program what it is, TorchScript or torch.export.
        releasable: whether ``gate5 resolve`` takes it as it is.
        how: what is in the way and how to put it right, or how it is released.
        checkpoint: ``Checkpoint.describe()``; ``None`` where the policy cannot be read.
    """

    uri: str
    policy_sha256: str
    sb3_version: str | None
    releasable: bool
    how: str
    checkpoint: dict[str, Any] | None

    @property
    def exit_code(self) -> int:
        """0, or 2 where it cannot be released as it is."""
        return 0 if self.releasable else NO

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Inspection:
        """The inverse of ``to_dict``."""
        return cls(**data)

    def line(self) -> str:
        """A line per fact."""
        found = self.checkpoint
        rows = [("policy", self.uri), ("SHA-256", self.policy_sha256), ("written by", _version(self.sb3_version))]
        if found is not None:
            rows += [
                ("algorithm", found["algorithm"]),
                ("observations", found["observation_space"] + _frames(found["frames"])),
                ("actions", f"{found['action_space']}, {found['action_end']}"),
                ("layers", _layers(found)),
                ("parameters", f"{found['parameters']:,}"),
                ("normaliser", _normaliser(found)),
                ("ONNX inputs", _ports(found["inputs"])),
                ("ONNX outputs", _ports(found["outputs"])),
                *(("note", note) for note in found["notes"]),
            ]
        rows.append(("can be released" if self.releasable else "cannot be released", self.how))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def inspect(
    files: CheckpointFiles,
    *,
    trust_pickle: bool = False,
    frame_stack: int = 1,
    channels_order: str | None = None,
    spaces: dict[str, Any] | None = None,
) -> Inspection:
    """Look at a checkpoint's files; what is wrong with them is part of the answer.

    Args:
        files, trust_pickle, frame_stack, channels_order, spaces: as for ``gate5.checkpoint.read``.
    """
    problem = None
    checkpoint: Checkpoint | None = None
    settings: dict[str, Any] = {
        "trust_pickle": trust_pickle, "frame_stack": frame_stack, "channels_order": channels_order, "spaces": spaces
    }  # fmt: skip
    try:
        checkpoint = read(files, **settings)
    except Gate5Error as error:
        problem = str(error)
        if files.missing is not None:  # what it is can still be said
            try:
                checkpoint = read(replace(files, missing=None), **settings)
            except Gate5Error:
                checkpoint = None
    how = ""
    if problem is None:
        try:
            how = _how(checkpoint)
        except Gate5Error as error:
            problem = str(error)
    program = kind_of(files.policy)
    version = program or (checkpoint.sb3_version if checkpoint is not None else sb3_version_of(files.policy))
    return Inspection(
        uri=files.uri,
        policy_sha256=hashlib.sha256(files.policy).hexdigest(),
        sb3_version=version,
        releasable=problem is None,
        how=problem or how,
        checkpoint=None if checkpoint is None else checkpoint.describe(),
    )


def _how(checkpoint: Checkpoint | None) -> str:
    assert checkpoint is not None
    parts = ["gate5 release, on a plant with these spaces"]
    if checkpoint.signature.state:
        parts.append("its state is an input and an output of the engine and zero at the start of an episode")
    if checkpoint.policy.mask:
        parts.append("the plant's observations end with the mask of allowed actions (plant.options.action_masks: true)")
    if checkpoint.program is not None:
        parts.append("with checkpoint.spaces and checkpoint.trust_pickle as here; compared with itself in PyTorch")
    elif checkpoint.network is None:
        parts.append("compared with NumPy, because Stable-Baselines3 cannot hold this policy here")
    return "; ".join(parts)


def _version(version: str | None) -> str:
    if version in (TORCHSCRIPT, EXPORT):
        return f"PyTorch, a {version} file"
    return f"Stable-Baselines3 {version}" if version else "an unknown version of Stable-Baselines3"


def _frames(frames: int) -> str:
    return f", {frames} frames in one" if frames > 1 else ""


def _layers(found: dict[str, Any]) -> str:
    if not found["layers"]:
        return "unknown: a program"
    sizes = [found["layers"][0][0], *(layer[1] for layer in found["layers"])]
    return f"{'-'.join(map(str, sizes))}, {found['activation'] or 'linear'}{found['before']}"


def _normaliser(found: dict[str, Any]) -> str:
    if found["normaliser"] is None:
        return found["statistics"] or "none"
    return f"{found['statistics']}, of {found['normaliser']['count']:,.0f} observations"


def _ports(ports: list[Any]) -> str:
    return ", ".join(f"{name} [batch{''.join(f', {size}' for size in shape)}]" for name, shape in ports)
