"""Fuzzes the checkpoint reader for a while: ``nice python -m scripts.fuzz_checkpoints --seconds 1200``.

Each case follows from its seed alone: a real archive and its statistics, damaged in one to eight places that matter
(bytes, pickle opcodes, JSON values, tensors, zip members), or, from seed 1,000,000 on, put together as somebody would
who means harm (scripts/hostile_checkpoints.py); half of a run is of each kind. Right is a policy that can be described
and acts, or a ``CheckpointError`` of one line, under 1 GiB and 10 s, with no canary written. A seed that is not right
is printed; put it into tests/checkpoint/test_fuzz.py once it is mended.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import pickle
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from scripts import hostile_checkpoints as hostile

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "examples/checkpoints/good", *sorted((ROOT / "tests/checkpoint/sb3_1_8").glob("*")))
WRONG: tuple[Any, ...] = (
    "",
    "-1",
    "nan",
    None,
    [],
    {},
    [[]],
    1e308,
    10**400,
    True,
    "x" * 1000,
    {":type:": "x", ":serialized:": "gA=="},
)
MOST_MIB = 700  # of one case, beside the 320 of a process that has PyTorch and Stable-Baselines3 in it
CRAFTED = 1_000_000  # seeds from here on are of files that somebody made on purpose
OPCODES = (
    *(bytes([code]) for code in b"(.02N]})tRbaesu\x81\x93\x94\x85\x86\x8f\x90\x91"),
    b"h\x00", b"h\x05", b"K\x01", b"cposix\nsystem\n", b"cbuiltins\neval\n", b"cnumpy._core.multiarray\nscalar\n",
    b"cnumpy\ndtype\n", b"J\xff\xff\xff\x7f", b"G" + b"\x7f\xf0" + bytes(6), b"\x8c\x05hello", b"B\x04\x00\x00\x00abcd",
)  # fmt: skip


class Canary:
    """Leaves a file behind if it is ever unpickled in earnest."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def bytes_of(seed: int, canary: str) -> tuple[bytes, bytes]:
    """``policy.zip`` and ``vecnormalize.pkl`` of a case."""
    dice = random.Random(seed)
    folder = dice.choice(FOLDERS)
    if seed >= CRAFTED:
        return _crafted(folder, dice, canary)
    policy, statistics = (folder / "policy.zip").read_bytes(), (folder / "vecnormalize.pkl").read_bytes()
    for _ in range(dice.randint(1, 8)):
        what = dice.randrange(6)
        if what == 0:
            policy = _bytes(policy, dice)
        elif what == 1:
            statistics = _pickle(statistics, dice, canary)
        elif what == 2:
            policy = _member(policy, "data", lambda content: _json(content, dice, canary))
        elif what == 3:
            policy = _member(policy, "policy.pth", lambda content: _bytes(content, dice))
        elif what == 4:
            policy = _member(policy, "policy.pth", lambda content: _inner(content, dice, canary))
        else:
            statistics = _bytes(statistics, dice)
    return policy, statistics


def _crafted(folder: Path, dice: random.Random, canary: str) -> tuple[bytes, bytes]:
    """Whole parts replaced by what somebody could have made on purpose, then now and then a few bytes damaged."""
    policy, statistics = (folder / "policy.zip").read_bytes(), (folder / "vecnormalize.pkl").read_bytes()
    for _ in range(dice.randint(1, 3)):
        what = dice.randrange(5)
        if what == 0:
            policy = hostile.archive(policy, dice)
        elif what == 1:
            policy = _member(policy, "policy.pth", lambda content: hostile.archive(content, dice))
        elif what == 2:
            policy = _member(policy, "data", lambda content: hostile.settings(content, dice))
        elif what == 3:
            policy = _member(policy, "policy.pth", lambda content: hostile.tensors(content, dice))
        else:
            statistics = hostile.statistics(statistics, dice)
    if dice.random() < 0.3:
        policy = _member(policy, "data", lambda content: _json(content, dice, canary))
    if dice.random() < 0.3:
        statistics = _pickle(statistics, dice, canary)
    return policy, statistics


def _bytes(content: bytes, dice: random.Random) -> bytes:
    """A few bytes other, gone or doubled."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        if not data:
            return b""
        at = dice.randrange(len(data))
        kind = dice.randrange(4)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at : at + dice.randint(1, 64)]
        elif kind == 2:
            data[at:at] = data[at : at + dice.randint(1, 64)]
        else:
            data[at : at + 4] = dice.choice((b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"))
    return bytes(data)


def _pickle(content: bytes, dice: random.Random, canary: str) -> bytes:
    """Opcodes put in, and now and then a program that would run something."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data) + 1)
        data[at:at] = dice.choice(OPCODES)
    if dice.random() < 0.3:
        program = pickle.dumps(Canary(canary), protocol=dice.randrange(5))
        return dice.choice((program, bytes(data) + program, program[:-1] + bytes(data[2:])))
    return bytes(data)


def _json(content: bytes, dice: random.Random, canary: str) -> bytes:
    try:
        data = json.loads(content)
        for _ in range(dice.randint(1, 4)):
            key = dice.choice(sorted(data))
            entry = data[key]
            if isinstance(entry, dict) and isinstance(entry.get(":serialized:"), str) and dice.random() < 0.7:
                inner = base64.b64decode(entry[":serialized:"])
                entry[":serialized:"] = base64.b64encode(_pickle(inner, dice, canary)).decode()
            elif dice.random() < 0.5:
                data[key] = dice.choice(WRONG)
            else:
                del data[key]
        return json.dumps(data).encode()
    except (ValueError, TypeError, AttributeError, IndexError):
        return _bytes(content, dice)


def _inner(content: bytes, dice: random.Random, canary: str) -> bytes:
    """One record of torch's archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            name = dice.choice(file.namelist())
        return _member(content, name, lambda record: _pickle(record, dice, canary))
    except (zipfile.BadZipFile, ValueError, OSError, IndexError):
        return _bytes(content, dice)


def _member(archive: bytes, name: str, change: Any) -> bytes:
    """An archive with one member changed; what is no archive any more stays as it is."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
            for info in old.infolist():
                content = old.read(info)
                new.writestr(info.filename, change(content) if info.filename == name else content)
    except Exception:  # noqa: BLE001 - damaged before
        return archive
    return out.getvalue()


def right(seed: int, folder: Path) -> str | None:
    """What is wrong with a case; ``None``: nothing."""
    from gate5.checkpoint import CheckpointFiles
    from gate5.errors import CheckpointError

    canary = folder / "canary"
    policy, statistics = bytes_of(seed, str(canary))
    start, before = time.process_time(), _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    try:
        text = _use(CheckpointFiles(policy, statistics, "fuzz"))
    except CheckpointError as error:
        text = str(error)
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    if len(text) > 2000 or not text.isprintable():
        return f"a sentence of {len(text)} characters"
    if canary.exists():
        return "the canary was written"
    if time.process_time() - start > 10:
        return f"{time.process_time() - start:.0f} s"
    taken = _memory("VmHWM") - before
    return f"{taken:.0f} MiB" if taken > MOST_MIB else None


def _memory(key: str) -> float:
    """This process's own memory in MiB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[key].split()[0]) / 1024


def _use(files: Any) -> str:
    """Read a case, describe it, and let it act; the sentence that describes it."""
    import numpy as np

    from gate5.checkpoint import read

    checkpoint = read(files)
    checkpoint.describe()
    rows = np.zeros((2, sum(port.size for port in checkpoint.signature.inputs)), np.float32)
    with np.errstate(all="ignore"):
        checkpoint.reference(rows)
    return str(checkpoint.describe()["observation_space"])


def main() -> int:
    """Run until the time is over; exit code 1 where a case was not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end, seed, bad, peak = time.monotonic() + options.seconds, options.seed, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            for case in (seed, seed + CRAFTED):
                wrong = right(case, Path(folder))
                peak = max(peak, _memory("VmHWM"))
                if wrong is not None:
                    bad += 1
                    print(f"seed {case}: {wrong}", flush=True)
            seed += 1
    print(f"{2 * (seed - options.seed)} cases from seed {options.seed}, {bad} not right, peak memory {peak:.0f} MiB")
    return int(bad > 0 or peak > 1024)


if __name__ == "__main__":
    sys.exit(main())
