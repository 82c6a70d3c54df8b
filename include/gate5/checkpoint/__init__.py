"""Reads a Stable-Baselines3 checkpoint without running code from it.

``fetch`` gets the bytes, ``read`` understands them. Read are ``policy.pth`` (torch, ``weights_only``), the readable
fields of ``data``, and two kinds of pickles (spaces, VecNormalize) through a reader whose every admitted name is inert.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gate5.checkpoint import program as programs
from gate5.checkpoint.archive import open_archive
from gate5.checkpoint.fetch import CheckpointFiles, fetch
from gate5.checkpoint.identity import function_sha256
from gate5.checkpoint.layout import understand
from gate5.checkpoint.looks import looks_normalised
from gate5.checkpoint.module import build_module, frame_shape, signature_of
from gate5.checkpoint.normaliser import read_normaliser
from gate5.checkpoint.reference import numpy_reference
from gate5.checkpoint.sb3 import Source, sb3_policy, sb3_reference
from gate5.checkpoint.signature import Signature
from gate5.checkpoint.spec import Float32, NormaliserSpec, PolicySpec
from gate5.errors import CheckpointError
from gate5.io.canonical import number

if TYPE_CHECKING:
    import torch

__all__ = ["Checkpoint", "CheckpointFiles", "fetch", "read"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        module: raw observations float32 ``[B, obs_dim]`` -> actions float32 ``[B, act_dim]``, the whole function.
        policy, normaliser: the same as plain arrays; ``normaliser`` is ``None`` where observations go in as they are.
        policy_sha256, vecnormalize_sha256: of the files; the latter ``None`` where there is none.
        statistics: where the normaliser's statistics were found, or what says that there are none.
        source: what the archive says of its policy's class; ``None``: not of Stable-Baselines3.
        program: the module of a TorchScript or torch.export file as it was loaded; ``None``: an archive of tensors.
    """

    module: torch.nn.Module
    policy: PolicySpec
    normaliser: NormaliserSpec | None
    uri: str
    policy_sha256: str
    vecnormalize_sha256: str | None
    sb3_version: str | None
    tensors: dict[str, torch.Tensor]
    statistics: str = ""
    source: Source | None = field(default=None, repr=False)
    program: Any = field(default=None, repr=False)

    @property
    def signature(self) -> Signature:
        """What ``module`` takes and gives."""
        return signature_of(self.policy)

    @cached_property
    def function_sha256(self) -> str:
        """What it computes, as one hash."""
        return function_sha256(self.policy, self.normaliser)

    @cached_property
    def network(self) -> Any:
        """Stable-Baselines3's own policy with this checkpoint's tensors; ``None`` where it is not to be had."""
        if self.source is None:
            return None
        try:
            return sb3_policy(self.policy, self.tensors, self.source)
        except ImportError:
            return None

    @property
    def obs_dim(self) -> int:
        return self.policy.obs_dim

    @property
    def act_dim(self) -> int:
        return self.policy.act_dim

    @property
    def algorithm(self) -> str:
        return self.policy.algorithm

    @property
    def action_low(self) -> list[float]:
        return [float(value) for value in self.policy.low]

    @property
    def action_high(self) -> list[float]:
        return [float(value) for value in self.policy.high]

    def reference(self, obs: Any) -> tuple[Float32, str]:
        """The action by a way that shares no code with ``module``, and which way that was.

        ``predict`` of Stable-Baselines3's own policy class where it is installed, else float64 NumPy.

        Args:
            obs: input rows (see ``signature``), float32, or float64 where the observation space is.

        Returns:
            Output rows, the columns of scores NaN.
        """
        if self.program is not None:
            import torch

            return programs.reference(self.program, self.policy, obs), f"the file itself, PyTorch {torch.__version__}"
        if self.network is not None:
            actions = sb3_reference(self.network, self.policy, self.normaliser, obs, self.signature)
            import stable_baselines3

            return actions, f"stable_baselines3 {stable_baselines3.__version__} predict(normalize_obs(obs))"
        return self.reference_numpy(obs), "numpy float64"

    def reference_numpy(self, obs: Any) -> Float32:
        """The same in float64 NumPy, float32 out; of a program by itself, there being nothing else."""
        if self.program is not None:
            return self.reference(obs)[0]
        return numpy_reference(self.policy, self.normaliser, obs, self.signature)

    def describe(self) -> dict[str, Any]:
        """What was read, as plain JSON types."""
        policy, normaliser = self.policy, self.normaliser
        return {
            "uri": self.uri,
            "algorithm": policy.algorithm,
            "sb3_version": self.sb3_version,
            "obs_dim": self.obs_dim,
            "act_dim": self.act_dim,
            "layers": [[int(size) for size in layer.weight.shape[::-1]] for layer in policy.layers],
            "before": self._before_layers(),
            "parameters": policy.parameters,
            "activation": next((layer.activation for layer in policy.layers if layer.activation), None),
            "use_sde": policy.use_sde,
            "action_end": self._action_end(),
            "observation_space": None if policy.observation is None else policy.observation.describe(),
            "action_space": None if policy.action is None else policy.action.describe(),
            "frames": policy.frames,
            "inputs": [[port.name, list(port.shape)] for port in self.signature.inputs],
            "outputs": [[port.name, list(port.shape)] for port in self.signature.outputs],
            "action_low": [number(value) for value in policy.low],
            "action_high": [number(value) for value in policy.high],
            "policy_sha256": self.policy_sha256,
            "vecnormalize_sha256": self.vecnormalize_sha256,
            "function_sha256": self.function_sha256,
            "statistics": self.statistics,
            "normaliser": None
            if normaliser is None
            else {"clip": normaliser.clip, "epsilon": normaliser.epsilon, "count": normaliser.count},
            "notes": self._notes(),
        }

    def _before_layers(self) -> str:
        """What the layers come after: an LSTM, a CNN."""
        cells = [str(cell.hidden) for cell in self.policy.lstm]
        images = [encoder.key for encoder in self.policy.encoders if encoder.convolutions]
        text = f", after a CNN on {', '.join(images)}" if images else ""
        return f"{text}, after an LSTM of {'-'.join(cells)}" if cells else text

    def _action_end(self) -> str:
        policy = self.policy
        if policy.choices or policy.bits:
            allowed = " of those allowed" if policy.mask else ""
            return "each bit that is above zero" if policy.bits else f"the largest score{allowed}"
        if policy.squash:
            return "tanh, scaled to the action space" if policy.bijector else "scaled to the action space, without tanh"
        return "clipped to the action space"

    def _notes(self) -> list[str]:
        if self.program is not None:
            return ["What the file computes is taken as it is: a normaliser is inside it, or nowhere. It was loaded "
                    "because checkpoint.trust_pickle says so: that runs its code."]  # fmt: skip
        if self.normaliser is not None and self.normaliser.count < 1:
            return ["VecNormalize has seen no observation: its mean and variance are still the initial ones."]
        if self.normaliser is not None:
            return []
        notes = ["No vecnormalize.pkl was found: observations go into the policy as they are. If the policy was "
                 "trained with VecNormalize, put its file beside the policy; the archive does not say."]  # fmt: skip
        if self.vecnormalize_sha256 is not None:
            notes = ["vecnormalize.pkl has norm_obs off: observations go into the policy as they are."]
        return [*notes, *([looks] if (looks := looks_normalised(self.policy)) else [])]


def read(
    files: CheckpointFiles,
    *,
    trust_pickle: bool = False,
    frame_stack: int = 1,
    channels_order: str | None = None,
    spaces: dict[str, Any] | None = None,
) -> Checkpoint:
    """Understand a checkpoint's files.

    Args:
        files: from ``fetch``.
        trust_pickle: unpickle ``vecnormalize.pkl`` and load programs with no restriction; they can then run any code on
            this machine.
        frame_stack: how many observations ``VecFrameStack`` put into one while the policy was trained.
        channels_order: ``first`` or ``last``, where ``VecFrameStack`` was told so.
        spaces: of a TorchScript or torch.export file, as ``checkpoint.spaces`` has them.

    Raises:
        CheckpointError: what is wrong, in one sentence.
    """
    kind = programs.kind_of(files.policy)
    if kind is not None or spaces:
        return _read_program(files, kind, trust_pickle, frame_stack != 1 or channels_order is not None, spaces or {})
    archive = open_archive(files.policy, files.uri)
    normaliser = None
    if files.vecnormalize is not None:
        normaliser = read_normaliser(files.vecnormalize, trust_pickle=trust_pickle)
    shapes = {} if normaliser is None else {key: part.mean.shape for key, part in normaliser.by_key.items()}
    policy = understand(archive, files.uri, frames=frame_stack, order=channels_order, normalised=shapes)
    if files.vecnormalize is None and files.missing is not None and _could_be_normalised(policy):
        raise CheckpointError(files.missing)
    if normaliser is not None:
        normaliser = _fitting(normaliser, policy, files.uri)
    return Checkpoint(
        module=build_module(policy, normaliser),
        policy=policy,
        normaliser=normaliser,
        uri=files.uri,
        policy_sha256=hashlib.sha256(files.policy).hexdigest(),
        vecnormalize_sha256=None if files.vecnormalize is None else hashlib.sha256(files.vecnormalize).hexdigest(),
        sb3_version=archive.sb3_version,
        tensors=archive.tensors,
        statistics=files.statistics,
        source=Source.of(archive, files.uri),
    )


def _read_program(
    files: CheckpointFiles, kind: str | None, trust: bool, stacked: bool, spaces: dict[str, Any]
) -> Checkpoint:
    if kind is None:
        raise CheckpointError(
            f"checkpoint.spaces is set, and {files.uri} is no TorchScript or torch.export file: leave it out; "
            "an archive of Stable-Baselines3 has its own spaces."
        )
    if not spaces or not trust:
        missing = "declare checkpoint.spaces (docs/checkpoints.md)" if not spaces else ""
        raise CheckpointError(
            f"{files.uri} is a {kind} file: loading one can run any code on this machine, and it does not say its "
            f"spaces; {missing}{' and ' if missing and not trust else ''}"
            f"{'' if trust else 'set checkpoint.trust_pickle: true if you trust where the file comes from'}, or give "
            "the archive that Stable-Baselines3 saved, which needs neither."
        )
    if files.vecnormalize is not None or stacked:
        raise CheckpointError(
            f"{files.uri} is a {kind} file, which has its normaliser and its frames inside: leave out "
            "checkpoint.vecnormalize, checkpoint.frame_stack and checkpoint.channels_order, or give "
            "Stable-Baselines3's archive."
        )
    declared = programs.declared(spaces)
    loaded = programs.open_program(files.policy, kind, declared, files.uri)
    policy = programs.understand(files.policy, kind, loaded, declared)
    from gate5.checkpoint.program_module import build_program

    return Checkpoint(
        module=build_program(loaded, policy),
        policy=policy,
        normaliser=None,
        uri=files.uri,
        policy_sha256=hashlib.sha256(files.policy).hexdigest(),
        vecnormalize_sha256=None,
        sb3_version=None,
        tensors={},
        statistics="inside the file, if it has one",
        program=loaded,
    )


def _could_be_normalised(policy: PolicySpec) -> bool:
    """``VecNormalize`` takes boxes; of images it makes a space of floats, which then is no image any more."""
    assert policy.observation is not None
    return any(space.kind == "Box" and not space.is_image for _, space in policy.observation.leaves)


def _fitting(normaliser: NormaliserSpec, policy: PolicySpec, uri: str) -> NormaliserSpec:
    """The normaliser, if it is of the policy's observations; of single frames or of whole stacks."""
    assert policy.observation is not None
    leaves = dict(policy.observation.leaves)
    parts = normaliser.by_key
    strange = [key for key in parts if key not in leaves]
    if strange:
        raise CheckpointError(
            f"The policy in {uri} takes {policy.observation.describe()}, but vecnormalize.pkl normalises the key "
            f"{strange[0]!r}: they are of different trainings; give the pair that was saved together."
        )
    whole = all(part.mean.shape == leaves[key].shape for key, part in parts.items())
    single = all(part.mean.shape == frame_shape(policy, key, leaves[key]) for key, part in parts.items())
    if not whole and not single:
        raise CheckpointError(
            f"The policy in {uri} takes {policy.observation.size} observations, but vecnormalize.pkl normalises "
            f"{normaliser.mean.size}: they are of different trainings; give the pair that was saved together."
        )
    return replace(normaliser, frames=policy.frames if whole else 1)
