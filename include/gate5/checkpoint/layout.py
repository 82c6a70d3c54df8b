"""Understands an archive: which algorithm, which layers, what happens to the action. Nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.checkpoint import classes, networks, unpickle
from gate5.checkpoint.archive import Archive
from gate5.checkpoint.frames import Shape, stack_axes
from gate5.checkpoint.spaces import Space, read_space
from gate5.checkpoint.spec import Encoder, Float32, Layer, LstmLayer, PolicySpec
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

_DISCRETE = ("Discrete", "MultiDiscrete", "MultiBinary")
#: Family -> the kinds of action space that it can have.
_ACTIONS = {
    "actor-critic": ("Box", *_DISCRETE), "recurrent": ("Box", *_DISCRETE), "maskable": _DISCRETE,
    "sac": ("Box",), "tqc": ("Box",), "crossq": ("Box",), "td3": ("Box",),
    "dqn": ("Discrete",), "qrdqn": ("Discrete",), "ars": ("Box", "Discrete"),
}  # fmt: skip
_TANH = ("actor-critic", "recurrent", "maskable")  # the others' default activation is ReLU


@dataclass(frozen=True)
class _Reading:
    """What the functions below need of an archive."""

    family: str
    kwargs: dict[str, Any]
    data: dict[str, Any]
    weights: dict[str, Float32]
    observation: Space
    action: Space
    activation: str
    uri: str


def understand(
    archive: Archive,
    uri: str,
    *,
    frames: int = 1,
    order: str | None = None,
    normalised: dict[str, Shape] | None = None,
) -> PolicySpec:
    """The policy's function, from the tensors' shapes and the readable fields.

    Args:
        frames: how many observations ``VecFrameStack`` put into one; an archive does not say.
        order, normalised: see ``gate5.checkpoint.frames.stack_axes``.

    Raises:
        CheckpointError: custom policies or networks, spaces that gate5 does not know, shapes that do not fit.
    """
    reading = _reading(archive, uri)
    weights = reading.weights
    try:
        encoders = _encoders(reading)
        lstm = _lstm(reading)
        layers, clip_mean, standard = _layers(reading)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"The policy in {uri} lacks a layer ({excerpt(error)}): the archive is not complete; save it again."
        ) from None
    squash, bijector = _squash(reading)
    plain = len(encoders) == 1 and not encoders[0].dense and encoders[0].space.kind == "Box" and not encoders[0].scale
    spec = PolicySpec(
        algorithm=_algorithm(reading),
        layers=layers,
        clip_mean=clip_mean,
        squash=squash,
        low=_float32(_bounds(reading.action, 0)),
        high=_float32(_bounds(reading.action, 1)),
        observation_low=_float32(_bounds(reading.observation, 0)),
        observation_high=_float32(_bounds(reading.observation, 1)),
        use_sde=_flag(reading, "use_sde", False),
        bijector=bijector,
        observation=reading.observation,
        action=reading.action,
        encoders=() if plain else encoders,
        lstm=lstm,
        choices=_choices(reading),
        bits=reading.action.kind == "MultiBinary" and reading.family != "maskable",
        mask=reading.family == "maskable",
        frames=frames,
        stack=() if frames == 1 else stack_axes(reading.observation, frames, uri, order=order, normalised=normalised),
        standard=standard,
    )
    _check_shapes(spec, encoders, uri)
    _check_tensors(weights, reading, uri)
    return spec


def _reading(archive: Archive, uri: str) -> _Reading:
    data = archive.data
    name, family = classes.policy_class(data, uri)
    kwargs = classes.policy_kwargs(data, uri)
    action, observation = read_space(data, "action_space", uri), read_space(data, "observation_space", uri)
    if action.kind not in _ACTIONS[family] or (action.kind == "MultiBinary" and len(action.shape) > 1):
        raise CheckpointError(
            f"The checkpoint {uri} is the policy {name} with the action space {action.describe()}, which it "
            "cannot have."
        )
    activation = classes.activation(kwargs, "Tanh" if family in _TANH else "ReLU", data, uri)
    return _Reading(family, kwargs, data, archive.weights, observation, action, activation, uri)


def _encoders(reading: _Reading) -> tuple[Encoder, ...]:
    name, _ = classes.policy_class(reading.data, reading.uri)
    default = "combined" if "MultiInput" in name else "cnn" if "Cnn" in name else "flatten"
    kind = classes.extractor(reading.kwargs, default, reading.data, reading.uri)
    if (kind == "combined") != (reading.observation.kind == "Dict"):
        raise CheckpointError(
            f"The checkpoint {reading.uri} has the observation space {reading.observation.describe()}, with which its "
            f"features extractor ({kind}) does not go; save it again."
        )
    own = {"sac": "actor.", "tqc": "actor.", "crossq": "actor.", "td3": "actor.", "dqn": "q_net.",
           "qrdqn": "quantile_net."}.get(reading.family, "")  # fmt: skip
    prefix = f"{own}features_extractor."
    if not own and any(key.startswith("pi_features_extractor.") for key in reading.weights):
        prefix = "pi_features_extractor."
    normalize = _flag(reading, "normalize_images", True)
    return networks.encoders(reading.weights, prefix, reading.observation, kind, normalize, reading.uri)


def _lstm(reading: _Reading) -> tuple[LstmLayer, ...]:
    if reading.family != "recurrent":
        return ()
    settings = reading.kwargs.get("lstm_kwargs") or {}
    # what is dropped in training is there in predict
    if isinstance(settings, unpickle.Unknown) or not isinstance(settings, dict) or set(settings) - {"dropout"}:
        raise CheckpointError(
            f"The checkpoint {reading.uri} sets lstm_kwargs, and gate5 knows torch's plain LSTM and its dropout alone: "
            "train without."
        )
    return networks.lstm(reading.weights, "lstm_actor.")


def _layers(reading: _Reading) -> tuple[tuple[Layer, ...], float | None, networks.Standard | None]:
    """The chain from the features to the numbers of which the action is made, gSDE's bound on them, and CrossQ's
    statistics of the features."""
    if reading.family in ("sac", "tqc", "crossq"):
        return _squashed_layers(reading)
    layers = _plain_layers(reading)
    if any(layer.bias is None for layer in layers) and reading.family != "ars":  # ARS has with_bias=False
        raise KeyError("a bias")
    return layers, None, None


def _plain_layers(reading: _Reading) -> tuple[Layer, ...]:
    weights, activation, uri, family = reading.weights, reading.activation, reading.uri, reading.family
    if family in ("actor-critic", "recurrent", "maskable"):
        shared = networks.chain(weights, "mlp_extractor.shared_net.", activation, uri)
        own = networks.chain(weights, "mlp_extractor.policy_net.", activation, uri)
        return (*shared, *own, Layer(weights["action_net.weight"], weights.get("action_net.bias"), None))
    if family == "dqn":
        return networks.last_linear(networks.chain(weights, "q_net.q_net.", activation, uri))
    if family == "qrdqn":
        *before, last = networks.last_linear(networks.chain(weights, "quantile_net.quantile_net.", activation, uri))
        return (*before, networks.mean_of_quantiles(last, reading.action.choices[0]))
    prefix = "action_net." if family == "ars" else "actor.mu."
    return networks.last_linear(networks.chain(weights, prefix, activation, uri))


def _squashed_layers(reading: _Reading) -> tuple[tuple[Layer, ...], float | None, networks.Standard | None]:
    """The actor of SAC, TQC and CrossQ, which SB3 squashes by tanh."""
    weights = reading.weights
    eps = _number(reading, "batch_norm_eps", 1e-3)
    hidden, standard = networks.normed_chain(weights, "actor.latent_pi.", reading.activation, reading.uri, eps=eps)
    if "actor.mu.weight" in weights:
        clip = None
        name = "actor.mu"
    else:  # gSDE: the mean goes through a Hardtanh
        clip = _number(reading, "clip_mean", 2.0)
        name = "actor.mu.0"
    layers = (*hidden, Layer(weights[f"{name}.weight"], weights[f"{name}.bias"], None))
    if any(layer.bias is None for layer in layers):
        raise KeyError("a bias")
    return layers, clip, standard


def _number(reading: _Reading, key: str, default: float) -> float:
    """A number of ``policy_kwargs``; ``null`` or something else is the caller's to put right."""
    value = reading.kwargs.get(key, default)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            value = (reading.data.get("policy_kwargs") or {})[key]  # a NumPy number: its text
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, KeyError, OverflowError):
        number = float("nan")
    if not np.isfinite(number):
        raise CheckpointError(
            f"The checkpoint {reading.uri} has {key} = {excerpt(value, 80)!r} in policy_kwargs, which is not a number; "
            "save it again with one."
        )
    return number


def _flag(reading: _Reading, key: str, default: bool) -> bool:
    """A setting that is true or false: Python's, or NumPy's, whose text stands beside the pickle. Nothing is true by
    not being empty: a NumPy bool that is not understood would be false."""
    given = reading.kwargs if key in reading.kwargs else reading.data
    value = given.get(key, default)
    if isinstance(value, unpickle.Unknown):
        text = (reading.data.get("policy_kwargs") or {}).get(key)
        value = {"True": True, "False": False}.get(text, text) if isinstance(text, str) else text
    if value is None:
        return False
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise CheckpointError(
            f"The checkpoint {reading.uri} has {key} = {excerpt(value, 80)!r}, which is not true or false; save it "
            "again with one of the two."
        )
    return bool(value)


def _squash(reading: _Reading) -> tuple[bool, bool]:
    """Whether the action is scaled from [-1, 1] to the action space, and whether tanh comes before."""
    if reading.action.kind != "Box":
        return False, True
    if reading.family in ("actor-critic", "recurrent"):
        # Without gSDE, SB3's predict scales the mean and applies no tanh; its constructor refuses the pair today.
        return _flag(reading, "squash_output", False), _flag(reading, "use_sde", False)
    if reading.family == "ars":
        linear = classes.policy_class(reading.data, reading.uri)[0].endswith(".ARSLinearPolicy")
        return _flag(reading, "squash_output", not linear), True
    return True, True


def _choices(reading: _Reading) -> tuple[int, ...]:
    if reading.action.kind == "MultiBinary":
        return (2,) * reading.action.size if reading.family == "maskable" else ()
    return reading.action.choices


def _bounds(space: Space, side: int) -> Any:
    if space.kind == "Dict":
        return np.concatenate([_bounds(part, side) for _, part in space.parts])
    return (space.low, space.high)[side]


def _float32(values: Any) -> Float32:
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def _algorithm(reading: _Reading) -> str:
    data, family = reading.data, reading.family
    if family == "actor-critic":
        if "cg_max_steps" in data:
            return "TRPO"
        return "PPO" if "clip_range" in data else "A2C"
    if family == "td3":
        single = reading.kwargs.get("n_critics", 2) == 1
        return "DDPG" if single and data.get("policy_delay") == 1 else "TD3"
    return {"recurrent": "RecurrentPPO", "maskable": "MaskablePPO", "sac": "SAC", "tqc": "TQC", "crossq": "CrossQ",
            "dqn": "DQN", "qrdqn": "QR-DQN", "ars": "ARS"}[family]  # fmt: skip


def _check_shapes(spec: PolicySpec, encoders: tuple[Encoder, ...], uri: str) -> None:
    width = sum(networks.encoded_width(encoder) for encoder in encoders)
    for cell in spec.lstm:
        if cell.weight_ih.shape[1] != width:
            raise CheckpointError(
                f"The LSTM of the policy in {uri} takes {cell.weight_ih.shape[1]} numbers where {width} arrive."
            )
        width = cell.hidden
    if spec.standard is not None and spec.standard[0].shape != (width,):
        raise CheckpointError(
            f"The policy in {uri} standardises {spec.standard[0].size} numbers where {width} arrive: the archive "
            "contradicts itself; save it again."
        )
    for number, layer in enumerate(spec.layers):
        fits = layer.weight.ndim == 2 and layer.weight.shape[1] == width
        if not fits or (layer.bias is not None and layer.bias.shape != layer.weight.shape[:1]):
            raise CheckpointError(
                f"Layer {number} of the policy in {uri} has a weight of shape {layer.weight.shape} where {width} "
                "inputs arrive: the archive contradicts itself; save it again."
            )
        width = layer.weight.shape[0]
    expected = sum(spec.choices) or spec.low.size
    if width != expected:
        raise CheckpointError(
            f"The policy in {uri} gives {width} numbers, but its action space has {expected}; save it again."
        )
    if spec.squash and not (np.isfinite(spec.low).all() and np.isfinite(spec.high).all()):
        raise CheckpointError(
            f"The policy in {uri} squashes its action and scales it to the action space, whose bounds are infinite; "
            "train it with a finite Box."
        )


_FEATURES = ("features_extractor", "pi_features_extractor", "vf_features_extractor", "sde_features_extractor")
_CRITICS = ("actor", "actor_target", "critic", "critic_target")
_ON_POLICY = ("mlp_extractor", "action_net", "value_net", "log_std", *_FEATURES)
_ACTOR = ("latent_pi", "mu", "log_std", "features_extractor", "sde_features_extractor")
_NETS = ("policy_net", "value_net", "shared_net")
#: What the policies of each family hold, by the first part of a tensor's name, and by the second.
_HEADS = {
    "actor-critic": _ON_POLICY, "maskable": _ON_POLICY,
    "recurrent": (*_ON_POLICY, "lstm_actor", "lstm_critic", "critic"),
    "sac": _CRITICS, "tqc": _CRITICS, "crossq": _CRITICS, "td3": _CRITICS, "dqn": ("q_net", "q_net_target"),
    "qrdqn": ("quantile_net", "quantile_net_target"), "ars": ("action_net", "features_extractor"),
}  # fmt: skip
_SECONDS = {"mlp_extractor": _NETS, "actor": _ACTOR, "q_net": ("q_net", "features_extractor"),
            "quantile_net": ("quantile_net", "features_extractor")}  # fmt: skip


def _check_tensors(weights: dict[str, Float32], reading: _Reading, uri: str) -> None:
    """A tensor that no policy of SB3's has could be part of the function: a policy with one is not SB3's."""
    for key in weights:
        head, _, rest = key.partition(".")
        known = head in _HEADS[reading.family] and rest.split(".")[0] in _SECONDS.get(head, (rest.split(".")[0],))
        if head == "action_net" and reading.family != "ars":
            known = known and rest in ("weight", "bias")
        if not known:
            kind = "a recurrent network, " if "lstm" in key else ""
            raise CheckpointError(
                f"The policy in {uri} has the tensor {excerpt(key)} ({kind}shape {tuple(weights[key].shape)}), which "
                f"Stable-Baselines3's own policies of this class ({reading.family}) have not: what it does cannot be "
                "known; save the policy as it was trained."
            )
