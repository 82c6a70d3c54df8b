"""Do two clones, each with a virtual environment of its own, make the same graph and the same engines?

    python -m scripts.two_clones [--python OTHER/.venv/bin/python] [--checkpoint FOLDER]

Clones this repository's HEAD twice, into folders of other names and depths. Each clone runs its own code with its own
Python (``--python``, once or twice; this one where it is left out), hash seed, time zone and home folder, reads its own
copy of the checkpoint, exports it, and builds the engine of each backend that gives the same bytes twice: ONNX Runtime,
and TensorRT-RTX in FP16 and BF16. Exit code 0: the same bytes; 1: they differ. No GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHIPPED = "examples/checkpoints/good"
PLACES = ("a", "b/another clone/of a longer name")
#: What must not matter.
SURROUNDINGS: tuple[dict[str, str], ...] = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "OMP_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "31415", "TZ": "Pacific/Auckland", "OMP_NUM_THREADS": "2"},
)
_BUILD = textwrap.dedent("""
    import hashlib, importlib.util, json, sys
    from pathlib import Path
    import gate5
    from gate5 import engine
    from gate5.checkpoint import fetch, read
    from gate5.config.engine import EngineConfig
    from gate5.config.models import ReleaseConfig
    from gate5.export import ONNXExporter

    assert Path(gate5.__file__).is_relative_to(Path.cwd()), gate5.__file__
    onnx = ONNXExporter(ReleaseConfig().export).trace(read(fetch(sys.argv[1])))
    kinds = [("onnxruntime", "fp32")]
    if importlib.util.find_spec("tensorrt_rtx"):
        kinds += [("tensorrt_rtx", "fp16"), ("tensorrt_rtx", "bf16")]
    found = {"policy.onnx": onnx}
    for backend, precision in kinds:
        found[f"{backend} {precision}"] = engine.build(onnx, EngineConfig(backend=backend, precision=precision)).blob
    print(json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in found.items()}))
""")


def built(place: Path, python: str, surroundings: dict[str, str], checkpoint: Path) -> dict[str, str]:
    """Clone into ``place`` and build there: name to SHA-256."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(place)], check=True)
    home = place / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GATE5"))}
    environment = {**kept, **surroundings, "HOME": str(home), "PYTHONPATH": f"{place / 'include'}{os.pathsep}{place}"}
    own = place / SHIPPED if checkpoint == ROOT / SHIPPED else checkpoint
    done = subprocess.run(
        [python, "-c", _BUILD, str(own)], cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What is not the same in both, or is in one alone."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def main() -> int:
    """Build twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="of a clone's virtual environment; up to twice")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / SHIPPED, metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="clone into it and leave the clones there")
    told = parser.parse_args()
    if len(told.python) > 2:
        parser.error("--python: there are two clones")
    given = [os.path.abspath(path) for path in told.python]  # not resolved: the link is what makes it an environment's
    for path in given:
        if not os.access(path, os.X_OK):
            parser.error(f"--python: {path} is no program")
    pythons = [sys.executable, sys.executable, *given][-2:]
    with tempfile.TemporaryDirectory() as folder:
        base, found = (told.keep or Path(folder)).absolute(), []
        for name, python, surroundings in zip(PLACES, pythons, SURROUNDINGS, strict=True):
            found.append(built(base / name, python, surroundings, told.checkpoint.absolute()))
            print(f"{base / name}, {python}", flush=True)
            print("\n".join(f"  {digest}  {what}" for what, digest in found[-1].items()), flush=True)
    wrong = differing(*found)
    print(f"Not the same: {', '.join(wrong)}." if wrong else f"The same: {', '.join(found[0])}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
