"""The Dockerfile's steps, carried out in an empty folder: as near to a build as can be had without containers.

    python -m scripts.build_steps [--target airflow] [--folder DIR] [--plan]

Reads the Dockerfile itself. COPY copies what .dockerignore admits; RUN runs in a shell with the stage's own ENV and
nothing of this session's but pip's settings; the image's folders (/opt/gate5, /srv/gate5, ...) are folders below
``--folder``. What needs root, Debian's packages or another image's files is not done, and said at the end. Afterwards
the image's commands are tried: the packages fit each other, and its Airflow reads its DAGs without an error.
``--plan`` prints the steps only. Where download.pytorch.org cannot be reached, PIP_EXTRA_INDEX_URL names another index,
as the build argument of that name does.

Exit codes: 0 all steps went through, 1 one failed, 2 there is no such target.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Folders of the image that are folders below the stage's own.
PLACES = ("/opt/gate5", "/srv/gate5", "/opt/airflow")
#: Not done here: they print what they were asked for.
STAND_INS = ("chown", "useradd", "apt-get", "add-apt-repository")
#: What the finished image has to be able to do.
TRIES = (
    "pip check",
    "airflow version",
    "gate5 --version",
    "python -c \"from airflow.dag_processing.dagbag import DagBag; bag = DagBag('dags'); "
    'assert bag.dags and not bag.import_errors, bag.import_errors; print(*sorted(bag.dags))"',
)


@dataclass(frozen=True)
class Step:
    """One instruction: its word and what follows, on one line."""

    word: str
    rest: str


def stages(text: str) -> dict[str, list[Step]]:
    """A Dockerfile's stages by name; what stands before the first one is in each."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, list[Step]] = {}
    before: list[Step] = []
    current = before
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, rest = line.split(None, 1)
        if word == "FROM":
            match = re.fullmatch(r"\S+ AS (\S+)", rest)
            if match is None:
                raise ValueError(f"FROM {rest} names no stage: write FROM IMAGE AS NAME")
            current = found[match[1]] = list(before)
        else:
            current.append(Step(word, rest))
    return found


class Stage:
    """A stage in a folder of its own.

    Args:
        name: of the stage.
        folder: of all stages.
        context: where COPY copies from.
    """

    def __init__(self, name: str, folder: Path, context: Path) -> None:
        self.name, self.all, self.context = name, folder, context
        self.root = folder / name
        self.root.mkdir(parents=True)
        self.work = self.root
        kept = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.endswith("_proxy")}
        self.environment = {**kept, "HOME": str(self.root / "home"), "LANG": "C.UTF-8"}
        (self.root / "home").mkdir()
        self.left_out = self.root / "left-out.txt"
        self.left_out.write_text("")
        self.tools = self.root / "stand-ins"
        self.tools.mkdir()
        for tool in STAND_INS:
            script = self.tools / tool
            script.write_text(f'#!/bin/sh\necho "{tool} $*" >> {self.left_out}\n')
            script.chmod(0o755)
        # Before the machine's own: this Python, as the base image has one of Airflow's.
        (self.tools / "python3.11").symlink_to(os.path.realpath(sys.executable))
        self.environment["PATH"] = f"{self.tools}:/usr/bin:/bin"

    def placed(self, text: str) -> str:
        """``text`` with the image's folders as folders of this stage."""
        for place in PLACES:
            text = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w-])", str(self.root) + place, text)
        return text

    def carry_out(self, step: Step) -> None:
        """Carry out one step.

        Raises:
            RuntimeError: a command failed, or COPY names what is not there.
        """
        if step.word == "WORKDIR":
            self.work = Path(self.placed(step.rest))
            self.work.mkdir(parents=True, exist_ok=True)
        elif step.word == "ENV":
            for name, value in re.findall(r"(\w+)=(\S*)", step.rest):
                self.environment[name] = self.placed(filled(value, self.environment))
        elif step.word == "ARG":
            name, _, value = step.rest.partition("=")
            self.environment.setdefault(name, value.strip('"'))
        elif step.word == "COPY":
            self.copy(step.rest)
        elif step.word == "RUN":
            self.run(self.placed(step.rest))
        else:
            with self.left_out.open("a") as out:
                out.write(f"{step.word} {step.rest}\n")

    def copy(self, rest: str) -> None:
        """COPY, from the context or from another stage."""
        *words, target = [word for word in rest.split() if not word.startswith("--chown")]
        source, base = re.match(r"--from=(\S+)", words[0]), self.context
        if source:
            base, words = self.all / source[1], words[1:]
        elif not set(words) <= admitted(self.context):
            raise RuntimeError(f"COPY {rest}: .dockerignore keeps that out of the build")
        placed = Path(self.placed(target))
        goal = placed if placed.is_absolute() else self.work / target
        for word in words:
            path = base / word.lstrip("/")
            if not path.exists():
                raise RuntimeError(f"COPY {rest}: there is no {path}")
            if path.is_dir():
                hidden = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
                shutil.copytree(path, goal, symlinks=True, dirs_exist_ok=True, ignore=hidden if not source else None)
            else:
                goal.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, goal)

    def run(self, command: str) -> None:
        """RUN, or a command of the finished image.

        Raises:
            RuntimeError: it failed.
        """
        done = subprocess.run(["sh", "-euc", command], cwd=self.work, env=self.environment, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"`{command}` ended with exit code {done.returncode}")


def admitted(context: Path) -> set[str]:
    """What a .dockerignore that keeps everything out lets in again."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return {line[1:] for line in lines if line.startswith("!")}


def filled(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with ``$NAME`` and ``${NAME}`` filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], ""), text)


def needed(found: Mapping[str, list[Step]], target: str) -> Iterator[str]:
    """The stages that a target takes files from, and itself, in order."""
    for step in found[target]:
        match = re.search(r"--from=(\S+)", step.rest) if step.word == "COPY" else None
        if match:
            yield from needed(found, match[1])
    yield target


def build(target: str, folder: Path, dockerfile: Path, plan: bool = False) -> list[Stage]:
    """Carry out a target's steps; returns its stages, the target's last.

    Raises:
        RuntimeError: a step failed.
    """
    found, made = stages(dockerfile.read_text(encoding="utf-8")), []
    for name in dict.fromkeys(needed(found, target)):
        stage = None if plan else Stage(name, folder, dockerfile.parent)
        for step in found[name]:
            print(f"[{name}] {step.word} {step.rest}", flush=True)
            if stage:
                stage.carry_out(step)
        made += [stage] if stage else []
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="airflow")
    parser.add_argument("--folder", type=Path, help="a folder that is not there yet; left standing")
    parser.add_argument("--plan", action="store_true", help="print the steps and do nothing")
    given = parser.parse_args()
    dockerfile = ROOT / "Dockerfile"
    names = list(stages(dockerfile.read_text(encoding="utf-8")))
    if given.target not in names:
        print(f"There is no target {given.target!r}; there are {', '.join(names)}.", file=sys.stderr)
        return 2
    if given.folder and given.folder.exists():
        print(f"{given.folder} is there already: name a folder that is not.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="gate5-build-") as temporary:
        folder = (given.folder or Path(temporary) / "image").resolve()
        try:
            made = build(given.target, folder, dockerfile, given.plan)
            for command in TRIES if made else ():
                print(f"[tried] {command}", flush=True)
                made[-1].run(command)
        except RuntimeError as error:
            print(f"gate5: {error}", file=sys.stderr)
            return 1
        for stage in made:
            for line in stage.left_out.read_text().splitlines():
                print(f"[not done here] {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
