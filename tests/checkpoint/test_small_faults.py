"""Archives that are a little other than usual: the right policy, or one sentence."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecNormalize

from gate5.checkpoint import CheckpointFiles, read
from gate5.errors import CheckpointError
from tests.support.saved import Saved

from .test_safety import _data


def _weights(policy: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        found: dict[str, Any] = torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True)
    return found


def _with(policy: bytes, rewrite: Callable[..., bytes], tensors: dict[str, Any]) -> CheckpointFiles:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return CheckpointFiles(rewrite(policy, {"policy.pth": buffer.getvalue()}), None, "x")


@pytest.mark.parametrize("value", [False, np.bool_(False), np.array(False), 0])
def test_norm_obs_off_in_any_form(save: Callable[..., Saved], altered: Callable[..., bytes], value: Any) -> None:
    """``np.bool_(False)`` counted as true at 61a9b98."""
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise, "norm_obs", value))
    checkpoint = read(CheckpointFiles(saved.policy, content, "x"))
    assert checkpoint.normaliser is None
    expected, _ = saved.model.predict(saved.observations, deterministic=True)
    np.testing.assert_allclose(checkpoint.reference(saved.observations)[0], expected, atol=1e-6)


def test_norm_obs_of_no_truth(save: Callable[..., Saved], altered: Callable[..., bytes]) -> None:
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise, "norm_obs", "yes"))
    with pytest.raises(CheckpointError, match="norm_obs"):
        read(CheckpointFiles(saved.policy, content, "x"))


@pytest.mark.parametrize("name", ["_Renamed", "_Doubled"])
def test_trusted_class(save: Callable[..., Any], altered: Callable[..., bytes], name: str) -> None:
    """``trust_pickle`` runs its code, and what it does is compared with what would be exported."""
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise, "__class__", globals()[name]))
    files = CheckpointFiles(saved.policy, content, "x")
    with pytest.raises(CheckpointError, match=rf"{name}, .*trust_pickle"):
        read(files)
    if name == "_Doubled":
        with pytest.raises(CheckpointError, match="normalize_obs gives something else"):
            read(files, trust_pickle=True)
    else:
        found = read(files, trust_pickle=True).reference(saved.observations)[0]
        np.testing.assert_allclose(found, saved.predict(saved.observations), atol=1e-6)


class _Renamed(VecNormalize):
    """VecNormalize by another name."""


class _Doubled(VecNormalize):
    def normalize_obs(self, obs: Any) -> Any:
        return 2.0 * np.asarray(super().normalize_obs(obs))


@pytest.mark.parametrize("attribute", ["epsilon", "clip_obs"])
@pytest.mark.parametrize("value", [10**400, None, "1", True, [1.0], float("nan"), 1j, np.array([1.0, 2.0])])
def test_number_that_is_none(
    save: Callable[..., Saved], altered: Callable[..., bytes], attribute: str, value: Any
) -> None:
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise, attribute, value))
    with pytest.raises(CheckpointError, match=r"vecnormalize\.pkl"):
        read(CheckpointFiles(saved.policy, content, "x"))


@pytest.mark.parametrize("attribute", ["mean", "var"])
@pytest.mark.parametrize("value", [[0.0] * 6, [[0.0]] * 6, np.array(["a"] * 6), np.ones(6) * 1j, np.float64(1.0), None])
def test_mean_that_is_no_array(
    save: Callable[..., Saved], altered: Callable[..., bytes], attribute: str, value: Any
) -> None:
    saved = save("PPO")
    content = altered(saved, lambda normalise: setattr(normalise.obs_rms, attribute, value))
    with pytest.raises(CheckpointError, match=r"vecnormalize\.pkl"):
        read(CheckpointFiles(saved.policy, content, "x"))


def test_squash_without_gsde(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    """SB3's predict scales the mean and applies no tanh; its constructor refuses the pair, so it is done by hand."""
    saved = save("PPO", low=np.array([-2.0, 10.0]), high=np.array([3.0, 40.0]))
    data = _data(saved.policy)
    data["policy_kwargs"]["squash_output"] = True
    checkpoint = read(CheckpointFiles(rewrite(saved.policy, {"data": json.dumps(data).encode()}), None, "x"))
    rows = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    policy = saved.model.policy
    policy._squash_output = True
    try:
        expected, _ = policy.predict(rows, deterministic=True)
    finally:
        policy._squash_output = False
    np.testing.assert_allclose(checkpoint.reference(rows)[0], expected, atol=1e-5)
    assert "stable_baselines3" in checkpoint.reference(rows)[1]
    np.testing.assert_allclose(checkpoint.module(torch.from_numpy(rows)).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(checkpoint.reference_numpy(rows), expected, atol=1e-4)


@pytest.mark.parametrize("gone", ["value_net", "log_std", "mlp_extractor.value_net"])
def test_without_what_the_action_does_not_need(
    save: Callable[..., Saved], rewrite: Callable[..., bytes], gone: str
) -> None:
    """Exit code 3, "a defect in gate5", at 61a9b98."""
    saved = save("PPO")
    kept = {key: value for key, value in _weights(saved.policy).items() if not key.startswith(gone)}
    checkpoint = read(_with(saved.policy, rewrite, kept))
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    expected, _ = saved.model.policy.predict(rows, deterministic=True)
    assert "stable_baselines3" in checkpoint.reference(rows)[1]
    np.testing.assert_allclose(checkpoint.reference(rows)[0], expected, atol=1e-6)
    np.testing.assert_allclose(checkpoint.module(torch.from_numpy(rows)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "gone", ["action_net.bias", "mlp_extractor.policy_net.0.bias", "mlp_extractor.policy_net.2.", "action_net"]
)
def test_without_what_the_action_needs(save: Callable[..., Any], rewrite: Callable[..., bytes], gone: str) -> None:
    """Without a bias, or without a layer between two of the same width, it would be another policy that also runs."""
    saved = save("PPO")
    kept = {key: value for key, value in _weights(saved.policy).items() if not key.startswith(gone)}
    with pytest.raises(CheckpointError, match="not complete"):
        read(_with(saved.policy, rewrite, kept)).reference(saved.observations)


def test_extra_tensor_that_the_action_does_not_need(save: Callable[..., Any], rewrite: Callable[..., bytes]) -> None:
    saved = save("PPO")
    checkpoint = read(_with(saved.policy, rewrite, {**_weights(saved.policy), "value_net.gain": torch.ones(3)}))
    assert "stable_baselines3" in checkpoint.reference(saved.observations)[1]


@pytest.mark.parametrize("name", ["scale", "action_net.gain", "mlp_extractor.policy_net.7.weight", "lstm_actor.x"])
def test_extra_tensor(save: Callable[..., Saved], rewrite: Callable[..., bytes], name: str) -> None:
    policy = save("PPO").policy
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read(_with(policy, rewrite, {**_weights(policy), name: torch.ones(3)}))


def test_compiled(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    policy = save("PPO").policy
    with pytest.raises(CheckpointError, match=r"torch\.compile"):
        read(_with(policy, rewrite, {f"_orig_mod.{key}": value for key, value in _weights(policy).items()}))


def test_compiled_part(save: Callable[..., Any], rewrite: Callable[..., bytes]) -> None:
    """The sentence says which part is to be put back."""
    policy = save("PPO").policy
    tensors = {key.replace("action_net.", "action_net._orig_mod."): value for key, value in _weights(policy).items()}
    with pytest.raises(CheckpointError, match=r"`model\.policy\.action_net = model\.policy\.action_net\._orig_mod`"):
        read(_with(policy, rewrite, tensors))


@pytest.mark.parametrize("value", [None, "two", [2.0], float("inf"), {}, True])
def test_clip_mean_that_is_no_number(save: Callable[..., Saved], rewrite: Callable[..., bytes], value: Any) -> None:
    """``null`` was a TypeError at 61a9b98."""
    saved = save("SAC", use_sde=True, policy_kwargs={"net_arch": [16], "clip_mean": 0.3})
    data = _data(saved.policy)
    data["policy_kwargs"] = {"net_arch": [16], "clip_mean": value}
    with pytest.raises(CheckpointError, match="clip_mean"):
        read(CheckpointFiles(rewrite(saved.policy, {"data": json.dumps(data).encode()}), None, "x"))


def _quantised() -> torch.Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


STRANGE: dict[str, Callable[[], torch.Tensor]] = {
    "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "sparse": lambda: torch.eye(2).to_sparse(),
    "compressed": lambda: torch.eye(2).to_sparse_csr(),
    "meta": lambda: torch.ones(2, device="meta"),
    "quantised": _quantised,
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
    "int8": lambda: torch.ones(2, dtype=torch.int8),
    "float64 beyond float32": lambda: torch.full((2,), 1e300, dtype=torch.float64),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.filterwarnings("ignore")
def test_strange_tensor(save: Callable[..., Saved], rewrite: Callable[..., bytes], name: str) -> None:
    policy = save("PPO").policy
    with pytest.raises(CheckpointError):
        read(_with(policy, rewrite, {**_weights(policy), "action_net.bias": STRANGE[name]()}))


def test_name_in_a_space_advises_nothing_that_does_not_help(
    save: Callable[..., Saved], rewrite: Callable[..., bytes]
) -> None:
    """``trust_pickle`` is for VecNormalize alone."""
    import base64
    import pickle
    from fractions import Fraction

    data = _data(save("PPO").policy)
    data["action_space"][":serialized:"] = base64.b64encode(pickle.dumps(Fraction(1))).decode()
    files = CheckpointFiles(rewrite(save("PPO").policy, {"data": json.dumps(data).encode()}), None, "x")
    with pytest.raises(CheckpointError, match=r"fractions\.Fraction") as caught:
        read(files)
    assert "trust_pickle" not in str(caught.value)


@pytest.mark.parametrize("given", [np.bool_(True), True, 1])
def test_setting_that_is_numpys_true(save: Callable[..., Saved], given: Any) -> None:
    """It was false, being an object that the reader does not know: the same for graph and reference, so never seen."""
    saved = save("PPO", low=-2.0, use_sde=True, policy_kwargs={"net_arch": [16], "squash_output": given})
    checkpoint = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    expected = saved.predict(saved.observations)
    np.testing.assert_allclose(checkpoint.reference(saved.observations)[0], expected, atol=1e-5)
    np.testing.assert_allclose(checkpoint.reference_numpy(saved.observations), expected, atol=1e-5)


@pytest.mark.parametrize("key", ["squash_output", "use_sde", "normalize_images"])
@pytest.mark.parametrize("value", ["false", "no", 2, [0], {"a": 1}, 0.5])
def test_setting_that_is_neither_true_nor_false(
    save: Callable[..., Saved], rewrite: Callable[..., bytes], key: str, value: Any
) -> None:
    data = _data(save("PPO").policy)
    data["policy_kwargs"] = {"net_arch": [16, 16], key: value}
    with pytest.raises(CheckpointError, match=f"{key} = .*not true or false"):
        read(CheckpointFiles(rewrite(save("PPO").policy, {"data": json.dumps(data).encode()}), None, "x"))
