"""``gate5 prove`` and what a pull makes of a proof: with a real engine, a real plant and a real store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate5 import store
from gate5.cli.main import main
from gate5.config.models import ReleaseConfig
from gate5.errors import IntegrityError, StoreInputError
from gate5.pipeline.prove_stored import prove_stored
from gate5.provenance import cpu_name
from gate5.store import proofs
from tests.support.fleet import CONFIG, Fleet, Trust, publish


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fleet:
    monkeypatch.setenv("GATE5_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["keygen"]) == 0
    publish(tmp_path)
    return Fleet(tmp_path, capsys)


@pytest.fixture(scope="module")
def proved_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a release that one machine has proved; copied by each test that spoils it."""
    home = tmp_path_factory.mktemp("proved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATE5_HOME", str(home))
        patch.chdir(home)
        (home / "release.yaml").write_text(yaml.safe_dump(CONFIG))
        assert main(["keygen"]) == 0
        publish(home)
        assert main(["pull", "plant", "--config", "release.yaml", *Trust]) == 0
        assert main(["prove", "plant", "--config", "release.yaml", *Trust, "--episodes", "1"]) == 0
    return home


@pytest.fixture
def proved(
    proved_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fleet:
    home = tmp_path / "home"
    shutil.copytree(proved_home, home, symlinks=True)
    monkeypatch.setenv("GATE5_HOME", str(home))
    monkeypatch.chdir(home)
    return Fleet(home, capsys)


def test_what_is_proved_here_runs_here_and_on_others_like_it(fleet: Fleet) -> None:
    """Without its proof it waits; with it, it runs; the next machine of the fleet need not prove it again."""
    code, refused = fleet.pull("plant", "--require-proof")
    assert code == 3
    assert "gate5 prove" in refused["error"]
    assert cpu_name() in refused["error"]
    assert not (fleet.home / "plant/current").exists()
    waiting = fleet.of("plant", "candidate")
    assert (waiting / "files/engine/policy.engine").is_file()

    code, made = fleet.prove()
    assert code == 0, made
    assert made["proof"]["verdict"] == "pass"
    assert (made["proof"]["device"], made["path"]) == (cpu_name(), str(waiting / "proof.json"))
    outcomes = {rule["name"]: rule["outcome"] for rule in made["proof"]["gate"]["rules"]}
    for name in ("golden_inputs", "engine_parity", "latency_p99", "no_violations", "emergency_trip_shown"):
        assert outcomes[name] == "pass"
    assert made["proof"]["measured"]["closed_loop"]["scenarios"]["emergency_trip"]["episodes"] == 1
    assert made["proof"]["measured"]["start_up_s"] > 0
    assert fleet.store.backend.read(made["stored"]) == (waiting / "proof.json").read_bytes()

    code, done = fleet.pull("plant", "--require-proof")
    assert (code, done["outcome"], done["path"]) == (0, "installed", str(waiting)), "not fetched a second time"
    assert not (fleet.home / "plant/candidate").exists()
    assert fleet.pull("plant", "--require-proof")[1]["outcome"] == "already_current"
    code, done = fleet.pull("another", "--require-proof")
    assert (code, done["outcome"]) == (0, "installed")
    assert "proved on such a device" in done["text"]
    assert fleet.proof("another") == fleet.proof("plant")


def signed(fleet: Fleet, **changes: Any) -> bytes:
    return replace(fleet.proof(), **changes).sign(fleet.store.signer)


def one_byte(fleet: Fleet) -> bytes:
    data = bytearray((fleet.of("plant") / "proof.json").read_bytes())
    data[len(data) // 2] ^= 1
    return bytes(data)


def stranger(fleet: Fleet) -> bytes:
    pair = store.keygen(fleet.home / "stranger.pem")
    return fleet.proof().sign(store.load_signer(pair.private))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda fleet: signed(fleet, device="NVIDIA H100 80GB HBM3"), "it was made on NVIDIA H100 80GB HBM3"),
        (lambda fleet: signed(fleet, engine_sha256="0" * 64), "it is of another engine"),
        (lambda fleet: signed(fleet, manifest_sha256="0" * 64), "it is of another release"),
        (lambda fleet: signed(fleet, verdict="fail"), "its verdict is fail"),
        (lambda fleet: signed(fleet, verdict="error"), "its verdict is error"),
        (lambda fleet: signed(fleet, verdict="awaiting proof"), "its verdict is awaiting proof"),
        (lambda fleet: signed(fleet, versions={"onnxruntime": "0.1"}), "it was made with onnxruntime 0.1"),
        (stranger, "not signed by a trusted key"),
    ],
    ids=["gpu", "engine", "release", "fail", "error", "awaiting", "version", "stranger"],
)
def test_a_proof_that_does_not_count(proved: Fleet, forge: Callable[[Fleet], bytes], words: str) -> None:
    proved.only(forge(proved))
    for dest in ("plant", "fresh"):
        code, found = proved.pull(dest, "--require-proof")
        assert code == 3
        if dest == "plant":  # the store keeps it under what it says of itself, so a fresh machine may not even see it
            assert words in found["error"]
    assert not (proved.home / "fresh/current").exists()
    assert proved.pull("plant")[1]["outcome"] == "already_current", "what runs runs on"


def test_a_proof_of_another_gpu_in_this_ones_place(proved: Fleet) -> None:
    """Put under this machine's name by somebody who can write to the store."""
    mine = next((proved.home / "var/store/proofs").rglob("*.json"))
    other = signed(proved, device="NVIDIA H100 80GB HBM3")
    mine.unlink()
    mine.write_bytes(other)
    code, found = proved.pull("fresh", "--require-proof")
    assert code == 3
    assert "it was made on NVIDIA H100 80GB HBM3" in found["error"]


def test_one_changed_byte(proved: Fleet) -> None:
    data = one_byte(proved)
    next((proved.home / "var/store/proofs").rglob("*.json")).write_bytes(data)
    (proved.of("plant") / "proof.json").write_bytes(data)
    for dest in ("plant", "fresh"):
        code, found = proved.pull(dest, "--require-proof")
        assert code == 3
        assert "trusted key" in found["error"] or "damaged" in found["error"]


def test_any_changed_byte_of_a_proof_is_seen(proved: Fleet) -> None:
    data = (proved.of("plant") / "proof.json").read_bytes()
    keys = store.load_public_keys(["var/keys/release.pub"])
    for place in range(0, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 4
        with pytest.raises(IntegrityError):
            proofs.read_proof(bytes(changed), keys)
    assert proofs.read_proof(data, keys).verdict == "pass"


def test_a_release_with_the_same_engine_and_stricter_rules_is_not_proved(proved: Fleet) -> None:
    """The device was never asked whether it meets them."""
    before = proved.proof()
    publish(proved.home, {"gate.sla_p99_ms": 1e-6})
    code, found = proved.pull("fresh", "--require-proof")
    assert code == 3
    assert f"it is of another release ({before.release}) with the same engine" in found["error"]


def test_a_device_that_failed_often_does_not_hide_its_later_proof(proved: Fleet) -> None:
    good = (proved.of("plant") / "proof.json").read_bytes()
    shutil.rmtree(proved.home / "var/store/proofs")
    for second in range(proofs.MOST + 3):
        proofs.keep(proved.store, signed(proved, verdict="fail", at=f"2026-01-01T00:00:{second:02d}+00:00"))
    assert proved.pull("fresh", "--require-proof")[0] == 3
    proofs.keep(proved.store, good)
    assert proved.pull("fresh", "--require-proof")[0] == 0


def test_one_that_counts_is_enough_beside_those_that_do_not(proved: Fleet) -> None:
    good = (proved.of("plant") / "proof.json").read_bytes()
    proved.only(signed(proved, verdict="fail"))
    proofs.keep(proved.store, good)
    assert proved.pull("fresh", "--require-proof")[0] == 0


def test_a_key_that_has_ended_proves_nothing_any_more(proved: Fleet) -> None:
    store.keygen(proved.home / "device.pem")
    proved.keys("add", "device.pub", "--channel", proofs.SCOPE)
    assert proved.prove("plant", "--key", "device.pem", "--local")[0] == 2, "the store's keyring was not asked"
    proved.only(proved.proof().sign(store.load_signer(proved.home / "device.pem")))
    assert proved.pull("fresh", "--require-proof")[0] == 0
    assert proved.pull("plant", "--require-proof")[0] == 0
    proved.keys("end", "device.pub")
    for dest in ("fresh", "plant", "third"):
        code, found = proved.pull(dest, "--require-proof")
        assert code == 3
        assert "was ended at" in found["error"]


def test_a_devices_key_signs_proofs_and_nothing_else(proved: Fleet) -> None:
    store.keygen(proved.home / "device.pem")
    proved.keys("add", "device.pub", "--channel", proofs.SCOPE)
    code, made = proved.prove("plant", "--key", "device.pem")
    assert code == 0, made
    signer = store.load_signer(proved.home / "device.pem")
    next_one = publish(proved.home, {"parity.samples": 101})
    with pytest.raises(StoreInputError, match="may sign on proofs only, not on test"):
        store.promote(proved.store, "test", next_one, approved_by="me", signer=signer)


def test_a_key_that_may_not_is_told_before_anything_is_measured(proved: Fleet) -> None:
    store.keygen(proved.home / "device.pem")
    proved.keys("add", "device.pub", "--channel", "test")
    code, found = proved.prove("plant", "--key", "device.pem")
    assert code == 2
    assert "may sign on test only" in found["error"]
    store.keygen(proved.home / "unknown.pem")
    code, found = proved.prove("plant", "--key", "unknown.pem")
    assert code == 2
    assert "not in the store's keyring" in found["error"]


def test_what_a_channel_or_a_machine_asks_for_needs_no_option(proved: Fleet) -> None:
    shutil.rmtree(proved.home / "var/store/proofs")
    (proved.home / "pull.yaml").write_text("require_proof: true\n")
    assert proved.pull("by-limits", "--limits", "pull.yaml")[0] == 3
    assert proved.pull("nothing-asked")[0] == 0
    text = yaml.safe_dump({**CONFIG, "channels": {"production": {"require_proof": True}}})
    (proved.home / "release.yaml").write_text(text)
    proved.keys("demand", "production")
    assert proved.pull("by-channel")[0] == 3
    code, found = proved.pull("nothing-asked")
    assert code == 3, "what runs there was never proved"
    assert (proved.home / "nothing-asked/current").exists(), "and runs on"
    assert "gate5 prove" in found["error"]
    assert proved.pull("plant")[0] == 0


def test_what_awaits_its_proof_runs_nowhere_without(fleet: Fleet) -> None:
    """Whatever the machine asks for; what ran before runs on until the proof is there."""
    assert fleet.pull()[1]["outcome"] == "installed"
    before = fleet.of("plant")
    release = publish(fleet.home, {"parity.samples": 101}, verdict="awaiting proof")
    for _ in range(2):
        code, found = fleet.pull()
        assert code == 3
        assert release in found["error"]
    assert fleet.of("plant") == before
    waiting = fleet.of("plant", "candidate")
    assert len(list((fleet.home / "plant/releases").iterdir())) == 2, "fetched once, however often it is pulled"
    assert fleet.prove()[0] == 0
    code, done = fleet.pull()
    assert (code, done["release"], done["path"]) == (0, release, str(waiting))


def test_a_device_that_is_too_slow_signs_that_it_is(fleet: Fleet) -> None:
    publish(fleet.home, {"gate.sla_p99_ms": 1e-6})
    assert fleet.pull()[0] == 0
    code, made = fleet.prove()
    assert (code, made["proof"]["verdict"]) == (1, "fail")
    assert "latency_p99" in made["text"]
    code, found = fleet.pull("plant", "--require-proof")
    assert code == 3
    assert "its verdict is fail" in found["error"]


def test_a_worker_proves_what_is_in_the_store(proved: Fleet) -> None:
    """Nothing is pulled to it; a proof that is there is not made again; one that does not count is."""
    config = ReleaseConfig.load(proved.home / "release.yaml")
    found = prove_stored(config, None)
    assert (found.made, found.proof.payload()) == (False, proved.proof().payload())
    store.keygen(proved.home / "device.pem")
    with pytest.raises(StoreInputError, match="no-such-key"):
        prove_stored(config, publish(proved.home, {"parity.samples": 101}), key="no-such-key.pem")
    proved.keys("add", "device.pub", "--channel", proofs.SCOPE)
    lines: list[str] = []
    made = prove_stored(config, None, key="device.pem", episodes=1, say=lines.append)
    assert (made.made, made.proof.verdict) == (True, "pass")
    assert any("emergency_trip: 0 violations" in line for line in lines)
    assert made.stored in made.sentence
    again = prove_stored(config, None, key="device.pem")
    assert (again.made, again.proof.at) == (False, made.proof.at)
    code, done = proved.pull("fresh", "--require-proof")
    assert (code, done["release"]) == (0, made.proof.release)
    proved.keys("end", "device.pub")
    assert prove_stored(config, None, episodes=1).made, "the device's key has ended, and its proofs with it"
    with pytest.raises(StoreInputError, match="Nothing was ever promoted on the channel empty"):
        prove_stored(ReleaseConfig.load(proved.home / "release.yaml", {"release.channel": "empty"}), None)
    with pytest.raises(StoreInputError, match="There is no release"):
        prove_stored(config, "sco2-000000000000")


def test_a_worker_says_which_rule_the_device_does_not_meet(proved: Fleet) -> None:
    config = ReleaseConfig.load(proved.home / "release.yaml")
    found = prove_stored(config, publish(proved.home, {"gate.sla_p99_ms": 1e-6}), episodes=1)
    assert (found.made, found.proof.verdict) == (True, "fail")
    assert "latency_p99" in found.sentence
    assert prove_stored(config, None, episodes=1).proof.verdict != "pass", "a proof that says no is none"


def test_bad_input_is_one_sentence(proved: Fleet) -> None:
    for words, code, text in (
        (["prove", "nowhere", *Trust], 2, "No release lies in"),
        (["prove", "plant", "--trust", "missing.pub"], 2, "missing.pub"),
        (["prove", "plant", *Trust, "--key", "missing.pem"], 2, "missing.pem"),
        (["prove", "plant", *Trust, "--episodes", "0"], 2, "0 episodes prove nothing"),
    ):
        ended, said = proved.gate5(*words)
        assert ended == code
        assert text in said["error"]
    (proved.of("plant") / "files/policy.onnx").write_bytes(b"other")
    code, found = proved.prove()
    assert (code, "policy.onnx" in found["error"]) == (3, True)
