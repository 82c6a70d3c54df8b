"""`scripts.build_steps` carries out what a Dockerfile says, and says what it did not do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import build_steps
from scripts.build_steps import Step, build, needed, stages

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = """
# a comment
ARG BASE=debian:13
FROM ${BASE} AS first
ARG COMMIT="abc"
USER 0
RUN mkdir -p /opt/gate5/bin /srv/gate5/var \\
    && chown -R airflow:0 /opt/gate5
WORKDIR /srv/gate5
ENV PATH=/opt/gate5/bin:$PATH COMMIT=${COMMIT} PLACE=/srv/gate5
COPY --chown=airflow:0 one.txt folder ./
RUN printf '#!/bin/sh\\necho "$COMMIT $PLACE"\\n' > /opt/gate5/bin/tool && chmod +x /opt/gate5/bin/tool && tool > said

FROM debian:13 AS second
WORKDIR /srv/gate5
COPY --from=first --chown=airflow:0 /opt/gate5 /opt/gate5
RUN test -x /opt/gate5/bin/tool
ENTRYPOINT ["tool"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "folder" / "__pycache__").mkdir(parents=True)
    for name in ("one.txt", "two.txt", "folder/inside.txt", "folder/__pycache__/x.pyc"):
        (folder / name).write_text(name)
    (folder / ".dockerignore").write_text("*\n!one.txt\n!folder\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def test_every_step_is_carried_out_below_the_folder(context: Path, tmp_path: Path) -> None:
    first, second = build("second", tmp_path / "image", context / "Dockerfile")
    place = first.root / "srv/gate5"
    assert sorted(path.name for path in place.iterdir()) == ["inside.txt", "one.txt", "said", "var"]
    assert (place / "said").read_text() == f"abc {place}\n"
    assert (second.root / "opt/gate5/bin/tool").is_file()
    assert first.left_out.read_text().splitlines() == ["USER 0", f"chown -R airflow:0 {first.root}/opt/gate5"]
    assert second.left_out.read_text().splitlines() == ['ENTRYPOINT ["tool"]']


def test_a_plan_does_nothing(context: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build("second", tmp_path / "image", context / "Dockerfile", plan=True) == []
    assert "[second] RUN test -x /opt/gate5/bin/tool" in capsys.readouterr().out
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("test -x /opt/gate5/bin/tool", "test -x /opt/gate5/bin/other", "ended with exit code 1"),
        ("mkdir -p /opt/gate5/bin", "false && mkdir -p /opt/gate5/bin", "ended with exit code 1"),
        ("one.txt folder", "one.txt two.txt", ".dockerignore keeps that out"),
        ("--from=first --chown=airflow:0 /opt/gate5", "--from=first /opt/none", "there is no"),
    ],
)
def test_a_step_that_fails_ends_it(context: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in DOCKERFILE
    (context / "Dockerfile").write_text(DOCKERFILE.replace(old, new))
    with pytest.raises(RuntimeError, match=said):
        build("second", tmp_path / "image", context / "Dockerfile")


def test_the_steps_are_the_dockerfiles_own() -> None:
    found = stages((ROOT / "Dockerfile").read_text())
    assert list(found) == ["airflow", "gpu-build", "gpu"]
    assert list(needed(found, "gpu")) == ["gpu-build", "gpu"]
    installs = [step for step in found["airflow"] if step.word == "RUN" and "pip install" in step.rest]
    assert len(installs) == 2
    assert "-r requirements.txt -r requirements-cluster.txt && /opt/gate5/bin/pip check" in installs[0].rest
    assert Step("ENTRYPOINT", '["airflow"]') in found["gpu"]
    with pytest.raises(ValueError, match="write FROM IMAGE AS NAME"):
        stages("FROM debian:13\n")


def test_a_target_that_is_not_there_and_a_folder_that_is_are_bad_input(tmp_path: Path) -> None:
    for arguments, said in (
        (["--target", "none"], "airflow, gpu-build, gpu"),
        (["--folder", str(tmp_path)], "already"),
    ):
        tool = [sys.executable, "-m", build_steps.__name__, *arguments]
        done = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
