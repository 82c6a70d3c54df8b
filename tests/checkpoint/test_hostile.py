"""Files that somebody made who means harm: each ends in one short sentence, at once, with little memory."""

from __future__ import annotations

import base64
import io
import json
import pickle
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint import unpickle as reader
from gate5.checkpoint.inspection import inspect
from gate5.errors import CheckpointError
from gate5.io.excerpt import excerpt
from scripts.hostile_checkpoints import bomb, nested_lists
from tests.support.measured import Measured
from tests.support.saved import Saved

_TUPLES = b"N" + b"2\x86" * 40  # a tuple of itself twice, forty times over
_DEEP = b"N" + b"\x85" * 90_000
_LONG = "x" * 20_000
_UGLY = "two\nlines \x1b[2J\u202e"


def _sentence(files: CheckpointFiles) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(files)
    text = str(caught.value)
    assert len(text) < 1000, len(text)
    assert text.isprintable(), repr(text)
    assert text.endswith((".", ")"))
    return text


def _data(policy: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        return dict(json.loads(file.read("data")))


def _with_data(policy: bytes, rewrite: Callable[..., bytes], change: dict[str, Any]) -> CheckpointFiles:
    data = _data(policy) | change
    return CheckpointFiles(rewrite(policy, {"data": json.dumps(data).encode()}), None, "x")


def _pickled(program: bytes) -> dict[str, str]:
    return {":type:": "x", ":serialized:": base64.b64encode(program).decode()}


def _with_tensors(policy: bytes, rewrite: Callable[..., bytes], tensors: Any) -> CheckpointFiles:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return CheckpointFiles(rewrite(policy, {"policy.pth": buffer.getvalue()}), None, "x")


def _tensors(policy: bytes) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        return dict(torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True))


@pytest.mark.parametrize("text", [_LONG, _UGLY], ids=["long", "ugly"])
def test_text_from_the_file_in_a_sentence(save: Callable[..., Saved], rewrite: Callable[..., bytes], text: str) -> None:
    """Every place where a name or a value of the file goes into the message: cut, and on one line."""
    said: list[str] = []
    policy = save("PPO").policy
    good = _tensors(policy)
    named = b"\x80\x04X" + len(text.encode()).to_bytes(4, "little") + text.encode()
    class_of = b"\x80\x04c" + text.replace("\n", " ").encode() + b"\nName\n."
    for key in ("policy_class", "observation_space", "action_space"):
        said.append(_sentence(_with_data(policy, rewrite, {key: _pickled(class_of)})))
        said.append(_sentence(_with_data(policy, rewrite, {key: _pickled(named + b".")})))
        said.append(_sentence(_with_data(policy, rewrite, {key: {"__module__": text}})))
        said.append(_sentence(_with_data(policy, rewrite, {key: text})))
    for settings in ({text: 1}, {"clip_mean": text, "activation_fn": text}, {"features_extractor_class": text}):
        said.append(_sentence(_with_data(policy, rewrite, {"policy_kwargs": _pickled(pickle.dumps(settings))})))
        said.append(_sentence(_with_data(policy, rewrite, {"policy_kwargs": settings})))
    named_class = b"\x80\x04}X\x0d\x00\x00\x00activation_fnc" + text.replace("\n", " ").encode() + b"\nName\ns."
    said.append(_sentence(_with_data(policy, rewrite, {"policy_kwargs": _pickled(named_class)})))
    for name in (text, f"mlp_extractor.policy_net.{text}", f"features_extractor.{text}", f"action_net.{text}"):
        said.append(_sentence(_with_tensors(policy, rewrite, good | {name: torch.ones(2)})))
        said.append(_sentence(_with_tensors(policy, rewrite, good | {name: torch.full((2,), float("nan"))})))
    keys = spaces.Dict({text: spaces.Box(-1, 1, (2,))})
    said.append(_sentence(_with_data(policy, rewrite, {"observation_space": _pickled(pickle.dumps(keys))})))
    said.append(_sentence(CheckpointFiles(rewrite(policy, {"data": f"{{{text}".encode()}), None, "x")))
    said.append(_sentence(CheckpointFiles(policy, class_of, "x")))
    assert not any(text in sentence for sentence in said)


def test_a_name_in_the_archives_directory_that_is_another_in_its_header(save: Callable[..., Saved]) -> None:
    """A size in a header that takes in all of ``data``: the sentence had 33,904 characters."""
    policy = bytearray(save("PPO").policy)
    at = policy.find(b"PK\x03\x04")
    policy[at + 26 : at + 28] = (0xFFFF).to_bytes(2, "little")
    assert "..." in _sentence(CheckpointFiles(bytes(policy), None, "x"))


@pytest.mark.parametrize("name", ["data", "DATA", "policy.pth"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(save: Callable[..., Saved], name: str) -> None:
    """zipfile takes the last, other readers the first, torch's whatever the case."""
    out = io.BytesIO(save("PPO").policy)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr(name, b"{}")
    assert name in _sentence(CheckpointFiles(out.getvalue(), None, "x"))


def test_two_records_of_one_name_in_the_tensors(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(save("PPO").policy)) as file:
        inner = io.BytesIO(file.read("policy.pth"))
    with zipfile.ZipFile(inner, "a") as file:
        record = next(name for name in file.namelist() if name.endswith("/data/0"))
        file.writestr(record.upper(), b"1234")
    said = _sentence(CheckpointFiles(rewrite(save("PPO").policy, {"policy.pth": inner.getvalue()}), None, "x"))
    assert "data/0" in said.lower()


@pytest.mark.parametrize("flags", [1, 0x41])
def test_encrypted(save: Callable[..., Saved], flags: int) -> None:
    policy = bytearray(save("PPO").policy)
    directory = int.from_bytes(policy[-6:-2], "little")
    for at in (directory + 8, 6):
        policy[at : at + 2] = flags.to_bytes(2, "little")
    assert any(word in _sentence(CheckpointFiles(bytes(policy), None, "x")) for word in ("encrypted", "encryption"))


def test_member_that_unpacks_to_more_than_it_says(tmp_path: Path, measured: Measured) -> None:
    """zipfile unpacks all there is before it cuts."""
    (tmp_path / "policy.zip").write_bytes(bomb(512 << 20, 1000))
    assert measured(tmp_path / "policy.zip")["mib"] < 500


def _key(parts: bytes) -> bytes:
    return b"\x80\x02}" + parts + b"K\x01s."


@pytest.mark.parametrize("program", [_key(_TUPLES), _key(_DEEP), b"\x80\x04\x8f(" + _TUPLES + b"\x90."],
                         ids=["wide", "deep", "set"])  # fmt: skip
def test_tuples_whose_hash_takes_for_ever(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes], program: bytes
) -> None:
    """A key of 2^40 parts took for ever; one of 90,000 in one another ended the process."""
    with pytest.raises(CheckpointError, match="a tuple of more than"):
        reader.read(program, "a pickle")
    policy = save("PPO").policy
    assert "policy_kwargs" in _sentence(_with_data(policy, rewrite, {"policy_kwargs": _pickled(program)}))
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        inner = file.read("policy.pth")
    with zipfile.ZipFile(io.BytesIO(inner)) as file:
        name = next(name for name in file.namelist() if name.endswith("/data.pkl"))
    bad = rewrite(policy, {"policy.pth": rewrite(inner, {name: program})})
    assert "policy.pth" in _sentence(CheckpointFiles(bad, None, "x"))


@pytest.mark.parametrize("program", [
    b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
    b"\x80\x02ccollections\nCounter\nc__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R\x85R.",
    b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.",
])  # fmt: skip
def test_what_torch_admits_and_no_policy_has(save: Callable[..., Saved], rewrite: Callable[..., bytes], program: bytes
) -> None:  # fmt: skip
    policy = save("PPO").policy
    with zipfile.ZipFile(io.BytesIO(policy)) as file:
        inner = file.read("policy.pth")
    with zipfile.ZipFile(io.BytesIO(inner)) as file:
        name = next(name for name in file.namelist() if name.endswith("/data.pkl"))
    bad = rewrite(policy, {"policy.pth": rewrite(inner, {name: program})})
    assert "no plain tensor" in _sentence(CheckpointFiles(bad, None, "x"))
    legacy = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, legacy, _use_new_zipfile_serialization=False)
    start = legacy.getvalue()[:2] + program[2:]
    assert "no plain tensor" in _sentence(CheckpointFiles(rewrite(policy, {"policy.pth": start}), None, "x"))


def test_form_of_torch_before_1_6(save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    saved = save("PPO")
    legacy = io.BytesIO()
    torch.save(OrderedDict(_tensors(saved.policy)), legacy, _use_new_zipfile_serialization=False)
    files = CheckpointFiles(rewrite(saved.policy, {"policy.pth": legacy.getvalue()}), saved.vecnormalize, "x")
    expected = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x")).reference_numpy(saved.observations)
    np.testing.assert_array_equal(read(files).reference_numpy(saved.observations), expected)


def _space(kind: str, **attributes: bytes) -> bytes:
    module = {"Box": "box", "Discrete": "discrete", "MultiDiscrete": "multi_discrete", "MultiBinary": "multi_binary"}
    body = b"".join(b"X" + len(key).to_bytes(4, "little") + key.encode() + value for key, value in attributes.items())
    head = f"cgymnasium.spaces.{module[kind]}\n{kind}\n)".encode() + b"\x81}("
    return b"\x80\x04" + head + body + b"ub."


def _of(value: Any) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


SPACES: dict[str, bytes] = {
    "text as a number": _space("Discrete", n=_of("7")),
    "a fraction": _space("Discrete", n=_of(2.5)),
    "true": _space("Discrete", n=_of(True)),
    "none": _space("Discrete", n=_of(0)),
    "from one": _space("Discrete", n=_of(3), start=_of(1)),
    "huge": _space("Discrete", n=_of(10**5000)),
    "lists in lists": _space("MultiDiscrete", nvec=nested_lists()),
    "bits of lists": _space("MultiBinary", n=nested_lists()),
    "text in an array": _space("MultiDiscrete", nvec=_of("3")),
    "fractions": _space("MultiDiscrete", nvec=_of(np.array([2.5, 3.0]))),
    "negative": _space("MultiDiscrete", nvec=_of(np.array([-2, 3]))),
    "wrong way round": _space("Box", low=_of(np.ones(36)), high=_of(-np.ones(36))),
    "NaN bound": _space("Box", low=_of(np.full(36, np.nan)), high=_of(np.ones(36))),
    "lists as bounds": _space("Box", low=nested_lists(), high=nested_lists()),
    "bounds of two shapes": _space("Box", low=_of(np.zeros(36)), high=_of(np.ones(35))),
    "nothing": _space("Box", low=_of(np.zeros(0)), high=_of(np.zeros(0))),
    "no attribute": _space("Box"),
    "an array of lists": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(C\x00cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R("
    + nested_lists() + b"tX\x01\x00\x00\x00CtR.",
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("key", ["observation_space", "action_space"])
def test_space(save: Callable[..., Saved], rewrite: Callable[..., bytes], name: str, key: str) -> None:
    text = _sentence(_with_data(save("PPO").policy, rewrite, {key: _pickled(SPACES[name])}))
    assert key.replace("_", "") in text.replace("_", "").replace(" ", "")


def test_huge_box_of_bytes(tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes]) -> None:
    """64 MiB of bytes are half a gigabyte of float64, twice."""
    head = b"cnumpy.core.numeric\n_frombuffer\n(B"
    tail = b"cnumpy\ndtype\nX\x02\x00\x00\x00i1\x85RJ\x00\x00\xb0\x00\x85X\x01\x00\x00\x00CtR"
    side = head + (0xB00000).to_bytes(4, "little") + bytes(0xB00000) + tail
    data = {"observation_space": _pickled(_space("Box", low=side, high=side))}
    files = _with_data(save("PPO").policy, rewrite, data)
    assert "more than" in _sentence(files)


@pytest.mark.parametrize(("name", "value"), [
    ("net_arch", [100_000, 100_000]), ("net_arch", {"pi": [16, 16], "vf": [10**9]}), ("net_arch", [[10**6] * 3]),
    ("net_arch", [16] * 3000), ("net_arch", "x"), ("features_extractor_kwargs", {"features_dim": 10**9}),
    ("n_critics", 10**9), ("n_quantiles", 10**9),
    ("features_extractor_kwargs", 3), ("log_std_init", "x"), ("ortho_init", [1]), ("use_expln", []),
])  # fmt: skip
def test_settings_that_contradict_the_tensors(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes], name: str, value: Any
) -> None:
    """SB3's own policy would take gigabytes, or raise what it likes: the comparison is with NumPy then."""
    files = _with_data(save("PPO").policy, rewrite, {"policy_kwargs": _pickled(pickle.dumps({name: value}))})
    (tmp_path / "policy.zip").write_bytes(files.policy)
    found = inspect(files)
    assert found.releasable
    if name in ("net_arch", "features_extractor_kwargs"):
        assert "compared with NumPy" in found.how


class _Named(gymnasium.Env[Any, Any]):
    action_space = spaces.Discrete(3)

    def __init__(self, key: str) -> None:
        self.observation_space = spaces.Dict({key: spaces.Box(-1, 1, (2,)), "speed": spaces.Box(-1, 1, (1,))})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, True, {}


@pytest.mark.parametrize(("key", "frames"), [("scores", 1), ("speed_before", 2), ("action", 1), ("1a", 1)])
def test_key_that_would_be_two_things(tmp_path: Path, key: str, frames: int) -> None:
    """A key of the name of another input or of an output, or of no name at all: each has a name of its own."""
    from stable_baselines3 import A2C
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    env = DummyVecEnv([lambda: _Named(key)])
    A2C("MultiInputPolicy", VecFrameStack(env, frames) if frames > 1 else env, device="cpu").save(tmp_path / "p.zip")
    found = read(CheckpointFiles((tmp_path / "p.zip").read_bytes(), None, "x"), frame_stack=frames).signature
    names = [port.name for port in (*found.inputs, *found.outputs)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_excerpt() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (_LONG, _UGLY, loop, 10**5000, ValueError(_LONG), b"\x00" * 99, {"a": loop}, float, None, np.ones(3)):
        text = excerpt(value, 60)
        assert text.isprintable()
        assert 0 < len(text) <= 63
    assert excerpt("short") == "short"
    assert excerpt(2.5) == "2.5"
    assert excerpt([1, 2]) == "list of 2"
    random.seed(0)
    junk = "".join(chr(random.randrange(0x3000)) for _ in range(5000))
    assert excerpt(junk).isprintable()
