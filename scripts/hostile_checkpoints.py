"""Parts of a checkpoint as somebody would make them who means harm; ``scripts/fuzz_checkpoints.py`` puts them in."""

from __future__ import annotations

import base64
import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

#: A tuple of itself twice, forty times over, as a key: to hash it takes 2^40 visits.
_TUPLES = b"N" + b"2\x86" * 40
_NAMES = ("data", "policy.pth", "DATA", "dat\u0430", "../../policy.pth", "/etc/passwd", "x" * 60_000, "data\x1b[2J", "")
_NUMBERS: tuple[Any, ...] = (0, -1, 1, 1 << 20, 10**9, 10**18, 1.5, "7", "1e9", None, float("nan"), float("inf"), True,
                             10**400, [], [10**9], [[10**6] * 3], {"pi": [10**7, 10**7]}, "x" * 10_000)  # fmt: skip
_KEYS = ("net_arch", "n_critics", "n_quantiles", "lstm_hidden_size", "n_lstm_layers", "features_extractor_kwargs",
         "clip_mean", "log_std_init", "ortho_init", "use_sde", "squash_output", "normalize_images", "batch_norm_eps",
         "share_features_extractor", "activation_fn", "features_extractor_class", "x" * 5000, "a\nb")  # fmt: skip
_SPACE = ("n", "start", "nvec", "low", "high", "shape", "_shape", "dtype", "spaces", "bounded_below")


def archive(content: bytes, dice: random.Random) -> bytes:
    """Members twice, under other names, deflated, with sizes that lie, encrypted by their flags."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
            for info in old.infolist():
                record = old.read(info)
                method = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
                new.writestr(info.filename, record, method if dice.random() < 0.98 else zipfile.ZIP_LZMA)
                if dice.random() < 0.03:
                    new.writestr(dice.choice((*_NAMES, info.filename, info.filename.upper())), record[: 1 << 16])
            for _ in range(dice.choice((0, 0, 0, 1, 200))):
                new.writestr(f"{dice.choice(_NAMES)[:200]}{dice.random()}", b"x")
    except Exception:  # noqa: BLE001 - damaged before
        return content
    data = bytearray(out.getvalue())
    if dice.random() < 0.3:
        data = _lying(data, dice)
    return bytes(data)


def _lying(data: bytearray, dice: random.Random) -> bytearray:
    """A field of one entry of the directory: flags, method, sizes, place."""
    places = []
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\x01\x02", at + 4)
    if places:
        at = dice.choice(places)
        offset, size = dice.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (38, 4), (42, 4)))
        value = dice.choice((0, 1, 8, 12, 64, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) & ((1 << 8 * size) - 1)
        data[at + offset : at + offset + size] = value.to_bytes(size, "little")
    return data


def bomb(size: int, claimed: int) -> bytes:
    """A zip whose member ``data`` says that it has ``claimed`` bytes and unpacks to ``size`` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    crc = zlib.crc32(bytes(claimed))
    sizes = struct.pack("<III", crc, len(packed), claimed)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", 4, 0) + b"data"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
    entry += struct.pack("<HHHHHII", 4, 0, 0, 0, 0, 0, 0) + b"data"
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    return local + packed + entry + end


def settings(content: bytes, dice: random.Random) -> bytes:
    """``data`` with settings or a space that no policy has."""
    try:
        data = json.loads(content)
        if dice.random() < 0.6:
            given = {dice.choice(_KEYS): dice.choice(_NUMBERS) for _ in range(dice.randint(1, 3))}
            _put(data, "policy_kwargs", dice.choice((pickle.dumps(given, 2), pickle.dumps(given, 4), _hashed())))
        else:
            _put(data, dice.choice(("observation_space", "action_space")), _space(dice))
        return json.dumps(data).encode()
    except (ValueError, TypeError, AttributeError):
        return content


def _put(data: dict[str, Any], key: str, program: bytes) -> None:
    data[key] = {":type:": "x", ":serialized:": base64.b64encode(program).decode()}


def _hashed() -> bytes:
    return b"\x80\x02}" + _TUPLES + b"K\x01s."


def nested_lists(depth: int = 40) -> bytes:
    """A list of the same list twice, ``depth`` times over; without the end of a program."""
    return b"]" + b"".join(b"q%c0](h%ch%ce" % (place, place, place) for place in range(1, depth + 1))


def _space(dice: random.Random) -> bytes:
    kind = dice.choice(("box.Box", "discrete.Discrete", "multi_discrete.MultiDiscrete", "multi_binary.MultiBinary",
                        "dict.Dict"))  # fmt: skip
    module, _, name = kind.partition(".")
    head = f"c{dice.choice(('gym', 'gymnasium'))}.spaces.{module}\n{name}\n)\x81}}(".encode("latin1")
    body = b""
    for key in dice.sample(_SPACE, dice.randint(1, len(_SPACE))):
        body += b"X" + struct.pack("<I", len(key)) + key.encode()
        body += dice.choice((nested_lists(), _TUPLES, _value(dice)))
    return b"\x80\x04" + head + body + b"ub."


def _value(dice: random.Random) -> bytes:
    """A pickled number, text or array without its frame."""
    array = np.full(dice.choice((0, 1, 2, 36)), dice.choice((0, 1, -1, 255, 1e300)))
    array = array.astype(dice.choice(("f2", "f4", "f8", "i8", "u1", "?", "c16")))
    value = dice.choice((*_NUMBERS, array, {"x": 1}, np.float32(2), np.int64(3), np.dtype("f4")))
    return pickle.dumps(value, 2)[2:-1]


def tensors(content: bytes, dice: random.Random) -> bytes:
    """``policy.pth`` with tensors renamed, reshaped, of other types, or with other things among them."""
    import torch

    try:
        found = dict(torch.load(io.BytesIO(content), weights_only=True))
        for _ in range(dice.randint(1, 4)):
            name = dice.choice(sorted(found))
            found.update(dice.choice((
                {f"{name}{dice.choice(('.x', chr(10), chr(27) + '[2J', 'x' * 5000))}": found[name]},
                {name: found[name].reshape(-1)}, {name: found[name][None]}, {name: found[name][..., :0]},
                {name: torch.zeros(1).expand(2000, 2000)}, {name: found[name].half()}, {name: found[name].bool()},
                {name: torch.full_like(found[name], float("nan"))}, {name: found[name].double() * 1e300},
                {name: torch.zeros(())}, {name: torch.zeros(2, 2).to_sparse()}, {name: [1]}, {name: bytearray(9)},
            )))  # fmt: skip
            if dice.random() < 0.3:
                del found[name]
        buffer = io.BytesIO()
        torch.save(found, buffer, _use_new_zipfile_serialization=dice.random() < 0.7)
        return buffer.getvalue()
    except Exception:  # noqa: BLE001 - damaged before
        return content


def statistics(content: bytes, dice: random.Random) -> bytes:
    """A ``VecNormalize`` with other numbers in it."""
    head = b"\x80\x04cstable_baselines3.common.vec_env.vec_normalize\nVecNormalize\n)\x81}("
    rms = b"cstable_baselines3.common.running_mean_std\nRunningMeanStd\n)\x81}("
    for key in ("mean", "var", "count"):
        rms += _text(key) + dice.choice((_value(dice), nested_lists(), pickle.dumps(np.ones(36), 2)[2:-1]))
    body = _text("obs_rms") + dice.choice((rms + b"ub", b"}" + _TUPLES + rms + b"ubs", b"}" + _text("x") + b"Ns"))
    for key in ("epsilon", "clip_obs", "norm_obs"):
        body += _text(key) + dice.choice((_value(dice), b"G" + struct.pack(">d", 10.0), nested_lists()))
    return dice.choice((head + body + b"ub.", content, head + body + b"ub" + _TUPLES + b"K\x01s."))


def _text(key: str) -> bytes:
    return b"X" + struct.pack("<I", len(key)) + key.encode()
