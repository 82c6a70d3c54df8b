"""Reading any file stays under 1 GiB and 10 s and ends in a sentence: each in a process of its own, measured."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gate5.checkpoint import CheckpointFiles, read
from gate5.checkpoint import unpickle as reader
from gate5.errors import CheckpointError
from tests.support.measured import Measured
from tests.support.saved import Saved


def _deflated(content: bytes, more: dict[str, int]) -> bytes:
    """A torch archive with records of zeros added, deflated."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for info in old.infolist():
            if info.filename not in more:
                new.writestr(info.filename, old.read(info))
        for name, size in more.items():
            with new.open(name, "w", force_zip64=True) as file:
                for _ in range(size >> 24):
                    file.write(bytes(1 << 24))
    return out.getvalue()


def _pth(tensors: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def _bomb_inside() -> bytes:
    """An archive of some MB whose inner record inflates to 1.25 GiB; with 3 GiB at 61a9b98: 3.3 GB and 101 s."""
    content = _pth({"action_net.weight": torch.zeros(2, 2)})
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        name = next(n for n in file.namelist() if n.endswith("/data/0"))
    return _deflated(content, {name: 5 << 28})


CASES: dict[str, Callable[[], bytes]] = {
    "inner record of 1.25 GiB": _bomb_inside,
    "expanded": lambda: _pth({"action_net.weight": torch.zeros(1).expand(20_000, 100_000)}),  # 2.1 GB at 61a9b98
    "many views": lambda: _pth(dict.fromkeys(map(str, range(4000)), torch.zeros(1 << 20))),
    "many tensors": lambda: _pth({str(i): torch.zeros(1) for i in range(5001)}),
    "a pickle of lists": lambda: _deflated(_pth({"x": torch.zeros(1)}), {"archive/data.pkl": 1 << 28}),
    "not a zip": lambda: b"\x80\x02" + b"]" * (100 << 20),
}


@pytest.mark.parametrize("name", CASES)
def test_policy_tensors(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes], measured: Measured, name: str
) -> None:
    archive = tmp_path / "policy.zip"
    archive.write_bytes(rewrite(save("PPO").policy, {"policy.pth": CASES[name]()}))
    assert "policy.pth" in measured(archive)["text"]


@pytest.mark.parametrize("member", ["policy.pth", "data"])
def test_zeros(tmp_path: Path, save: Callable[..., Saved], measured: Measured, member: str) -> None:
    """1,000 MiB of zeros that deflate to a few MiB; at 61a9b98: 2.2 GB."""
    archive = tmp_path / "policy.zip"
    archive.write_bytes(_deflated(save("PPO").policy, {member: 1000 << 20}))
    assert f"{member} in the checkpoint" in measured(archive)["text"]


#: The dearest, byte for byte, among objects and among lists.
DEAREST = ['{"a":{}},', "[[]],"]


@pytest.mark.parametrize("value", [*DEAREST, "{},", "[],"] if "GATE5_LONG" in os.environ else DEAREST)
def test_json_of_many_small_things(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes], measured: Measured, value: str
) -> None:
    """Each costs many times its text."""
    archive = tmp_path / "policy.zip"
    text = '{"x": [' + value * ((15 << 20) // len(value)) + "0]}"
    archive.write_bytes(rewrite(save("PPO").policy, {"data": text.encode()}))
    assert "policy" in measured(archive)["text"]


def test_many_members(tmp_path: Path, measured: Measured) -> None:
    archive = tmp_path / "policy.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for i in range(60_000):
            file.writestr(str(i), b"")
    archive.write_bytes(archive.read_bytes())
    assert "members" in measured(archive)["text"]


def test_file_of_any_size(tmp_path: Path, measured: Measured) -> None:
    archive = tmp_path / "policy.zip"
    with open(archive, "wb") as file:
        file.truncate(8 << 30)
    assert "8589934592 bytes" in measured(archive)["text"]


def test_largest_file_that_is_read(
    tmp_path: Path, save: Callable[..., Saved], rewrite: Callable[..., bytes], measured: Measured
) -> None:
    """Just under every limit: read or refused, and under 1 GiB."""
    archive = tmp_path / "policy.zip"
    saved = save("PPO")
    with zipfile.ZipFile(io.BytesIO(saved.policy)) as file:
        tensors = torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True)
    large = {**tensors, "value_net.weight": torch.ones(95 << 18)}
    archive.write_bytes(rewrite(saved.policy, {"policy.pth": _pth(large), "policy.optimizer.pth": bytes(110 << 20)}))
    assert measured(archive)["text"] == ""


def _shared_lists() -> bytes:
    nested: Any = [0.0] * 8
    for _ in range(9):
        nested = [nested] * 8
    return pickle.dumps(nested)


STATISTICS: dict[str, Callable[[], bytes]] = {
    "shared nested lists": lambda: _normaliser(_shared_lists()),  # 3.6 GB and 157 s at 61a9b98
    "lists": lambda: b"\x80\x04" + b"]" * (60 << 20) + b".",
    "sets": lambda: b"\x80\x04" + b"\x8f" * (60 << 20) + b".",
    "too large": lambda: b"\x80\x04" + bytes(200 << 20),
    "a memo of gigabytes": lambda: b"\x80\x04]r\xff\xff\xff\x7f.",
    "a memo of gigabytes, as text": lambda: b"\x80\x04]p2147483647\n.",
    "one array a thousand times": lambda: _arrays(),
}


def _normaliser(mean: bytes) -> bytes:
    """A VecNormalize whose mean is any pickle."""
    body = mean[2:-1] if mean[2:3] != b"\x95" else mean[11:-1]
    start = (b"\x80\x04cstable_baselines3.common.vec_env.vec_normalize\nVecNormalize\n)\x81}(X\x07\x00\x00\x00obs_rms"
             b"cstable_baselines3.common.running_mean_std\nRunningMeanStd\n)\x81}(X\x04\x00\x00\x00mean")  # fmt: skip
    return start + body + b"X\x03\x00\x00\x00varK\x01X\x05\x00\x00\x00countK\x01ubub."


def _arrays() -> bytes:
    once = pickle.dumps(np.zeros(1 << 20), protocol=4)
    return pickle.dumps([pickle.loads(once) for _ in range(2)], protocol=4) if not once else _repeat(once)


def _repeat(once: bytes) -> bytes:
    data = bytes(8 << 20)
    head = b"\x80\x04]cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R\x94B" + len(data).to_bytes(4, "little") + data + b"\x940"
    one = b"cnumpy._core.numeric\n_frombuffer\n(h\x01h\x00J\x00\x00\x10\x00\x85X\x01\x00\x00\x00CtRa"
    return head[:-2] + b"\x94" + b"0" + b"0" + one * 1000 + b"."


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(tmp_path: Path, save: Callable[..., Saved], measured: Measured, name: str) -> None:
    (tmp_path / "policy.zip").write_bytes(save("PPO").policy)
    (tmp_path / "vecnormalize.pkl").write_bytes(STATISTICS[name]())
    text = measured(tmp_path / "policy.zip", tmp_path / "vecnormalize.pkl")["text"]
    assert "vecnormalize.pkl" in text


@pytest.mark.parametrize("function", ["numpy._core.multiarray\nscalar", "numpy._core.numeric\n_frombuffer",
                                      "numpy._core.multiarray\n_reconstruct", "_codecs\nencode"])  # fmt: skip
@pytest.mark.parametrize("state", [b"N}X\x0c\x00\x00\x00__defaults__)s\x86b", b"}X\x01\x00\x00\x00aK\x01sb"])
def test_admitted_functions_take_no_state(
    save: Callable[..., Saved], altered: Callable[..., bytes], function: str, state: bytes
) -> None:
    """BUILD on one changed its defaults for the rest of the process at 61a9b98."""
    saved = save("PPO")
    good = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    with pytest.raises(CheckpointError, match="given a state"):
        reader.read(b"\x80\x04c" + function.encode() + b"\n" + state + b".", "a pickle")
    again = read(CheckpointFiles(saved.policy, saved.vecnormalize, "x"))
    assert good.normaliser is not None
    assert again.normaliser is not None
    np.testing.assert_array_equal(good.normaliser.mean, again.normaliser.mean)


def test_admitted_classes_take_no_state() -> None:
    """BUILD on a class itself, not on an object of it."""
    for module, name in reader._ADMITTED:
        program = f"c{module}\n{name}\n".encode() + b"}X\x08\x00\x00\x00__init__K\x01sb."
        with pytest.raises(CheckpointError):
            reader.read(b"\x80\x04" + program, "a pickle")
