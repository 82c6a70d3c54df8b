"""What a policy computes, as plain arrays: the form in which a checkpoint is understood."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gate5.checkpoint.spaces import Space

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
RRELU = (1 / 8 + 1 / 3) / 2  # the slope of torch.nn.RReLU outside of training


@dataclass(frozen=True, eq=False)
class Layer:
    """``activation(weight @ x + bias)``; weight ``[out, in]``; activation ``None`` is the identity.

    ``slope`` is PReLU's own parameter, ``[1]``.
    """

    weight: Float32
    bias: Float32 | None
    activation: str | None
    slope: Float32 | None = None


@dataclass(frozen=True, eq=False)
class Convolution:
    """``relu(conv2d(x, weight, stride) + bias)`` without padding; weight ``[out, in, height, width]``."""

    weight: Float32
    bias: Float32
    stride: int


@dataclass(frozen=True, eq=False)
class Encoder:
    """What becomes of one input: one-hot, or divided by 255, convolutions, then flat, then ``dense``."""

    key: str
    space: Space
    scale: bool = False
    convolutions: tuple[Convolution, ...] = ()
    dense: tuple[Layer, ...] = ()


@dataclass(frozen=True, eq=False)
class LstmLayer:
    """One layer of ``torch.nn.LSTM``: gates in the order i, f, g, o; ``[4 hidden, in]``, ``[4 hidden, hidden]``."""

    weight_ih: Float32
    weight_hh: Float32
    bias_ih: Float32
    bias_hh: Float32

    @property
    def hidden(self) -> int:
        return int(self.weight_hh.shape[1])


@dataclass(frozen=True, eq=False)
class PolicySpec:
    """A deterministic policy without its normaliser.

    Attributes:
        algorithm: ``PPO``, ``SAC``, ...
        layers: from the features to the mean action, the logits or the values of the actions.
        clip_mean: gSDE's bound on the mean before the squash (SAC with ``use_sde``), else ``None``.
        squash: tanh, then scaled from [-1, 1] to the action space; otherwise clipped to the action space.
        low, high: the action space, row after row; of discrete actions the smallest and the largest.
        observation_low, observation_high: the observation space as the policy was trained with it, row after row.
        notes: what a reader of the report should know.
        bijector: whether ``squash`` applies tanh; SB3 leaves it out where ``squash_output`` is set without gSDE.
        observation, action: the spaces; ``None``: flat boxes of the bounds above.
        encoders: one per input; empty: the observation is flat numbers and goes in as it is.
        lstm: layers between the features and ``layers``.
        choices: sizes of the groups of ``layers``' outputs, of each of which the largest is chosen; empty: a Box.
        bits: every output is a bit of a ``MultiBinary`` action, set where it is above zero.
        mask: whether a second input says which choices are allowed.
        frames: how many observations are stacked into one (``VecFrameStack``).
        stack: along which axis those of each input are stacked.
        standard: mean and deviation by which the features are standardised before ``layers`` (CrossQ).
        inside: parameters of a program (TorchScript, torch.export) of which nothing else is known.
        program: the hash of such a program's code and numbers.
    """

    algorithm: str
    layers: tuple[Layer, ...]
    clip_mean: float | None
    squash: bool
    low: Float32
    high: Float32
    observation_low: Float32
    observation_high: Float32
    use_sde: bool = False
    notes: tuple[str, ...] = field(default=())
    bijector: bool = True
    observation: Space | None = None
    action: Space | None = None
    encoders: tuple[Encoder, ...] = ()
    lstm: tuple[LstmLayer, ...] = ()
    choices: tuple[int, ...] = ()
    bits: bool = False
    mask: bool = False
    frames: int = 1
    stack: tuple[int, ...] = ()
    standard: tuple[Float32, Float32] | None = None
    inside: int = 0
    program: str = ""

    @property
    def obs_dim(self) -> int:
        """Numbers in one raw observation: all inputs, one frame."""
        if self.observation is not None:
            return self.observation.size // self.frames
        return int(self.layers[0].weight.shape[1])

    @property
    def act_dim(self) -> int:
        """Numbers in one action."""
        if self.choices:
            return len(self.choices)
        return int(self.layers[-1].weight.shape[0]) if self.layers else int(self.low.size)

    @property
    def parameters(self) -> int:
        dense = [*self.layers, *(layer for encoder in self.encoders for layer in encoder.dense)]
        arrays = [array for layer in dense for array in (layer.weight, layer.bias, layer.slope)]
        arrays += [array for e in self.encoders for c in e.convolutions for array in (c.weight, c.bias)]
        arrays += [a for cell in self.lstm for a in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)]
        return self.inside + sum(int(array.size) for array in (*arrays, *(self.standard or ())) if array is not None)

    def axis(self, key: str) -> int:
        """The axis along which the frames of an input are stacked."""
        assert self.observation is not None
        return self.stack[[name for name, _ in self.observation.leaves].index(key)]


@dataclass(frozen=True, eq=False)
class NormaliserSpec:
    """``clip((obs - mean) / sqrt(var + epsilon), -clip, clip)``, as ``VecNormalize.normalize_obs`` does it.

    Attributes:
        mean, var: float64, in the shape of an observation; of a ``Dict`` all its normalised keys one after the other.
        count: how many observations the statistics were made of.
        parts: of a ``Dict``: each key that is normalised.
        frames: how many frames of a stack it normalises together; 1: each by itself, before they are stacked.
    """

    mean: Float64
    var: Float64
    epsilon: float
    clip: float
    count: float
    parts: tuple[tuple[str, NormaliserSpec], ...] = ()
    frames: int = 1

    @property
    def by_key(self) -> dict[str, NormaliserSpec]:
        """That of each input that is normalised; ``obs`` is the name of the one of a policy without keys."""
        return dict(self.parts) or {"obs": self}

    def part(self, key: str, space: Space) -> NormaliserSpec | None:
        """That of one input; ``None`` where it is not normalised."""
        return dict(self.parts).get(key) if self.parts else self
