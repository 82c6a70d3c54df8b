"""Understands an archive: which algorithm, which layers, what happens to the action. Nothing is unpickled."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gate5.checkpoint import unpickle
from gate5.checkpoint.archive import Archive
from gate5.checkpoint.spec import Float32, Layer, PolicySpec
from gate5.errors import CheckpointError

ACTIVATIONS = (
    "ReLU", "Tanh", "ELU", "LeakyReLU", "SiLU", "GELU", "Sigmoid", "Softplus", "SELU", "Identity", "Hardtanh",
)  # fmt: skip
_ACTOR_CRITIC = ("ActorCriticPolicy",)
_ACTOR = ("SACPolicy", "TD3Policy", "TQCPolicy")
_SB3 = ("stable_baselines3.", "sb3_contrib.")
_FLAT = "gate5 reads MlpPolicy checkpoints of PPO, A2C, TRPO, SAC, TQC, TD3 and DDPG"


def understand(archive: Archive, uri: str) -> PolicySpec:
    """The policy's function, from the tensors' shapes and the readable fields.

    Raises:
        CheckpointError: discrete actions, images, recurrent or custom networks, shapes that do not fit.
    """
    data = archive.data
    kwargs = data.get("policy_kwargs") or {}
    _refuse_other_policies(data, kwargs, archive.weights, uri)
    low, high = _space(data, "action_space", uri)
    observation_low, observation_high = _space(data, "observation_space", uri)
    algorithm = _algorithm(data, archive.weights)
    use_sde = bool(data.get("use_sde", False))
    try:
        layers, clip_mean = _layers(archive.weights, kwargs, uri)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"The policy in {uri} lacks a layer ({error}): the archive is not complete; save it again."
        ) from None
    squash = "action_net.weight" not in archive.weights or bool(_option(kwargs, "squash_output", False))
    spec = PolicySpec(algorithm, layers, clip_mean, squash, low, high, observation_low, observation_high, use_sde)
    _check_shapes(spec, uri)
    return spec


def _layers(weights: dict[str, Float32], kwargs: Any, uri: str) -> tuple[tuple[Layer, ...], float | None]:
    if "action_net.weight" in weights:
        return _actor_critic(weights, _activation(kwargs, "Tanh", uri), uri), None
    return _actor(weights, _activation(kwargs, "ReLU", uri), kwargs, uri)


def _option(kwargs: Any, key: str, default: Any) -> Any:
    return kwargs.get(key, default) if isinstance(kwargs, dict) else default


def _refuse_other_policies(data: dict[str, Any], kwargs: Any, weights: dict[str, Float32], uri: str) -> None:
    name = _policy_class(data)
    if any(key.startswith(("lstm_", "actor.lstm")) for key in weights) or "Recurrent" in name:
        raise CheckpointError(
            f"The checkpoint {uri} is a recurrent policy ({name or 'with LSTM weights'}), which carries a state "
            f"that an engine would have to keep; {_FLAT}."
        )
    if any(key.startswith(("q_net.", "quantile_net.")) for key in weights):
        raise CheckpointError(
            f"The checkpoint {uri} is a Q-network ({name or 'DQN'}) with discrete actions, and a plant needs Box "
            f"actions; {_FLAT}."
        )
    extractor = next((key for key in weights if "features_extractor." in key), None)
    if extractor is not None:
        raise CheckpointError(
            f"The checkpoint {uri} has a features extractor with weights of its own ({extractor}), a CNN or a custom "
            f"one, which cannot be rebuilt from its tensors; {_FLAT} on flat observations (FlattenExtractor)."
        )
    chosen = _option(kwargs, "features_extractor_class", None)
    if chosen is not None and not str(chosen).endswith("FlattenExtractor'>"):
        raise CheckpointError(
            f"The checkpoint {uri} uses the features extractor {chosen}; {_FLAT} with the FlattenExtractor."
        )
    known = "action_net.weight" in weights or any(key.startswith("actor.mu.") for key in weights)
    plain = name.rpartition(".")[2]
    if not known or (name and (not name.startswith(_SB3) or plain not in (*_ACTOR_CRITIC, *_ACTOR))):
        raise CheckpointError(f"The checkpoint {uri} is the policy {name or 'of unknown class'}; {_FLAT}.")


def _policy_class(data: dict[str, Any]) -> str:
    entry = data.get("policy_class")
    if not isinstance(entry, dict):
        return ""
    if isinstance(entry.get(":serialized:"), str):
        found = unpickle.class_name(unpickle.decode(entry[":serialized:"], "policy_class"))
        if found:
            return found
    return f"{entry.get('__module__', '__main__')}.<a class of its own>"


def _space(data: dict[str, Any], key: str, uri: str) -> tuple[Float32, Float32]:
    entry = data.get(key)
    if not isinstance(entry, dict) or not isinstance(entry.get(":serialized:"), str):
        raise CheckpointError(f"`data` in the checkpoint {uri} has no {key}; save it again with model.save().")
    kind = str(entry.get(":type:", ""))
    if not kind.endswith(".Box'>"):
        need = "a plant needs Box actions" if key == "action_space" else "gate5 takes a Box of flat observations"
        raise CheckpointError(f"The {key} of the checkpoint {uri} is {kind}, but {need}.")
    space = unpickle.read_base64(entry[":serialized:"], f"{key} in the checkpoint {uri}")
    if not isinstance(space, unpickle.BoxBag):
        raise CheckpointError(f"The {key} of the checkpoint {uri} is {kind} but does not hold a Box.")
    try:
        low, high = (np.asarray(unpickle.plain(space.attributes[side]), dtype=np.float32) for side in ("low", "high"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"The {key} of the checkpoint {uri} has no bounds ({error!r}).") from None
    if low.ndim != 1 or low.shape != high.shape or low.size == 0:
        raise CheckpointError(
            f"The {key} of the checkpoint {uri} has the shape {low.shape}; gate5 takes a flat vector."
        )
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise CheckpointError(f"The bounds of the {key} of the checkpoint {uri} are NaN or the wrong way round.")
    return low, high


def _algorithm(data: dict[str, Any], weights: dict[str, Float32]) -> str:
    if "action_net.weight" in weights:
        if "cg_max_steps" in data:
            return "TRPO"
        return "PPO" if "clip_range" in data else "A2C"
    if any(key.startswith("actor.latent_pi.") for key in weights) or "actor.log_std" in weights or "ent_coef" in data:
        return "TQC" if "top_quantiles_to_drop_per_net" in data else "SAC"
    kwargs = data.get("policy_kwargs") or {}
    single = _option(kwargs, "n_critics", 2) == 1
    return "DDPG" if single and data.get("policy_delay") == 1 else "TD3"


def _activation(kwargs: Any, default: str, uri: str) -> str:
    chosen = _option(kwargs, "activation_fn", None)
    if chosen is None:
        return default
    match = re.fullmatch(r"<class 'torch\.nn\.modules\.\w+\.(\w+)'>", str(chosen))
    if match is None or match.group(1) not in ACTIVATIONS:
        raise CheckpointError(
            f"The checkpoint {uri} uses the activation {chosen}; gate5 knows {', '.join(ACTIVATIONS)} of torch.nn."
        )
    return match.group(1)


def _actor_critic(weights: dict[str, Float32], activation: str, uri: str) -> tuple[Layer, ...]:
    shared = _sequence(weights, "mlp_extractor.shared_net.", activation, uri)
    own = _sequence(weights, "mlp_extractor.policy_net.", activation, uri)
    last = Layer(weights["action_net.weight"], weights.get("action_net.bias"), None)
    return (*shared, *own, last)


def _actor(
    weights: dict[str, Float32], activation: str, kwargs: Any, uri: str
) -> tuple[tuple[Layer, ...], float | None]:
    if "actor.mu.weight" in weights:  # SAC, TQC
        hidden = _sequence(weights, "actor.latent_pi.", activation, uri)
        return (*hidden, Layer(weights["actor.mu.weight"], weights.get("actor.mu.bias"), None)), None
    if "actor.log_std" in weights:  # SAC with gSDE: the mean goes through a Hardtanh
        hidden = _sequence(weights, "actor.latent_pi.", activation, uri)
        clip = float(_option(kwargs, "clip_mean", 2.0))
        return (*hidden, Layer(weights["actor.mu.0.weight"], weights.get("actor.mu.0.bias"), None)), clip
    *before, last = _sequence(weights, "actor.mu.", activation, uri)  # TD3, DDPG
    return (*before, Layer(last.weight, last.bias, None)), None


def _sequence(weights: dict[str, Float32], prefix: str, activation: str, uri: str) -> tuple[Layer, ...]:
    """The linear layers of an ``nn.Sequential`` that SB3's ``create_mlp`` made: linear at 0, 2, 4, …"""
    names = [key[len(prefix) :] for key in weights if key.startswith(prefix)]
    indices = sorted({int(name.split(".")[0]) for name in names if name.split(".")[0].isdigit()})
    expected = [f"{i}.{part}" for i in indices for part in ("weight", "bias")]
    strange = sorted(set(names) - set(expected))
    odd = next((index for place, index in enumerate(indices) if index != 2 * place), None)
    if strange or odd is not None:
        what = prefix + (strange[0] if strange else f"{odd}.weight")
        raise CheckpointError(
            f"The checkpoint {uri} has {what} where a plain chain of linear layers and activations is expected "
            f"(dropout, batch or layer normalisation and custom networks cannot be rebuilt); {_FLAT}."
        )
    return tuple(Layer(weights[f"{prefix}{i}.weight"], weights.get(f"{prefix}{i}.bias"), activation) for i in indices)


def _check_shapes(spec: PolicySpec, uri: str) -> None:
    width = spec.observation_low.size
    for number, layer in enumerate(spec.layers):
        fits = layer.weight.ndim == 2 and layer.weight.shape[1] == width
        if not fits or (layer.bias is not None and layer.bias.shape != layer.weight.shape[:1]):
            raise CheckpointError(
                f"Layer {number} of the policy in {uri} has a weight of shape {layer.weight.shape} where {width} "
                "inputs arrive: the archive contradicts itself; save it again."
            )
        width = layer.weight.shape[0]
    if width != spec.low.size:
        raise CheckpointError(
            f"The policy in {uri} gives {width} numbers, but its action space has {spec.low.size}; save it again."
        )
    if spec.squash and not (np.isfinite(spec.low).all() and np.isfinite(spec.high).all()):
        raise CheckpointError(
            f"The policy in {uri} squashes its action and scales it to the action space, whose bounds are infinite; "
            "train it with a finite Box."
        )
