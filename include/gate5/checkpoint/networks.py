"""From an archive's tensors to layers: the chains that Stable-Baselines3's ``create_mlp`` makes, CNN, LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gate5.checkpoint.spaces import Space
from gate5.checkpoint.spec import Convolution, Encoder, Float32, Layer, LstmLayer
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

Weights = Mapping[str, Float32]
_NORM = ("ra_mean", "ra_var", "scale", "bias", "steps")
_STRIDES = (4, 2, 1)  # of NatureCNN
_EPS = 1e-3  # of BatchRenorm
Standard = tuple[Float32, Float32]


def chain(weights: Weights, prefix: str, activation: str, uri: str, *, eps: float = _EPS) -> tuple[Layer, ...]:
    """The layers of an ``nn.Sequential`` that SB3's ``create_mlp`` made.

    Linear layers at 0, 2, 4, ... with activations between them; PReLU's own slope at 1, 3, ...; with CrossQ a
    BatchRenorm before each linear layer, which is folded into it.

    Raises:
        CheckpointError: something else is there (dropout, layer normalisation, a network of one's own).
    """
    layers, standard = normed_chain(weights, prefix, activation, uri, eps=eps)
    if standard is not None:
        raise _strange(f"{prefix}0 with a BatchRenorm", uri)
    return layers


def normed_chain(
    weights: Weights, prefix: str, activation: str, uri: str, *, eps: float = _EPS
) -> tuple[tuple[Layer, ...], Standard | None]:
    """As ``chain``, and the mean and the deviation that the first BatchRenorm takes from its inputs.

    They stay outside of the layer: of an observation of 300 K +- 0.1 K nothing would be left if the weights were made
    larger and an offset subtracted at the end.
    """
    groups: dict[int, dict[str, Float32]] = {}
    for key in weights:
        if not key.startswith(prefix):
            continue
        place, _, part = key[len(prefix) :].partition(".")
        if not place.isdigit() or len(place) > 6 or not part:
            raise _strange(key, uri)
        groups.setdefault(int(place), {})[part] = weights[key]
    layers: list[Layer] = []
    norm: dict[str, Float32] | None = None
    standard: Standard | None = None
    position = 0  # where the next linear layer (or the norm before it) is
    for index in sorted(groups):
        parts = groups[index]
        if set(parts) == set(_NORM) and index == position and norm is None:
            norm, position = parts, position + 1
            if not layers:
                norm, standard = _standard(parts, eps)
        elif set(parts) <= {"weight", "bias"} and parts["weight"].ndim == 2 and index == position:
            layer = Layer(parts["weight"], parts.get("bias"), activation)
            layers.append(layer if norm is None else _fold(norm, layer, eps))
            norm, position = None, position + 2
        elif set(parts) == {"weight"} and activation == "PReLU" and layers and index == position - 1:
            layers[-1] = replace(layers[-1], slope=parts["weight"].reshape(-1))
        else:
            raise _strange(f"{prefix}{index}.{sorted(parts)[0]}", uri)
    if activation == "PReLU" and any(layer.slope is None for layer in layers[:-1]):
        raise _strange(f"{prefix} without PReLU's slopes", uri)
    if norm is not None:
        size = norm["scale"].size
        layers.append(_fold(norm, Layer(np.eye(size, dtype=np.float32), np.zeros(size, np.float32), None), eps))
    return tuple(layers), standard


def _standard(norm: dict[str, Float32], eps: float) -> tuple[dict[str, Float32], Standard]:
    """A norm in two: mean and deviation, and what is left, of the mean 0 and the deviation 1."""
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(norm["ra_var"].astype(np.float64) + eps).astype(np.float32).reshape(-1)
    if not (np.isfinite(deviation).all() and (deviation > 0).all()):
        raise ValueError("a BatchRenorm with a negative variance")
    mean = norm["ra_mean"].reshape(-1)
    if mean.shape != deviation.shape:
        raise ValueError("a BatchRenorm with a mean of another size than its variance")
    left: dict[str, Any] = {**norm, "ra_mean": np.zeros_like(mean), "ra_var": np.full(mean.shape, 1.0 - eps)}
    return left, (mean, deviation)


def _strange(what: str, uri: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {uri} has {excerpt(what)} where a plain chain of linear layers and activations is expected "
        "(dropout, batch or layer normalisation and custom networks cannot be rebuilt from tensors)."
    )


def _fold(norm: dict[str, Float32], layer: Layer, eps: float) -> Layer:
    """``layer(scale (x - mean) / sqrt(var + eps) + bias)`` as one linear layer, in float64."""
    values = {key: norm[key].astype(np.float64).reshape(-1) for key in ("ra_mean", "ra_var", "scale", "bias")}
    gain = values["scale"] / np.sqrt(values["ra_var"] + eps)
    weight = layer.weight.astype(np.float64)
    offset = weight @ (values["bias"] - gain * values["ra_mean"])
    if layer.bias is None:
        raise KeyError("the bias of a layer behind a BatchRenorm")
    bias = (offset + layer.bias).astype(np.float32)
    return Layer((weight * gain).astype(np.float32), bias, layer.activation, layer.slope)


def last_linear(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The same chain with no activation after its last layer."""
    return (*layers[:-1], replace(layers[-1], activation=None, slope=None))


def mean_of_quantiles(layer: Layer, actions: int) -> Layer:
    """QR-DQN's last layer, whose outputs are ``[quantiles, actions]``, averaged over the quantiles."""
    outputs, inputs = layer.weight.shape
    if outputs % actions:
        raise ValueError(f"{outputs} outputs for {actions} actions")
    weight = layer.weight.astype(np.float64).reshape(-1, actions, inputs).mean(axis=0)
    bias = None if layer.bias is None else layer.bias.astype(np.float64).reshape(-1, actions).mean(axis=0)
    return Layer(weight.astype(np.float32), None if bias is None else bias.astype(np.float32), layer.activation)


def lstm(weights: Weights, prefix: str) -> tuple[LstmLayer, ...]:
    """The layers of ``nn.LSTM``.

    Raises:
        KeyError, ValueError: tensors are missing, or of other shapes.
    """
    count = sum(key.startswith(f"{prefix}weight_hh_l") for key in weights)
    extra = [key for key in weights if key.startswith(prefix) and ("reverse" in key or "weight_hr" in key)]
    if extra or not count:
        raise ValueError(f"{prefix}: {extra[0] if extra else 'no weight_hh_l0'}")
    layers = []
    for i in range(count):
        parts = [weights[f"{prefix}{name}_l{i}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        hidden = parts[1].shape[1]
        if any(part.shape[0] != 4 * hidden for part in parts):
            raise ValueError(f"{prefix}weight_hh_l{i} has the shape {parts[1].shape}")
        layers.append(LstmLayer(*parts))
    return tuple(layers)


def encoders(
    weights: Weights, prefix: str, space: Space, kind: str, normalize_images: bool, uri: str
) -> tuple[Encoder, ...]:
    """What becomes of each input before the network proper.

    Args:
        prefix: of the features extractor's tensors, ``features_extractor.``.
        kind: ``flatten``, ``cnn`` or ``combined``.

    Raises:
        CheckpointError: the extractor has other tensors than its class has, or does not go with the space.
    """
    expected: set[str] = set()
    found = []
    for key, part in space.leaves:
        own = f"{prefix}extractors.{key}." if kind == "combined" else prefix
        deep = kind == "cnn" or (kind == "combined" and f"{own}cnn.0.weight" in weights)
        if not deep:
            found.append(Encoder(key, part, part.is_image and normalize_images))
            continue
        if len(part.shape) != 3:
            raise CheckpointError(f"The checkpoint {uri} has a CNN on {part.describe()}, which is no image.")
        names = [f"{own}cnn.{i}" for i in (0, 2, 4)]
        cells = [
            Convolution(weights[f"{n}.weight"], weights[f"{n}.bias"], s) for n, s in zip(names, _STRIDES, strict=True)
        ]
        dense = Layer(weights[f"{own}linear.0.weight"], weights[f"{own}linear.0.bias"], "ReLU")
        expected |= {f"{name}.{part}" for name in [*names, f"{own}linear.0"] for part in ("weight", "bias")}
        found.append(Encoder(key, part, part.is_image and normalize_images, tuple(cells), (dense,)))
        _check_images(found[-1], uri)
    strange = next((key for key in weights if key.startswith(prefix) and key not in expected), None)
    if strange is not None:
        raise CheckpointError(
            f"The checkpoint {uri} has a features extractor with weights of its own ({excerpt(strange)}) beside those "
            "of Stable-Baselines3's; it cannot be rebuilt from its tensors."
        )
    return tuple(found)


def _check_images(encoder: Encoder, uri: str) -> None:
    """Whether the convolutions and the layer after them take what arrives.

    Raises:
        CheckpointError: they do not.
    """
    channels, *sizes = encoder.space.shape
    for number, cell in enumerate(encoder.convolutions):
        shape = cell.weight.shape
        fits = cell.weight.ndim == 4 and min(shape) >= 1 and shape[1] == channels and cell.bias.shape == shape[:1]
        if not fits or any(kernel > size for kernel, size in zip(shape[2:], sizes, strict=True)):
            raise CheckpointError(
                f"Convolution {number} of the policy in {uri} has a weight of shape {shape} where an image of "
                f"{channels} channels of {sizes} arrives: the archive contradicts itself; save it again."
            )
        channels = shape[0]
        sizes = [(size - kernel) // cell.stride + 1 for size, kernel in zip(sizes, shape[2:], strict=True)]
    layer, width = encoder.dense[0], channels * sizes[0] * sizes[1]
    if layer.weight.ndim != 2 or layer.weight.shape[1] != width or not _one_each(layer):
        raise CheckpointError(
            f"The layer after the convolutions of the policy in {uri} has a weight of shape {layer.weight.shape} where "
            f"{width} numbers arrive: the archive contradicts itself; save it again."
        )


def _one_each(layer: Layer) -> bool:
    return layer.bias is None or layer.bias.shape == layer.weight.shape[:1]


def encoded_width(encoder: Encoder) -> int:
    """Numbers that an encoder gives."""
    return int(encoder.dense[-1].weight.shape[0]) if encoder.dense else encoder.space.encoded
