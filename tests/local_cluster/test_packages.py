"""What the cluster needs and is not here: one sentence with the way to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_cluster import __main__ as command
from local_cluster import packages
from local_cluster.packages import DEBIAN, NEEDED, MissingError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with none of the programs, and a user who may install none."""
    monkeypatch.setattr(packages, "program", lambda name: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)


@pytest.mark.usefixtures("bare")
def test_a_missing_program_is_told_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingError) as told:
        packages.ensure_programs(NEEDED)
    said = "initdb, postgres, createdb, redis-server is missing: run `apt-get install postgresql redis-server` as root."
    assert str(told.value) == said
    assert set(NEEDED) <= set(DEBIAN)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("options", "code", "word"), [([], 3, "gate5: "), (["--or-skip"], 0, "skipped: ")])
def test_the_command_fails_or_skips(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], code: int, word: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["local_cluster", "--short", *options])
    monkeypatch.setattr(command, "exit_on_signals", lambda: None)  # this process is the tests'
    assert command.main() == code
    said = capsys.readouterr().err
    assert said.startswith(word)
    assert said.count("\n") == 1


def test_what_is_installed_already_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "OVERLAY", tmp_path / "cluster")
    calls: list[list[str]] = []

    def run(words: list[str], **_: object) -> object:
        calls.append(words)
        (tmp_path / "cluster/bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cluster/lib/python3.11/site-packages").mkdir(parents=True, exist_ok=True)
        return type("Done", (), {"returncode": 0, "stdout": ""})()

    monkeypatch.setattr("subprocess.run", run)
    python = packages.ensure_environment()
    assert python == packages.ensure_environment() == tmp_path / "cluster/bin/python"
    assert len(calls) == 2, "a virtual environment and one pip, once"
    assert (tmp_path / "cluster/bin/airflow").read_text().endswith('-m airflow "$@"\n')
    # One whose installation broke off has no stamp, and is made again.
    (tmp_path / "cluster/installed").unlink()
    packages.ensure_environment()
    assert len(calls) == 4


def test_the_environment_sees_its_base_where_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that was made through a link which may be gone tomorrow is mended."""
    packages_folder = tmp_path / "cluster/lib/python3.11/site-packages"
    packages_folder.mkdir(parents=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (packages_folder / "base.pth").write_text(f"import site; site.addsitedir('{tmp_path / 'link'}')\n")
    monkeypatch.setattr(packages, "OVERLAY", tmp_path / "cluster")
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path / "link")])
    packages._link_base()
    assert (packages_folder / "base.pth").read_text() == f"import site; site.addsitedir('{tmp_path / 'real'}')\n"
