"""The module around a TorchScript or torch.export program; of file's own code, for TorchScript compiles its source."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gate5.checkpoint.spec import PolicySpec


class _Finished(nn.Module):
    """Around a program that was loaded: there is nothing to train, and torch.export's modules refuse to be asked."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program
        self.training = False

    def train(self, mode: bool = True) -> _Finished:
        """Nothing happens."""
        return self


class Bounded(_Finished):
    """Observations ``[B, *shape]`` -> actions ``[B, n]`` clipped to the action space."""

    def __init__(self, program: nn.Module, low: Tensor, high: Tensor) -> None:
        super().__init__(program)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, obs: Tensor) -> Tensor:
        """See the class."""
        out = torch.flatten(self.program(obs), 1).to(torch.float32)
        return torch.minimum(torch.maximum(out, self.low), self.high)  # type: ignore[arg-type]


class Chosen(_Finished):
    """Observations ``[B, *shape]`` -> the number of the largest score ``[B, 1]`` and the scores ``[B, n]``."""

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        scores = torch.flatten(self.program(obs), 1).to(torch.float32)
        return scores.argmax(dim=1, keepdim=True).to(torch.float32), scores


def build_program(program: Any, policy: PolicySpec) -> nn.Module:
    """The whole function as a module that can be exported.

    Raises:
        RuntimeError: TorchScript cannot compile the two together: the program gives something else than a tensor.
    """
    module: nn.Module
    if policy.choices:
        module = Chosen(program)
    else:
        module = Bounded(program, torch.from_numpy(policy.low.copy()), torch.from_numpy(policy.high.copy()))
    if isinstance(program, torch.jit.ScriptModule):
        return torch.jit.script(module)  # a traced module around a compiled one cannot be exported
    return module
