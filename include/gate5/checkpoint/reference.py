"""What the policy function has to give, by ways that share no code with the module that is exported.

``numpy_reference`` computes in float64 from the archive's own arrays. ``sb3_reference`` builds Stable-Baselines3's own
policy class anew, loads the tensors into it and calls its ``predict``: the reference semantics itself, without the
unpickling that ``Algorithm.load`` would do. Both take and give rows (``gate5.checkpoint.signature``), the scores left
out: where there are scores, their columns are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.checkpoint.module import frame_shape
from gate5.checkpoint.signature import Signature
from gate5.checkpoint.spec import RRELU, Encoder, Float32, Float64, Layer, NormaliserSpec, PolicySpec

Rows = Any  # float32 or float64 [B, n]


def normalise(normaliser: NormaliserSpec | None, obs: Any) -> Any:
    """``VecNormalize.normalize_obs`` of one input: float64 inside, float32 out."""
    if normaliser is None:
        return obs
    scaled = (obs - normaliser.mean) / np.sqrt(normaliser.var + normaliser.epsilon)
    return np.clip(scaled, -normaliser.clip, normaliser.clip).astype(np.float32)


@dataclass(frozen=True)
class Inputs:
    """A row in its parts, normalised and stacked as the policy itself wants them.

    Attributes:
        observations: key -> ``[B, *shape]``.
        mask: ``[B, n]`` or ``None``.
        states: of the LSTM: hidden and cell of each layer.
        frames: what the next row has as the frames before.
    """

    observations: dict[str, Any]
    mask: Any
    states: list[Float32]
    frames: list[Any]


def split_rows(policy: PolicySpec, normaliser: NormaliserSpec | None, signature: Signature, rows: Rows) -> Inputs:
    """The parts of input rows, as ``VecFrameStack`` and ``VecNormalize`` make them."""
    edges = np.cumsum([port.size for port in signature.inputs])[:-1]
    parts = [
        part.reshape(len(rows), *port.shape)
        for part, port in zip(np.split(rows, edges, axis=1), signature.inputs, strict=True)
    ]
    spaces = [("obs", None)] if policy.observation is None else list(policy.observation.leaves)
    seen, rest = parts[: len(spaces)], parts[len(spaces) :]
    mask = rest.pop(0) if policy.mask else None
    inner = normaliser is not None and normaliser.frames == 1 and policy.frames > 1
    observations, frames = {}, []
    for (key, space), value in zip(spaces, seen, strict=True):
        own = None if normaliser is None else normaliser.part(key, space) if space is not None else normaliser
        if policy.frames > 1:
            axis = policy.axis(key) + 1
            now = normalise(own, value) if inner else value
            value = np.concatenate([rest.pop(0), now], axis=axis)
            kept = value.shape[axis] - frame_shape(policy, key, space)[axis - 1]
            frames.append(np.take(value, range(value.shape[axis] - kept, value.shape[axis]), axis=axis))
        observations[key] = value if inner else normalise(own, value)
    return Inputs(observations, mask, rest, frames)


def join_rows(signature: Signature, action: Any, states: list[Any]) -> Float32:
    """Output rows of an action and the next states; NaN for the scores."""
    batch = len(action)
    after = iter(states)
    columns = []
    for port in signature.outputs:
        if port.role == "scores":
            columns.append(np.full((batch, port.size), np.nan, np.float32))
        else:
            values = action if port.role == "action" else next(after)
            columns.append(np.asarray(values, dtype=np.float32).reshape(batch, port.size))
    return np.concatenate(columns, axis=1)


def numpy_reference(
    policy: PolicySpec, normaliser: NormaliserSpec | None, obs: Rows, signature: Signature | None = None
) -> Float32:
    """Output rows for input rows (of a plain policy: actions for raw observations), in float64 inside."""
    if signature is None:
        from gate5.checkpoint.module import signature_of

        signature = signature_of(policy)
    given = split_rows(policy, normaliser, signature, obs)
    encoders = {encoder.key: encoder for encoder in policy.encoders}
    features = [_encode(encoders.get(key), value.astype(np.float64)) for key, value in given.observations.items()]
    x: Float64 = np.concatenate(features, axis=1)
    states: list[Any] = list(given.frames)
    for i, cell in enumerate(policy.lstm):
        gates = x @ cell.weight_ih.T.astype(np.float64) + cell.bias_ih
        gates = gates + given.states[2 * i].astype(np.float64) @ cell.weight_hh.T.astype(np.float64) + cell.bias_hh
        i_, f, g, o = np.split(gates, 4, axis=1)
        kept = _sigmoid(f) * given.states[2 * i + 1] + _sigmoid(i_) * np.tanh(g)
        x = _sigmoid(o) * np.tanh(kept)
        states += [x, kept]
    if policy.standard is not None:
        x = (x - policy.standard[0]) / policy.standard[1].astype(np.float64)
    for layer in policy.layers:
        x = _dense(layer, x)
    return join_rows(signature, _act(policy, x, given.mask), states)


def _act(policy: PolicySpec, x: Float64, mask: Any) -> Any:
    if policy.bits:
        return (x > 0).astype(np.float32)
    if policy.choices:
        if mask is not None:
            x = np.where(mask > 0.5, x, -1e8)
        groups = np.split(x, np.cumsum(policy.choices)[:-1], axis=1)
        return np.stack([group.argmax(axis=1) for group in groups], axis=1).astype(np.float32)
    low, high = policy.low.astype(np.float64), policy.high.astype(np.float64)
    if policy.clip_mean is not None and policy.clip_mean > 0:
        x = np.clip(x, -policy.clip_mean, policy.clip_mean)
    if not policy.squash:
        return np.clip(x, low, high)
    return low + 0.5 * ((np.tanh(x) if policy.bijector else x) + 1.0) * (high - low)


def _dense(layer: Layer, x: Float64) -> Float64:
    x = x @ layer.weight.T.astype(np.float64)
    if layer.bias is not None:
        x = x + layer.bias
    if layer.slope is not None:
        return np.where(x > 0, x, layer.slope.astype(np.float64) * x)
    return x if layer.activation is None else activate(layer.activation, x)


def _encode(encoder: Encoder | None, x: Float64) -> Float64:
    if encoder is None:
        return x.reshape(len(x), -1)
    if encoder.space.choices:
        columns = x.reshape(len(x), -1)
        hot = [
            np.round(columns[:, i : i + 1]) == np.arange(n, dtype=np.float64)
            for i, n in enumerate(encoder.space.choices)
        ]
        return np.concatenate(hot, axis=1).astype(np.float64)
    if encoder.scale:
        x = x / 255.0
    for cell in encoder.convolutions:
        height, width = cell.weight.shape[2:]
        windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
        windows = windows[:, :, :: cell.stride, :: cell.stride]
        x = np.einsum("bchwij,ocij->bohw", windows, cell.weight.astype(np.float64), optimize=True)
        x = np.maximum(x + cell.bias.astype(np.float64)[:, None, None], 0.0)
    x = x.reshape(len(x), -1)
    for layer in encoder.dense:
        x = _dense(layer, x)
    return x


def _sigmoid(x: Float64) -> Float64:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _log_softmax(x: Float64) -> Float64:
    lowered = x - x.max(axis=1, keepdims=True)
    return np.asarray(lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True)))


def activate(name: str, x: Float64) -> Float64:
    """``torch.nn``'s activation of that name with its default settings, in float64."""
    functions: dict[str, Any] = {
        "ReLU": lambda v: np.maximum(v, 0.0),
        "ReLU6": lambda v: np.clip(v, 0.0, 6.0),
        "Tanh": np.tanh,
        "Sigmoid": _sigmoid,
        "SiLU": lambda v: v * _sigmoid(v),
        "Mish": lambda v: v * np.tanh(np.logaddexp(0.0, v)),
        "ELU": lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0.0))),
        "CELU": lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0.0))),
        "LeakyReLU": lambda v: np.where(v > 0, v, 0.01 * v),
        "RReLU": lambda v: np.where(v > 0, v, RRELU * v),
        "Softmax": lambda v: np.exp(_log_softmax(v)),
        "LogSoftmax": _log_softmax,
        "Softmin": lambda v: np.exp(_log_softmax(-v)),
        "GELU": lambda v: 0.5 * v * (1.0 + np.vectorize(math.erf)(v / math.sqrt(2.0))),
        "Softplus": lambda v: np.logaddexp(0.0, v),
        "Softsign": lambda v: v / (1.0 + np.abs(v)),
        "Softshrink": lambda v: np.sign(v) * np.maximum(np.abs(v) - 0.5, 0.0),
        "Hardshrink": lambda v: np.where(np.abs(v) > 0.5, v, 0.0),
        "Tanhshrink": lambda v: v - np.tanh(v),
        "SELU": lambda v: (
            1.0507009873554804934193349852946 * np.where(v > 0, v, 1.6732632423543772 * np.expm1(np.minimum(v, 0.0)))
        ),
        "Hardtanh": lambda v: np.clip(v, -1.0, 1.0),
        "Hardsigmoid": lambda v: np.clip(v / 6.0 + 0.5, 0.0, 1.0),
        "Hardswish": lambda v: v * np.clip(v / 6.0 + 0.5, 0.0, 1.0),
        "LogSigmoid": lambda v: -np.logaddexp(0.0, -v),
        "Identity": lambda v: v,
    }
    return np.asarray(functions[name](x), dtype=np.float64)
