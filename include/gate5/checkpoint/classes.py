"""The classes that gate5 knows, by module and qualified name: what a policy names is that class or is refused.

A class that only looks like one of these (``my_package.ScaledFlattenExtractor``, or one of ``__main__`` that calls
itself ``stable_baselines3...``) computes something else. ``policy_kwargs`` is therefore read from its pickle, where a
class is a reference by full name, and not from the text beside it.
"""

from __future__ import annotations

import re
from typing import Any

from gate5.checkpoint import unpickle
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt

_SB3, _CONTRIB = "stable_baselines3", "sb3_contrib"


def _family(module: str, prefix: str, *names: str) -> dict[str, str]:
    return {f"{module}.{name}": prefix for name in names}


#: Policy class -> the family that says how its tensors are laid out.
POLICIES: dict[str, str] = {
    **_family(f"{_SB3}.common.policies", "actor-critic",
              "ActorCriticPolicy", "ActorCriticCnnPolicy", "MultiInputActorCriticPolicy"),
    **_family(f"{_SB3}.sac.policies", "sac", "SACPolicy", "CnnPolicy", "MultiInputPolicy"),
    **_family(f"{_SB3}.td3.policies", "td3", "TD3Policy", "CnnPolicy", "MultiInputPolicy"),
    **_family(f"{_SB3}.dqn.policies", "dqn", "DQNPolicy", "CnnPolicy", "MultiInputPolicy"),
    **_family(f"{_CONTRIB}.tqc.policies", "tqc", "TQCPolicy", "CnnPolicy", "MultiInputPolicy"),
    **_family(f"{_CONTRIB}.qrdqn.policies", "qrdqn", "QRDQNPolicy", "CnnPolicy", "MultiInputPolicy"),
    **_family(f"{_CONTRIB}.crossq.policies", "crossq", "CrossQPolicy"),
    **_family(f"{_CONTRIB}.ars.policies", "ars", "ARSPolicy", "ARSLinearPolicy"),
    **_family(f"{_CONTRIB}.common.maskable.policies", "maskable", "MaskableActorCriticPolicy",
              "MaskableActorCriticCnnPolicy", "MaskableMultiInputActorCriticPolicy"),
    **_family(f"{_CONTRIB}.common.recurrent.policies", "recurrent", "RecurrentActorCriticPolicy",
              "RecurrentActorCriticCnnPolicy", "RecurrentMultiInputActorCriticPolicy"),
}  # fmt: skip

_LAYERS = f"{_SB3}.common.torch_layers"
EXTRACTORS = {
    f"{_LAYERS}.FlattenExtractor": "flatten",
    f"{_LAYERS}.NatureCNN": "cnn",
    f"{_LAYERS}.CombinedExtractor": "combined",
}

_ACTIVATION = "torch.nn.modules.activation"
ACTIVATIONS = (
    "ReLU", "ReLU6", "Tanh", "Sigmoid", "SiLU", "Mish", "ELU", "CELU", "SELU", "GELU", "LeakyReLU", "PReLU", "Softplus",
    "Softsign", "Softshrink", "Hardshrink", "Tanhshrink", "Hardtanh", "Hardsigmoid", "Hardswish", "LogSigmoid",
    "RReLU", "Softmax", "Softmin", "LogSoftmax", "Identity",
)  # fmt: skip
_ACTIVATION_NAMES = {
    (f"{_ACTIVATION}.{name}" if name != "Identity" else "torch.nn.modules.linear.Identity"): name
    for name in ACTIVATIONS
}

#: Keys of ``policy_kwargs`` that SB3's and sb3-contrib's own policies take.
_KWARGS = frozenset({
    "net_arch", "activation_fn", "ortho_init", "use_sde", "log_std_init", "full_std", "sde_net_arch", "use_expln",
    "squash_output", "features_extractor_class", "features_extractor_kwargs", "share_features_extractor",
    "normalize_images", "optimizer_class", "optimizer_kwargs", "clip_mean", "n_critics", "n_quantiles",
    "lstm_hidden_size", "n_lstm_layers", "shared_lstm", "enable_critic_lstm", "lstm_kwargs", "batch_norm",
    "batch_norm_momentum", "batch_norm_eps", "renorm_warmup_steps", "with_bias", "device",
})  # fmt: skip


def policy_class(data: dict[str, Any], uri: str) -> tuple[str, str]:
    """The policy's class by its full name, and its family.

    Raises:
        CheckpointError: it is none of ``POLICIES``.
    """
    entry = data.get("policy_class")
    name = None
    if isinstance(entry, dict) and isinstance(entry.get(":serialized:"), str):
        name = unpickle.class_name(unpickle.decode(entry[":serialized:"], "policy_class"))
    if name is None:
        module = entry.get("__module__", "__main__") if isinstance(entry, dict) else None
        shown = f"{excerpt(module, 80)}.<a class of its own>" if module else "of unknown class"
    else:
        shown = excerpt(name)
    if name not in POLICIES:
        raise CheckpointError(
            f"The checkpoint {uri} is the policy {shown}, which is not one of Stable-Baselines3's or sb3-contrib's "
            "own: what it computes cannot be known without running its code; train with one of theirs "
            "(docs/checkpoints.md)."
        )
    return name, POLICIES[name]


def policy_kwargs(data: dict[str, Any], uri: str) -> dict[str, Any]:
    """``policy_kwargs`` with each class as ``unpickle.named`` knows it.

    Raises:
        CheckpointError: it cannot be read, or has a key that no policy of Stable-Baselines3's own takes.
    """
    entry = data.get("policy_kwargs")
    if entry is None:
        return {}
    if isinstance(entry, dict) and isinstance(entry.get(":serialized:"), str):
        found = unpickle.read_names_base64(entry[":serialized:"], f"policy_kwargs in the checkpoint {uri}")
        if isinstance(
            found, unpickle.Unknown
        ):  # not what SB3 writes; a class in the text beside it is believed by nothing
            found = {key: value for key, value in entry.items() if not key.startswith(":")}
        entry = found
    if not isinstance(entry, dict):
        raise CheckpointError(f"policy_kwargs in the checkpoint {uri} is not a table of settings; save it again.")
    unknown = next((key for key in entry if key not in _KWARGS), None)
    if unknown is not None:
        raise CheckpointError(
            f"The checkpoint {uri} has the setting {excerpt(unknown, 80)!r} in policy_kwargs, which no policy of "
            "Stable-Baselines3's own takes: what it does to the policy cannot be known."
        )
    return entry


def activation(kwargs: dict[str, Any], default: str, data: dict[str, Any], uri: str) -> str:
    """The activation's name in ``torch.nn``.

    Raises:
        CheckpointError: it is none of ``ACTIVATIONS`` of ``torch.nn`` itself.
    """
    if kwargs.get("activation_fn") is None:
        return default
    name = unpickle.named(kwargs["activation_fn"])
    if name not in _ACTIVATION_NAMES:
        raise CheckpointError(
            f"The checkpoint {uri} uses the activation {_shown(name, data, 'activation_fn')}; gate5 knows "
            f"{', '.join(ACTIVATIONS)} of torch.nn."
        )
    return _ACTIVATION_NAMES[name]


def extractor(kwargs: dict[str, Any], default: str, data: dict[str, Any], uri: str) -> str:
    """``flatten``, ``cnn`` or ``combined``.

    Raises:
        CheckpointError: the features extractor is not Stable-Baselines3's own.
    """
    if kwargs.get("features_extractor_class") is None:
        return default
    name = unpickle.named(kwargs["features_extractor_class"])
    if name not in EXTRACTORS:
        raise CheckpointError(
            f"The checkpoint {uri} uses the features extractor {_shown(name, data, 'features_extractor_class')}, "
            "which is not Stable-Baselines3's FlattenExtractor, NatureCNN or CombinedExtractor: what it computes "
            "cannot be known without running its code."
        )
    return EXTRACTORS[name]


def _shown(name: str | None, data: dict[str, Any], key: str) -> str:
    """Its full name, or what the archive calls it, for a reader; the latter is believed by nothing."""
    if name is not None:
        return excerpt(name)
    entry = data.get("policy_kwargs")
    text = entry.get(key) if isinstance(entry, dict) else None
    match = re.fullmatch(r"<class '([\w.<>]{1,160})'>", text) if isinstance(text, str) else None
    return f"{match.group(1)} (a class of its own)" if match else "of its own"
