"""``ManyPorts``: the module of a policy with more than one flat input and one action; needs torch to be imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gate5.checkpoint.module import build_encoder, build_lstm, build_preparation
from gate5.checkpoint.signature import Signature
from gate5.checkpoint.spec import Encoder, NormaliserSpec, PolicySpec


class ManyPorts(nn.Module):
    """Takes the inputs of its signature, each ``[B, *shape]``, and gives its outputs, in that order."""

    def __init__(
        self,
        policy: PolicySpec,
        normaliser: NormaliserSpec | None,
        signature: Signature,
        normalise: Callable[[NormaliserSpec], nn.Module],
        standard: nn.Module | None,
        body: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        assert policy.observation is not None
        spaces = policy.observation.leaves
        self.signature, self.frames = signature, policy.frames
        self.axes = [(policy.axis(key) if policy.frames > 1 else 0) + 1 for key, _ in spaces]
        self.inner = normaliser is not None and normaliser.frames == 1 and policy.frames > 1
        self.normaliser = nn.ModuleList(
            normalise(part) if part is not None else nn.Identity()
            for part in (None if normaliser is None else normaliser.part(key, space) for key, space in spaces)
        )
        encoders = policy.encoders or tuple(Encoder(key, space) for key, space in spaces)
        self.prepare = nn.ModuleList(build_preparation(encoder) for encoder in encoders)
        images = nn.ModuleList(build_encoder(encoder) for encoder in encoders)
        self.standard = standard
        self.images = images if policy.lstm else nn.ModuleList()
        self.body = Body(nn.ModuleList() if policy.lstm else images, body)
        self.memory = nn.ModuleList(build_lstm(cell) for cell in policy.lstm)  # a state in FP16 would drift
        self.head = head
        self.mask, self.chooses = policy.mask, bool(policy.choices or policy.bits)

    def forward(self, *inputs: Tensor) -> Any:
        """See the class."""
        given = list(inputs)
        count = len(self.axes)
        seen, rest = given[:count], given[count:]
        mask = rest.pop(0) if self.mask else None
        after: list[Tensor] = []
        if self.frames > 1:
            seen, after, rest = self._stack(seen, rest)
        else:
            seen = [part(x) for part, x in zip(self.normaliser, seen, strict=True)]
        seen = [prepare(x) for prepare, x in zip(self.prepare, seen, strict=True)]
        if len(self.memory):
            features = [encode(x) for encode, x in zip(self.images, seen, strict=True)]
            x = torch.cat(features, dim=1) if len(features) > 1 else features[0]
            for i, cell in enumerate(self.memory):
                x, state = cell(x, rest[2 * i], rest[2 * i + 1])
                after += [x, state]
            seen = [x]
        if self.standard is not None:  # of CrossQ, which has one input and no image
            seen = [self.standard(*seen)]
        scores = self.body(*seen)
        out = self.head(scores, mask) if mask is not None else self.head(scores)
        first = list(out) if self.chooses else [out]
        return (*first, *after) if len(first) + len(after) > 1 else first[0]

    def _stack(self, seen: list[Tensor], rest: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Frames in one, oldest first; a normaliser of single frames comes before, one of stacks after."""
        stacked, after = [], []
        for i, (part, axis, x, before) in enumerate(zip(self.normaliser, self.axes, seen, rest, strict=False)):
            now = part(x) if self.inner else x
            whole = torch.cat([before, now], dim=axis)
            size = self.signature.inputs[i].shape[axis - 1]
            after.append(whole.narrow(axis, size, size * (self.frames - 1)))
            stacked.append(whole if self.inner else part(whole))
        return stacked, after, rest[len(seen) :]


class Body(nn.Module):
    """What may run in a lower precision: the images' networks and the layers."""

    def __init__(self, images: nn.ModuleList, layers: nn.Module) -> None:
        super().__init__()
        self.images, self.layers = images, layers

    def forward(self, *seen: Tensor) -> Tensor:
        """Scores or actions before the head, ``[B, n]``."""
        features = [encode(x) for encode, x in zip(self.images, seen, strict=True)] if len(self.images) else list(seen)
        x: Tensor = self.layers(torch.cat(features, dim=1) if len(features) > 1 else features[0])
        return x


class FlatRows(nn.Module):
    """A module of many ports as one of rows: ``[B, inputs] -> [B, outputs]``."""

    def __init__(self, module: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.module, self.signature = module, signature

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        sizes = [port.size for port in self.signature.inputs]
        parts = torch.split(rows, sizes, dim=1)
        ports = zip(parts, self.signature.inputs, strict=True)
        out = self.module(*(part.reshape(len(rows), *port.shape) for part, port in ports))
        outputs = out if isinstance(out, tuple) else (out,)
        return torch.cat([value.reshape(len(rows), -1) for value in outputs], dim=1)
