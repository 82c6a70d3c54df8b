"""What it would cost to build Stable-Baselines3's own policy from an archive's settings.

The settings are the file's as the tensors are, and nothing says that they agree: ``net_arch: [100000, 100000]`` beside
tensors of a few kilobytes makes the constructor ask for 40 GB before it is found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from gate5.checkpoint.spec import PolicySpec

_DEFAULT = {"TD3": (400, 300), "DDPG": (400, 300), "SAC": (256, 256), "TQC": (256, 256), "CrossQ": (256, 256)}
_USUAL = (64, 64)  # the layers of all others where nothing is said
_MOST_LAYERS = 200
_MOST_CRITICS = 50
_TIMES = 8  # the estimate counts critics, targets and an extractor for each, which an archive may share or leave out
_SLACK = 4_000_000
_MOST_NUMBERS = 60_000_000


def affordable(policy: PolicySpec, settings: Mapping[str, Any], numbers: int) -> bool:
    """Whether a policy of these settings has about as many numbers as the archive's tensors have.

    Args:
        policy: as it was understood from the tensors.
        settings: ``policy_kwargs``.
        numbers: of all the tensors together.
    """
    try:
        return _estimate(policy, settings) <= min(_TIMES * numbers + _SLACK, _MOST_NUMBERS)
    except (TypeError, ValueError):
        return False


def _estimate(policy: PolicySpec, settings: Mapping[str, Any]) -> int:
    extractor = settings.get("features_extractor_kwargs") or {}
    if not isinstance(extractor, dict) or set(extractor) - {"features_dim", "cnn_output_dim", "normalized_image"}:
        raise ValueError("settings of a features extractor that it does not have")
    combined = policy.observation is not None and policy.observation.kind == "Dict"
    features = _count(extractor.get("cnn_output_dim"), 256) if combined else _count(extractor.get("features_dim"), 512)
    images = [encoder.dense[0].weight for encoder in policy.encoders if encoder.dense]
    if any(weight.shape[0] != features for weight in images):
        raise ValueError("another number of features than the tensors have")
    width = sum(encoder.space.encoded for encoder in policy.encoders if not encoder.dense)
    if not policy.encoders:
        width = policy.obs_dim * policy.frames
    arrive = len(images) * features + width
    copies = 2 * (1 + _count(settings.get("n_critics"), 2, _MOST_CRITICS))
    total = copies * sum(weight.size for weight in images)
    if policy.lstm:
        hidden = _count(settings.get("lstm_hidden_size"), 256)
        layers = _count(settings.get("n_lstm_layers"), 1, _MOST_LAYERS)
        total += 2 * layers * 4 * hidden * (arrive + 2 * hidden)
        arrive = hidden
    given = max(sum(policy.choices), policy.act_dim) * _count(settings.get("n_quantiles"), 1)
    for widths in _chains(settings.get("net_arch"), _DEFAULT.get(policy.algorithm, _USUAL)):
        chain = [arrive, *widths]
        total += copies * (sum(one * other for one, other in pairwise(chain)) + chain[-1] * given)
    return total


def _count(value: Any, default: int, most: int = 1 << 40) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError("no count")
    return value


def _chains(arch: Any, default: tuple[int, ...]) -> list[list[int]]:
    """The widths of each chain of ``net_arch``: a list, or a table of them, or a list with a table at its end."""
    if arch is None:
        return [list(default)]
    parts = [arch] if isinstance(arch, dict) else arch
    if not isinstance(parts, list | tuple) or len(parts) > _MOST_LAYERS:
        raise ValueError("no net_arch")
    shared = [_count(part, 0) for part in parts if not isinstance(part, dict)]
    own = [entry for part in parts if isinstance(part, dict) for entry in part.values()]
    if len(own) > 2 or not all(isinstance(entry, list | tuple) and len(entry) <= _MOST_LAYERS for entry in own):
        raise ValueError("no net_arch")
    return [[*shared, *(_count(width, 0) for width in entry)] for entry in own] or [shared]
