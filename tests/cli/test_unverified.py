"""What no key vouches for is shown as that: a forged entry, and holds, on a machine without a public key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate5.cli.main import main
from gate5.config.channel import StoreConfig
from gate5.store import hold, keygen, open_store, promote, publish


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with nothing in it but a configuration."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/release.yaml").write_text("engine: {backend: onnxruntime}\n")


@pytest.fixture
def forged(tmp_path: Path) -> str:
    """A store whose one entry a stranger's key has signed; there is no key beside this machine's own."""
    keygen(tmp_path / "thief" / "k.pem")
    uri = str(tmp_path / "store")
    store = open_store(StoreConfig(uri=uri, signing_key=str(tmp_path / "thief" / "k.pem")))
    given = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    a, b = (publish(store, {"engine/policy.engine": mark}, given) for mark in (b"a", b"b"))
    promote(store, "production", a, approved_by="thief")
    hold(store, "production", b.id, by="thief", reason="mine")
    return uri


def run(capsys: pytest.CaptureFixture[str], uri: str, *words: str) -> tuple[int, str]:
    code = main([*words, "--set", f"store.uri={uri}", "--set", "store.signing_key=/nowhere/release.pem"])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("command", ["history", "hold"])
def test_what_is_shown_without_a_key_says_so(capsys: pytest.CaptureFixture[str], forged: str, command: str) -> None:
    code, said = run(capsys, forged, command)
    assert code == 0
    assert "thief" in said
    assert "NOT VERIFIED" in said
    code, said = run(capsys, forged, command, "--json")
    assert code == 0
    assert json.loads(said)["verified"] is False


def test_verify_without_a_key_is_refused(capsys: pytest.CaptureFixture[str], forged: str) -> None:
    code, said = run(capsys, forged, "history", "--verify")
    assert code == 2
    assert "no key to verify the history with: give --trust" in said


def test_with_a_key_a_forged_entry_is_refused_with_the_way_out(
    capsys: pytest.CaptureFixture[str], forged: str, tmp_path: Path
) -> None:
    keygen(tmp_path / "own" / "k.pem")
    code, said = run(capsys, forged, "history", "--trust", str(tmp_path / "own" / "k.pub"))
    assert code == 3
    assert "not signed by a trusted key" in said
    assert "`A forged or damaged entry` in docs/store.md" in said
