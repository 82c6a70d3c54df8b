"""The whole policy function as a torch module: raw observation -> action that the plant receives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.checkpoint.frames import frame
from gate5.checkpoint.signature import Port, Signature
from gate5.checkpoint.spec import RRELU, Encoder, Float32, Layer, LstmLayer, NormaliserSpec, PolicySpec

if TYPE_CHECKING:
    import torch

_FORBIDDEN = -1e8  # the logit that sb3-contrib gives a choice that is not allowed


def signature_of(policy: PolicySpec) -> Signature:
    """What the module of ``build_module`` takes and gives."""
    ports, states, scores = [], [], 0
    if policy.observation is None:
        ports.append(Port("obs", (policy.obs_dim,), "observation"))
    else:
        for name, (key, space) in zip(_names(policy), policy.observation.leaves, strict=True):
            shape = frame_shape(policy, key, space)
            ports.append(Port(name, shape or (1,), "observation", space.whole))
            if policy.frames > 1:
                states.append(Port(f"{name}_before", _before(policy, key, space), "state", space.whole))
    if policy.mask:
        ports.append(Port("action_mask", (sum(policy.choices),), "mask", True))
    for i, cell in enumerate(policy.lstm):
        states += [Port(f"lstm_{part}_{i}", (cell.hidden,), "state") for part in ("hidden", "cell")]
    if policy.choices or policy.bits:
        scores = sum(policy.choices) or policy.act_dim
    outputs = [Port("action", (policy.act_dim,), "action", bool(scores))]
    if scores:
        outputs.append(Port("scores", (scores,), "scores"))
    outputs += [Port(f"{port.name}_next", port.shape, "state", port.whole) for port in states]
    with np.errstate(over="ignore", invalid="ignore"):
        half = (policy.high.astype(np.float64) - policy.low.astype(np.float64)) / 2
    scale = np.where(np.isfinite(half) & (half > 0), half, 1.0) if not scores else np.ones(policy.act_dim)
    return Signature(
        (*ports, *states), tuple(outputs), policy.choices, policy.bits, tuple(scale.tolist()), policy.frames
    )


def _names(policy: PolicySpec) -> list[str]:
    """A name in the graph for each input: ``obs``, or the key in the letters that ONNX allows, with ``_`` behind it
    where another input or output has that name."""
    assert policy.observation is not None
    if policy.observation.kind != "Dict":
        return ["obs"]
    taken = {"obs", "action", "scores", "action_mask"}
    taken |= {f"lstm_{part}_{i}{end}" for i in range(len(policy.lstm)) for part in ("hidden", "cell")
              for end in ("", "_next")}  # fmt: skip
    found = []
    for key, _ in policy.observation.leaves:
        name = re.sub(r"[^A-Za-z0-9_]", "_", key)
        name = name if name[0].isalpha() else f"key_{name}"
        while taken & {name, f"{name}_before", f"{name}_before_next"}:
            name += "_"
        taken |= {name, f"{name}_before", f"{name}_before_next"}
        found.append(name)
    return found


def frame_shape(policy: PolicySpec, key: str, space: Any) -> tuple[int, ...]:
    """The shape of one observation of an input that may be stacked."""
    shape: tuple[int, ...] = space.shape
    return frame(shape, policy.axis(key), policy.frames) if policy.frames > 1 else shape


def _before(policy: PolicySpec, key: str, space: Any) -> tuple[int, ...]:
    """The shape of the frames before the present one."""
    shape = list(space.shape)
    shape[policy.axis(key)] -= shape[policy.axis(key)] // policy.frames
    return tuple(shape)


def build_module(policy: PolicySpec, normaliser: NormaliserSpec | None) -> torch.nn.Module:
    """Build the module: float32 ``[B, obs_dim]`` raw observations -> float32 ``[B, act_dim]`` actions.

    Where ``signature_of`` says more than ``obs`` and ``action``, it takes and gives all of those, in that order.

    Its children ``normaliser``, ``body`` (the layers) and ``head`` (squash, unscale, clip, choose) keep their names in
    the exported graph, where the names say which part may run in a lower precision.
    """
    import torch
    from torch import Tensor, nn

    class PolicyFunction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.normaliser = _normaliser(normaliser) if normaliser is not None else nn.Identity()
            self.standard = _standard(policy.standard) if policy.standard is not None else nn.Identity()
            self.body = _body(policy.layers)
            self.head = _head(policy)

        def forward(self, obs: Tensor) -> Tensor:
            result: Tensor = self.head(self.body(self.standard(self.normaliser(obs))))
            return result

    module: nn.Module
    if signature_of(policy).plain and not policy.encoders:
        module = PolicyFunction().eval()
    else:
        from gate5.checkpoint.module_parts import ManyPorts

        standard = None if policy.standard is None else _standard(policy.standard)
        module = ManyPorts(
            policy, normaliser, signature_of(policy), _normaliser, standard, _body(policy.layers), _head(policy)
        ).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    del torch
    return module


def _normaliser(spec: NormaliserSpec) -> torch.nn.Module:
    import torch
    from torch import Tensor, nn

    class Normaliser(nn.Module):
        """``((x - mean_hi) - mean_lo) / std``: the mean in two float32 parts, or a tiny variance costs 1e-3."""

        mean_hi: Tensor
        mean_lo: Tensor
        std: Tensor

        def __init__(self) -> None:
            super().__init__()
            high = spec.mean.astype(np.float32)
            low = (spec.mean - high.astype(np.float64)).astype(np.float32)
            self.register_buffer("mean_hi", torch.from_numpy(high))
            self.register_buffer("mean_lo", torch.from_numpy(low))
            self.register_buffer("std", torch.from_numpy(np.sqrt(spec.var + spec.epsilon).astype(np.float32)))
            self.clip = spec.clip

        def forward(self, x: Tensor) -> Tensor:
            return torch.clamp(((x - self.mean_hi) - self.mean_lo) / self.std, -self.clip, self.clip)

    return Normaliser()


def _standard(statistics: tuple[Float32, Float32]) -> torch.nn.Module:
    import torch
    from torch import Tensor, nn

    class Standard(nn.Module):
        """``(x - mean) / deviation`` in FP32: of features in physical units FP16 would leave nothing."""

        mean: Tensor
        deviation: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.from_numpy(statistics[0].copy()))
            self.register_buffer("deviation", torch.from_numpy(statistics[1].copy()))

        def forward(self, x: Tensor) -> Tensor:
            return (torch.flatten(x, 1) - self.mean) / self.deviation

    return Standard()


def _head(spec: PolicySpec) -> torch.nn.Module:
    import torch
    from torch import Tensor, nn

    class Head(nn.Module):
        """SB3's ``predict`` after the network: squash and unscale, or clip."""

        low: Tensor
        high: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("low", torch.from_numpy(spec.low.copy()))
            self.register_buffer("high", torch.from_numpy(spec.high.copy()))
            self.squash, self.clip_mean, self.bijector = spec.squash, spec.clip_mean, spec.bijector
            uniform = bool((spec.low == spec.low[0]).all() and (spec.high == spec.high[0]).all())
            self.bounds = (float(spec.low[0]), float(spec.high[0])) if uniform else None

        def forward(self, x: Tensor) -> Tensor:
            if self.clip_mean is not None and self.clip_mean > 0:
                x = torch.clamp(x, -self.clip_mean, self.clip_mean)
            if self.squash:
                scaled = torch.tanh(x) if self.bijector else x
                return self.low + 0.5 * (scaled + 1.0) * (self.high - self.low)
            if self.bounds is not None:
                return torch.clamp(x, *self.bounds)
            return torch.minimum(torch.maximum(x, self.low), self.high)

    class Choose(nn.Module):
        """The largest score of each group, or each bit; ``(action, scores)``."""

        def __init__(self) -> None:
            super().__init__()
            self.choices, self.bits = list(spec.choices), spec.bits

        def forward(self, scores: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
            if mask is not None:
                scores = torch.where(mask > 0.5, scores, torch.full_like(scores, _FORBIDDEN))
            if self.bits:
                return (scores > 0.0).to(scores.dtype), scores
            groups = torch.split(scores, self.choices, dim=1) if len(self.choices) > 1 else (scores,)
            picked = [group.argmax(dim=1, keepdim=True).to(scores.dtype) for group in groups]
            return (torch.cat(picked, dim=1) if len(picked) > 1 else picked[0]), scores

    return Choose() if spec.choices or spec.bits else Head()


def _body(layers: tuple[Layer, ...]) -> torch.nn.Sequential:
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for layer in layers:
        linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], bias=layer.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight))
            if layer.bias is not None:
                linear.bias.copy_(torch.from_numpy(layer.bias))
        modules.append(linear)
        if layer.activation is not None:
            activation = _activation(layer.activation)
            if layer.slope is not None:
                assert isinstance(activation, nn.PReLU)
                with torch.no_grad():
                    activation.weight.copy_(torch.from_numpy(layer.slope))
            modules.append(activation)
    return nn.Sequential(*modules)


def _activation(name: str) -> torch.nn.Module:
    """As ``torch.nn`` has it, in a form that ONNX has in FP16 and at any size of a number."""
    from torch import Tensor, nn

    class LogSigmoid(nn.Module):
        """``-softplus(-x)``: ONNX would take the logarithm of a sigmoid that is zero below -18."""

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = nn.functional.softplus(-x)
            return -found

    if name == "LogSigmoid":
        return LogSigmoid()
    if name == "RReLU":  # outside of training
        return nn.LeakyReLU(RRELU)
    if name in ("Softmax", "LogSoftmax", "Softmin"):
        return getattr(nn, name)(dim=1)  # type: ignore[no-any-return]
    return getattr(nn, {"CELU": "ELU"}.get(name, name))()  # type: ignore[no-any-return]  # with its alpha of 1


def build_preparation(encoder: Encoder) -> torch.nn.Module:
    """One-hot or divided by 255, or nothing: exact in FP32 alone, and so no part of the body."""
    import torch
    from torch import Tensor, nn

    class Prepare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.choices, self.scale = list(encoder.space.choices), encoder.scale

        def forward(self, x: Tensor) -> Tensor:
            if self.choices:
                columns = torch.split(x, 1, dim=1) if len(self.choices) > 1 else (x,)
                hot = [
                    (torch.round(column) == torch.arange(n, dtype=x.dtype)).to(x.dtype)
                    for column, n in zip(columns, self.choices, strict=True)
                ]
                return torch.cat(hot, dim=1) if len(hot) > 1 else hot[0]
            return x / 255.0 if self.scale else x

    return Prepare()


def build_encoder(encoder: Encoder) -> torch.nn.Module:
    """One input, prepared already, to features ``[B, n]``."""
    import torch
    from torch import Tensor, nn

    class Encode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = nn.Sequential()
            for cell in encoder.convolutions:
                out, into, height, width = cell.weight.shape
                layer = nn.Conv2d(into, out, (height, width), cell.stride)
                with torch.no_grad():
                    layer.weight.copy_(torch.from_numpy(cell.weight))
                    assert layer.bias is not None
                    layer.bias.copy_(torch.from_numpy(cell.bias))
                self.convolutions.extend([layer, nn.ReLU()])
            self.dense = _body(encoder.dense)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.dense(torch.flatten(self.convolutions(x), 1))
            return result

    return Encode()


def build_lstm(cell: LstmLayer) -> torch.nn.Module:
    """One step of one LSTM layer: ``(x, hidden, cell) -> (hidden, cell)``, each ``[B, n]``."""
    import torch
    from torch import Tensor, nn

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.back = (
                nn.Linear(weight.shape[1], weight.shape[0]) for weight in (cell.weight_ih, cell.weight_hh)
            )
            with torch.no_grad():
                for linear, weight, bias in (
                    (self.into, cell.weight_ih, cell.bias_ih), (self.back, cell.weight_hh, cell.bias_hh)
                ):  # fmt: skip
                    linear.weight.copy_(torch.from_numpy(weight))
                    linear.bias.copy_(torch.from_numpy(bias))

        def forward(self, x: Tensor, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            gates = self.into(x) + self.back(hidden)
            i, f, g, o = torch.split(gates, cell.hidden, dim=1)
            state = torch.sigmoid(f) * state + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(state), state

    return Cell()
