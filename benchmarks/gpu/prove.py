"""A release proved where it runs: promoted, pulled, proved, accepted with its proof, and refused with every wrong one.

python -m benchmarks.gpu.prove WORKSPACE --out proof.json [--episodes 3] [--home DIR]

WORKSPACE is a run whose gate said pass on this machine (``python -m benchmarks.gpu measure WORKSPACE``). Its store
has to be the default one, a relative folder, which then lies in ``--home``. Besides what ``measure`` needs:
securesystemslib and cryptography, for signatures. Nothing but ``gate5``'s commands is called; the result has each with
its exit code and its own words. Exit code 0: each did what it has to; 1: one did not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.results import description
from gate5.errors import ConfigError, Gate5Error
from gate5.io.files import write_atomically

PACKAGES = ("tensorrt", "nvidia-tensorrt", "pycuda", "cuda-bindings", "onnx", "onnxruntime", "securesystemslib")
TRUST = ("--trust", "var/keys/release.pub")
#: A device whose name no device of this kind has.
OTHER_GPU = "NVIDIA H100 80GB HBM3"


@dataclass
class Session:
    """The commands so far, in one home."""

    home: Path
    steps: list[dict[str, Any]] = field(default_factory=list)

    def run(self, title: str, *words: str, code: int = 0, says: str = "") -> dict[str, Any]:
        """Run ``gate5 WORDS`` and note whether it ended with ``code`` and said ``says``."""
        began, command = time.perf_counter(), [sys.executable, "-m", "gate5", *words]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False)
        text, found = (done.stdout + done.stderr).strip(), done.returncode
        step = {"title": title, "command": " ".join(["gate5", *words]), "exit_code": found, "expected": code}
        step |= {"text": text, "seconds": round(time.perf_counter() - began, 2), "ok": found == code and says in text}
        self.note(step)
        return step

    def note(self, step: dict[str, Any]) -> None:
        self.steps.append(step)
        last = step["text"].splitlines()[-1] if step["text"] else ""
        print(f"{'✓' if step['ok'] else '✗'} {step['title']}: {last}", flush=True)


def prove(session: Session, workspace: Path, episodes: int) -> None:
    """The way that a person goes."""
    run = session.run
    run("a key", "keygen", "var/keys/release.pem")
    run("the report", "report", "--workspace", str(workspace))
    if run("promoted", "promote", "--workspace", str(workspace), says="is now in ")["exit_code"]:
        return
    run("pulled", "pull", "plant", *TRUST, says="golden inputs agree")
    run("refused without a proof", "pull", "plant", *TRUST, "--require-proof", code=3, says="gate5 prove")
    run("proved", "prove", "plant", *TRUST, "--episodes", str(episodes), says="is proved on")
    run("accepted with the proof", "pull", "plant", *TRUST, "--require-proof", says="runs here already")
    run("accepted by the next machine", "pull", "next", *TRUST, "--require-proof", says="proved on such a device")


def refusals(session: Session) -> None:
    """Every wrong proof in the place of the right one, in the store and beside the release."""
    from gate5.store import load_signer
    from gate5.store.proofs import read_proof

    place = next((session.home / "var/store/proofs").rglob("*.json"))
    beside = (session.home / "plant/current").resolve() / "proof.json"
    good = place.read_bytes()
    signer = load_signer(session.home / "var/keys/release.pem")
    proof = read_proof(good, None)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    wrong: tuple[tuple[str, bytes, str], ...] = (
        ("one changed byte", bytes(flipped), ""),
        ("another GPU's name", replace(proof, device=OTHER_GPU).sign(signer), f"it was made on {OTHER_GPU}"),
        ("another engine", replace(proof, engine_sha256="0" * 64).sign(signer), "it is of another engine"),
        ("a failed verdict", replace(proof, verdict="fail").sign(signer), "its verdict is fail"),
    )
    for title, data, says in wrong:
        for file in (place, beside):
            write_atomically(file, data)
        for dest in ("plant", "fresh"):
            session.run(f"refused, {title}, {dest}", "pull", dest, *TRUST, "--require-proof", code=3, says=says)
    for file in (place, beside):
        write_atomically(file, good)
    session.run("accepted again", "pull", "fresh", *TRUST, "--require-proof", says="proved on such a device")


def ended_key(session: Session) -> None:
    """A proof by a device's own key counts until the key ends."""
    words = ("--by", "bench", "--reason", "test")
    session.run("a device's key", "keygen", "device.pem")
    session.run("it may sign proofs", "keys", "add", "device.pub", "--channel", "proofs", *words)
    shutil.rmtree(session.home / "var/store/proofs")
    resign(session)
    session.run("accepted by the device's key", "pull", "plant", *TRUST, "--require-proof")
    session.run("the key ends", "keys", "end", "device.pub", *words)
    session.run("refused, the key has ended", "pull", "plant", *TRUST, "--require-proof", code=3, says="was ended at")


def resign(session: Session) -> None:
    """The proof of this run, signed with the device's key instead; the measurements are the same."""
    from gate5.store import load_signer
    from gate5.store.proofs import read_proof

    beside = (session.home / "plant/current").resolve() / "proof.json"
    write_atomically(beside, read_proof(beside.read_bytes(), None).sign(load_signer(session.home / "device.pem")))


def tensorrt_rtx(session: Session, folder: Path) -> None:
    """What an engine of TensorRT-RTX says on a GPU that it does not support; it is real, built by ``prepare``."""
    from gate5 import engine

    step: dict[str, Any] = {"title": "TensorRT-RTX refused on this GPU", "command": "gate5.engine.load"}
    if not (folder / "policy.engine").is_file():
        session.note({**step, "text": f"not asked: {folder} holds no engine of TensorRT-RTX", "ok": True})
        return
    blob, metadata = (folder / "policy.engine").read_bytes(), json.loads((folder / "engine.json").read_bytes())
    session.note({**step, **_refused(lambda: engine.load(blob, metadata))})


def _refused(load: Callable[[], Any]) -> dict[str, Any]:
    try:
        load().close()
    except Gate5Error as error:
        return {"text": str(error), "exit_code": error.exit_code, "ok": True}
    return {"text": "it was opened", "ok": False}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--home", type=Path, metavar="DIR", help="store, keys and plants (default: a new folder)")
    parser.add_argument("--episodes", type=int, default=3, help="of each scenario")
    options = parser.parse_args()
    workspace, out = options.workspace.absolute(), options.out.absolute()
    home = Path(tempfile.mkdtemp(prefix="gate5-prove-")) if options.home is None else options.home.absolute()
    try:
        session = Session(_fresh(home, workspace))
    except Gate5Error as error:
        print(error, file=sys.stderr)
        return error.exit_code
    prove(session, workspace, options.episodes)
    proof = home / "plant/current/proof.json"
    if proof.is_file():
        signed = json.loads(proof.read_bytes())
        refusals(session)
        ended_key(session)
    else:
        signed = None
    tensorrt_rtx(session, workspace / "rtx")
    ok = all(step["ok"] for step in session.steps)
    result = {"ok": ok, "machine": description(PACKAGES), "steps": session.steps, "proof": signed}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, (json.dumps(result, sort_keys=True, ensure_ascii=False) + "\n").encode())
    print(f"wrote {out}")
    return 0 if ok and signed is not None else 1


def _fresh(home: Path, workspace: Path) -> Path:
    """Make ``home`` the place where relative paths begin, with a configuration that says only the channel.

    Raises:
        ConfigError: something lies there, or the workspace's store is somewhere else.
    """
    home.mkdir(parents=True, exist_ok=True)
    if any(home.iterdir()):
        raise ConfigError(f"{home} is not empty: give --home a new folder.")
    try:
        config = json.loads((workspace / "config.json").read_bytes())
        store, channel = config["store"], {"release": {"channel": config["release"]["channel"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{workspace} is no workspace of a run ({error}): give one that `measure` filled.") from None
    if (store["uri"], store["signing_key"]) != ("var/store", "var/keys/release.pem"):
        raise ConfigError(f"The run's store is {store['uri']}: prepare it with the default one, which lies in --home.")
    (home / "config").mkdir()
    (home / "config/release.yaml").write_text(json.dumps(channel) + "\n")  # JSON is YAML
    os.environ["GATE5_HOME"] = str(home)
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    return home


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
