"""The commands on a store do what was asked, or nothing: an option that does nothing is refused, a lie is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gate5 import store
from gate5.cli.main import main
from gate5.config.channel import StoreConfig
from gate5.store import ArtifactStore, Promotion, history, keygen, open_store, promote, publish

Run = Callable[..., tuple[int, str]]
WHO = ("--by", "me", "--reason", "r")
GIVEN = {"plant": "tank", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A home with a store, a signing key, and three releases on production."""
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/release.yaml").write_text("channels: {production: {approvers: [ada]}}\n")
    keygen(tmp_path / "var/keys/release.pem")
    keygen(tmp_path / "other.pem")
    made = open_store(StoreConfig())
    for mark in (b"a", b"b", b"c"):
        promote(made, "production", publish(made, {"engine/policy.engine": mark}, GIVEN), approved_by="me")
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def gate5(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return gate5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("revoke", "OTHER", "--channel", "production"), "--channel: a key ends on all channels at once"),
        (("end", "OTHER", "--until", "2031-01-01T00:00:00+00:00"), "--until: a key ends on all"),
        (("end", "OTHER", "--from", "2031-01-01T00:00:00+00:00"), "--from: a key ends on all"),
        (("demand", "production", "--channel", "staging"), "`gate5 keys demand` does not take --channel"),
        (("demand", "production", "--threshold", "2"), "does not take --threshold"),
        (("list", "--channel", "production"), "`gate5 keys list` does not take"),
        (("list", "production"), "`gate5 keys list` does not take"),
        (("add", "."), "is a folder: name the one key to add"),
    ],
)
def test_a_change_of_keys_that_was_asked_for_with_more_than_it_does(
    opened: ArtifactStore, run: Run, words: tuple[str, ...], said: str
) -> None:
    """A key is added once and closed for ever: what was meant for one channel must not happen on all."""
    key_id = store.load_public_keys(["other.pub"])[0].keyid
    assert run("keys", "add", "other.pub", *WHO)[0] == 0
    before = opened.backend.list("keys/")
    code, told = run("keys", *(key_id if word == "OTHER" else word for word in words), *WHO)
    assert code == 2
    assert said in told
    assert opened.backend.list("keys/") == before


def test_where_a_release_stands_is_verified_with_the_keys_that_were_given(
    opened: ArtifactStore, run: Run, tmp_path: Path
) -> None:
    """On a machine without keys a forged entry stood there as if `--trust` had vouched for it."""
    newest = history(opened, "production")[0]
    keygen(tmp_path / "thief/k.pem")
    thief = ArtifactStore(opened.backend, tmp_path / "thief/k.pem")
    promote(thief, "staging", publish(thief, {"engine/policy.engine": b"x"}, GIVEN), approved_by="ada")
    trust = ("--trust", str(tmp_path / "var/keys/release.pub"), "--set", "store.signing_key=/nowhere/k.pem")
    code, told = run("show", newest.release, *trust)
    assert (code, "not signed by a trusted key" in told) == (3, True)
    assert run("show", newest.release, "--set", "store.signing_key=/nowhere/k.pem")[1].endswith("--trust KEY.pub.\n")


def test_a_machine_that_has_public_keys_alone_verifies_with_them(
    opened: ArtifactStore, run: Run, tmp_path: Path
) -> None:
    """The cluster's api-server and GPU workers are such machines."""
    (tmp_path / "var/keys/release.pem").unlink()
    code, told = run("history", "--verify", "--json")
    assert code == 0
    assert json.loads(told)["verified"] is True


def test_a_rollback_that_was_interrupted_after_its_entry(
    opened: ArtifactStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again would go back one release more, and hold a good one: that must not be the advice."""

    def done_and_interrupted(*given: object, **more: object) -> Promotion:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "rollback", done_and_interrupted)
    code, told = run("rollback", *WHO)
    assert code == 3
    assert "look at `gate5 history --channel production` before you do it again" in told
    assert "run the same command again" not in told


def test_a_release_whose_claim_was_forged_can_be_put_back(opened: ArtifactStore, run: Run) -> None:
    """A claim is not signed; whoever was quicker than the first promotion may have written it."""
    first = history(opened, "production")[-1].release
    from gate5.store import claims
    from gate5.store.channel import Log
    from gate5.store.directory import DirectoryBackend

    assert isinstance(opened.backend, DirectoryBackend)
    log = Log(opened, "production")
    (opened.backend.path / f"claims/production/{first}").unlink()
    claims.claim(log, first, 2)
    code, told = run("rollback", "--to", first, *WHO)
    assert code == 0, told
    code, told = run("rollback", "--to", "", *WHO)
    assert (code, "'' was never on the channel production" in told) == (2, True)
