"""Changes bytes of a store or of a plant's folder at random and looks what comes of it.

    nice python -m scripts.tamper_release --changes 5000

Each change follows from its seed alone: one file of a release, of its channel's log, of the keyring or of the rest of a
store (two seeds of three), or of a plant's folder. Right is a refusal (an error of gate5's own, one sentence), or proof
that nothing changed: the same release with the same bytes at the plant, the same log, the same answer to a promotion of
a new release, of one that was replaced and of one that is held. All else is printed with its seed; the exit code is 1.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gate5.config.engine import EngineConfig
from gate5.edge.golden import golden_provenance, pack_golden
from gate5.edge.pull import fall_back, pull
from gate5.engine import build, load
from gate5.errors import Gate5Error
from gate5.io import canonical
from gate5.io.files import sha256
from gate5.store import ArtifactStore, history, keygen, load_public_keys, promote, publish, rollback
from gate5.store.directory import DirectoryBackend
from gate5.store.key_changes import add_key, close_key

CHANNEL = "production"
OBS, ACT = 5, 2
PROVENANCE: dict[str, Any] = {
    "plant": "tank",
    "engine": {"backend": "onnxruntime", "precision": "fp32"},
    "gate": {"verdict": "pass"},
    "golden": golden_provenance(1e-5),
}
Answer = Any


def graph(mark: int) -> bytes:
    """A policy: action = tanh(obs @ W), with another W for another mark."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(mark).normal(size=(OBS, ACT)).astype(np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "W"], ["h"]), helper.make_node("Tanh", ["h"], ["action"])],
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", OBS])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", ACT])],
        [numpy_helper.from_array(weights, "W")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(onnx.ModelProto.SerializeToString(model))


def release_files(mark: int) -> dict[str, bytes]:
    """A release of a real engine of ONNX Runtime, with its golden inputs."""
    built = build(graph(mark), EngineConfig(backend="onnxruntime"))
    obs = np.random.default_rng(99).normal(size=(4, OBS)).astype(np.float32)
    with load(built.blob, built.metadata) as engine:
        golden = pack_golden(obs, engine.infer(obs))
    return {
        "engine/policy.engine": built.blob,
        "engine/engine.json": canonical.dumps(built.metadata),
        "golden.npz": golden,
        "report.html": b"<p>a report</p>",
    }


class Site:
    """A store with a keyring (one key ended), four releases, one of them held and one replaced; two plants.

    Attributes:
        new: a release that is on no channel yet.
        replaced: the first one, which others have replaced.
        held: the one that was rolled back, and is held.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "store"
        keygen(folder / "keys/release.pem")
        keygen(folder / "other/other.pem")
        self.store = self.open()
        self.keys = load_public_keys([folder / "keys/release.pub"])
        self.replaced, self.held, last, self.new = (self._publish(mark) for mark in range(4))
        self._promote(self.replaced)
        other = load_public_keys([folder / "other/other.pub"])[0]
        add_key(self.store, other, name="other", by="me", reason="a second machine")
        self._promote(self.held)
        close_key(self.store, other.keyid, by="me", reason="sold", revoked=False)
        rollback(self.store, CHANNEL, by="me", reason="oscillates")
        self.plants = {name: folder / name for name in ("plant", "fallen")}
        self.pull(self.plants["plant"])
        self.pull(self.plants["fallen"])
        self._promote(last)
        for plant in self.plants.values():
            self.pull(plant)
        fall_back(self.plants["fallen"], "oscillates")
        self.right = self.answers()
        self.right_plants = {name: self.plant_answer(name) for name in self.plants}

    def open(self) -> ArtifactStore:
        """A store as a new process sees it."""
        return ArtifactStore(DirectoryBackend(self.root), self.folder / "keys/release.pem")

    def answers(self) -> dict[str, Answer]:
        """What the store says to a new plant, a reader and three promotions; what these write is removed again."""
        asked: dict[str, Callable[[], Answer]] = {
            "pull": lambda: self._fresh_plant(),
            "history": lambda: [entry.to_dict() for entry in history(self.open(), CHANNEL, self.keys)],
            "promote a new one": lambda: self._promote(self.new),
            "promote a replaced one": lambda: self._promote(self.replaced),
            "promote a held one": lambda: self._promote(self.held),
        }
        return {name: self._answer(ask) for name, ask in asked.items()}

    def plant_answer(self, name: str) -> Answer:
        """What a plant's next pull says, and what runs there then; its folder is put back as it was."""
        plant, kept = self.plants[name], self.folder / f"{name}.kept"
        shutil.copytree(plant, kept, symlinks=True)
        try:
            return self._answer(lambda: self.pull(plant))
        finally:
            shutil.rmtree(plant)
            kept.rename(plant)

    def _answer(self, ask: Callable[[], Answer]) -> Answer:
        with self._put_back():
            try:
                return ask()
            except Gate5Error as error:
                if "\n" in str(error):
                    return f"not one sentence: {error}"
                return f"refused: {type(error).__name__}"

    @contextlib.contextmanager
    def _put_back(self) -> Iterator[None]:
        before = {path for path in self.root.rglob("*") if path.is_file()}
        try:
            yield
        finally:
            for path in self.root.rglob("*"):
                if path.is_file() and path not in before:
                    path.unlink()

    def _fresh_plant(self) -> Answer:
        plant = self.folder / "fresh"
        try:
            return self.pull(plant)
        finally:
            shutil.rmtree(plant, ignore_errors=True)

    def pull(self, plant: Path) -> Answer:
        done = pull(self.open(), CHANNEL, plant, self.keys, load_engine=load)
        current = plant / "current"
        files = {str(path.relative_to(current)): sha256(path.read_bytes()) for path in _files(current / "files")}
        # Damaged on the plant's own disk it is installed anew, which is right: what counts is what runs then.
        return "held" if done.outcome == "held" else "runs", done.release, done.sequence, files

    def _promote(self, release: str) -> Answer:
        done = promote(self.open(), CHANNEL, release, approved_by="me", trusted_keys=self.keys)
        return done.outcome, done.sequence, done.replaced

    def _publish(self, mark: int) -> str:
        return publish(self.store, release_files(mark), PROVENANCE).id


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def changed(data: bytes, dice: random.Random) -> bytes:
    """The same bytes with one change, of a kind that may pass for good data."""
    at = dice.randrange(len(data) + 1) if data else 0
    kind = dice.randrange(9)
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    if kind <= 1 and digits:  # another number: JSON stays JSON
        at = dice.choice(digits)
        return data[:at] + bytes([dice.choice(b"0123456789")]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + dice.choice([b" ", b"\n", b"0", b"\t", b"\r\n", b"\x00", b"-", b","]) + data[at:]
    if kind == 3:
        return data[:at]
    if kind == 4:
        return data[:at] + data[at + dice.randint(1, 8) :]
    if kind == 5:
        return data + dice.choice([b"\n", b" ", b"\x00", data, b"{}"])
    if kind == 6 and at < len(data):
        return data[:at] + bytes([data[at] ^ 32]) + data[at + 1 :]  # a letter's case
    if kind == 7 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def judge(site: Site, seed: int) -> tuple[str, str, str | None]:
    """One change: (what it was made to, ``refused`` or ``the same``, what is wrong or ``None``)."""
    dice = random.Random(seed)
    plant = dice.choice(sorted(site.plants)) if seed % 3 == 2 else None
    root = site.root if plant is None else site.plants[plant]
    kinds: dict[str, list[Path]] = collections.defaultdict(list)
    for path in _files(root):
        kinds[_kind(path.relative_to(root), plant)].append(path)
    kind = dice.choice(sorted(kinds))
    path = dice.choice(kinds[kind])
    data = path.read_bytes()
    new = data
    while new == data:
        new = changed(data, dice)
    path.write_bytes(new)
    try:
        found = site.answers() if plant is None else {"pull": site.plant_answer(plant)}
    except Exception as error:  # noqa: BLE001 (whatever it is that is no error of gate5's own is what is looked for)
        return kind, "broken", f"{path.relative_to(site.folder)}: {type(error).__name__}: {error}"
    finally:
        path.write_bytes(data)
    right = site.right if plant is None else {"pull": site.right_plants[plant]}
    refused = [name for name, answer in found.items() if answer != right[name] and _refused(answer)]
    wrong = [name for name, answer in found.items() if answer != right[name] and not _refused(answer)]
    if wrong:
        return kind, "wrong", f"{path.relative_to(site.folder)}: {wrong[0]} gave {found[wrong[0]]}"
    return kind, "refused" if refused else "the same", None


def _refused(answer: Answer) -> bool:
    return isinstance(answer, str) and answer.startswith("refused: ")


def _kind(path: Path, plant: str | None) -> str:
    first = path.parts[0]
    if plant is None:
        return first
    return "plant: files" if "files" in path.parts else f"plant: {path.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=5000, help="how many (default: 5000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    given = parser.parse_args()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        for seed in range(given.first, given.first + given.changes):
            kind, outcome, what = judge(site, seed)
            counts[kind][outcome] += 1
            if what is not None:
                wrong += 1
                print(f"seed {seed}: {what}", flush=True)
    print(f"{'changed':<24}{'refused':>9}{'the same':>10}{'wrong':>7}")
    for kind, found in sorted(counts.items()):
        print(f"{kind:<24}{found['refused']:>9}{found['the same']:>10}{found['wrong'] + found['broken']:>7}")
    total = sum(counts.values(), collections.Counter())
    print(f"{given.changes} changes: {total['refused']} refused, {total['the same']} changed nothing, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
