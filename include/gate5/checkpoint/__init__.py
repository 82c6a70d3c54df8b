"""Reads a Stable-Baselines3 checkpoint without running code from it.

``fetch`` gets the bytes, ``read`` understands them. Read are ``policy.pth`` (torch, ``weights_only``), the readable
fields of ``data``, and two kinds of pickles (spaces, VecNormalize) through a reader whose every admitted name is inert.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gate5.checkpoint.archive import open_archive
from gate5.checkpoint.fetch import CheckpointFiles, fetch
from gate5.checkpoint.layout import understand
from gate5.checkpoint.module import build_module
from gate5.checkpoint.normaliser import read_normaliser
from gate5.checkpoint.reference import numpy_reference, sb3_reference
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
    """

    module: torch.nn.Module
    policy: PolicySpec
    normaliser: NormaliserSpec | None
    uri: str
    policy_sha256: str
    vecnormalize_sha256: str | None
    sb3_version: str | None
    tensors: dict[str, torch.Tensor]

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

    def reference(self, obs: Float32) -> tuple[Float32, str]:
        """The action by a way that shares no code with ``module``, and which way that was.

        ``predict`` of Stable-Baselines3's own policy class where it is installed, else float64 NumPy.
        """
        actions = sb3_reference(self.policy, self.normaliser, self.tensors, obs)
        if actions is not None:
            import stable_baselines3

            return actions, f"stable_baselines3 {stable_baselines3.__version__} predict(normalize_obs(obs))"
        return self.reference_numpy(obs), "numpy float64"

    def reference_numpy(self, obs: Float32) -> Float32:
        """The action in float64 NumPy, float32 out."""
        return numpy_reference(self.policy, self.normaliser, obs)

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
            "parameters": policy.parameters,
            "activation": next((layer.activation for layer in policy.layers if layer.activation), None),
            "use_sde": policy.use_sde,
            "action_end": "tanh, scaled to the action space" if policy.squash else "clipped to the action space",
            "action_low": [number(value) for value in policy.low],
            "action_high": [number(value) for value in policy.high],
            "policy_sha256": self.policy_sha256,
            "vecnormalize_sha256": self.vecnormalize_sha256,
            "normaliser": None
            if normaliser is None
            else {"clip": normaliser.clip, "epsilon": normaliser.epsilon, "count": normaliser.count},
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        if self.vecnormalize_sha256 is None:
            return ["No vecnormalize.pkl was found: observations go into the policy as they are. If the policy was "
                    "trained with VecNormalize, put its file beside the policy; the archive does not say."]  # fmt: skip
        if self.normaliser is None:
            return ["vecnormalize.pkl has norm_obs off: observations go into the policy as they are."]
        if self.normaliser.count < 1:
            return ["VecNormalize has seen no observation: its mean and variance are still the initial ones."]
        return []


def read(files: CheckpointFiles, *, trust_pickle: bool = False) -> Checkpoint:
    """Understand a checkpoint's files.

    Args:
        files: from ``fetch``.
        trust_pickle: unpickle ``vecnormalize.pkl`` with no restriction; it can then run any code on this machine.

    Raises:
        CheckpointError: what is wrong, in one sentence.
    """
    archive = open_archive(files.policy, files.uri)
    policy = understand(archive, files.uri)
    normaliser = None
    if files.vecnormalize is not None:
        normaliser = read_normaliser(files.vecnormalize, trust_pickle=trust_pickle)
    if normaliser is not None and normaliser.mean.size != policy.obs_dim:
        raise CheckpointError(
            f"The policy in {files.uri} takes {policy.obs_dim} observations, but vecnormalize.pkl normalises "
            f"{normaliser.mean.size}: they are of different trainings; give the pair that was saved together."
        )
    return Checkpoint(
        module=build_module(policy, normaliser),
        policy=policy,
        normaliser=normaliser,
        uri=files.uri,
        policy_sha256=hashlib.sha256(files.policy).hexdigest(),
        vecnormalize_sha256=None if files.vecnormalize is None else hashlib.sha256(files.vecnormalize).hexdigest(),
        sb3_version=archive.sb3_version,
        tensors=archive.tensors,
    )
