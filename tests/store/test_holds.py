"""A policy that was rolled back or rejected stays out, whatever the bytes of its engine, until a person lifts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gate5.errors import IntegrityError, RefusedError, StoreInputError
from gate5.store import (
    ArtifactStore,
    Candidate,
    Release,
    current,
    history,
    hold,
    holds,
    lift,
    promote,
    publish,
    rollback,
)
from gate5.store.artifact_store import blob_name
from gate5.store.candidate import identities
from gate5.store.directory import DirectoryBackend
from tests.store.test_long_logs import count

Build = Callable[..., Release]
SAID: dict[str, Any] = {"by": "A. Person", "reason": "oscillates"}


def of(function: str, **more: str) -> Candidate:
    return Candidate(**{"function": function, "plant": "sco2", "target": "tensorrt", "precision": "fp16", **more})


@pytest.fixture
def build(opened: ArtifactStore, provenance: Callable[..., dict[str, Any]]) -> Build:
    """A release of a policy; another ``engine``, another build of it."""

    def make(function: str, engine: object = 1, **more: str) -> Release:
        files = {"engine/policy.engine": f"{function} {engine}".encode(), "policy.onnx": function.encode()}
        policy = of(function, **more)
        engine_of = {"backend": policy.target, "precision": policy.precision}
        return publish(opened, files, provenance(candidate=policy.to_dict(), engine=engine_of))

    return make


def put(store: ArtifactStore, release: Release, **more: Any) -> str:
    return promote(store, "production", release, approved_by="gate5", **more).outcome


def now_there(store: ArtifactStore) -> str | None:
    entry = current(store, "production", store.trusted_keys)
    return entry.release if entry else None


def test_what_was_rolled_back_does_not_come_back_with_other_engine_bytes(opened: ArtifactStore, build: Build) -> None:
    a, b, again = build("A"), build("B"), build("B", engine=2)
    assert again.id != b.id
    assert identities(again)[0] == identities(b)[0]
    put(opened, a)
    put(opened, b)
    done = rollback(opened, "production", **SAID)
    assert (done.release, done.replaced) == (a.id, b.id)
    assert f"gate5 release-hold {b.id}" in done.sentence
    for release in (again, b):
        with pytest.raises(RefusedError, match=r"held .* rolled back by A\. Person on .*: oscillates") as refused:
            put(opened, release)
        assert refused.value.exit_code == 1
    with pytest.raises(RefusedError, match=r"rolled back by A\. Person"):
        rollback(opened, "production", to=b.id, **SAID)
    assert now_there(opened) == a.id

    lifted = lift(opened, "production", again.id, by="B. Other", reason="the sensor it was")
    assert (lifted.outcome, lifted.holds[0].release) == ("lifted", b.id)
    assert put(opened, again) == "promoted"
    assert now_there(opened) == again.id
    assert holds(opened, "production", opened.trusted_keys) == ()
    assert [entry.kind for entry in reversed(history(opened, "production", opened.trusted_keys))] == [
        "promote", "promote", "rollback", "lift", "promote",
    ]  # fmt: skip


def test_the_very_release_may_be_promoted_once_more_after_the_lift(opened: ArtifactStore, build: Build) -> None:
    a, b, c = build("A"), build("B"), build("C")
    for release in (a, b):
        put(opened, release)
    rollback(opened, "production", **SAID)
    lift(opened, "production", b.id, **SAID)
    assert put(opened, b) == "promoted"
    assert put(opened, b) == "already_current"
    put(opened, c)
    assert put(opened, b) == "superseded", "an old promotion's second run undoes nothing"
    assert now_there(opened) == c.id


def test_another_precision_or_target_is_another_candidate(opened: ArtifactStore, build: Build) -> None:
    put(opened, build("A"))
    put(opened, build("B"))
    rollback(opened, "production", **SAID)
    with pytest.raises(RefusedError):
        put(opened, build("B", engine=2))
    assert put(opened, build("B", engine=3, precision="fp32")) == "promoted"
    assert put(opened, build("B", engine=4, target="onnxruntime")) == "promoted"


def test_a_release_without_the_record_is_known_by_its_graph(
    opened: ArtifactStore, provenance: Callable[..., dict[str, Any]], build: Build
) -> None:
    put(opened, build("A"))
    engine_of = {"backend": "tensorrt", "precision": "fp16"}
    old = publish(opened, {"engine/policy.engine": b"1", "policy.onnx": b"B"}, provenance(engine=engine_of))
    put(opened, old)
    rollback(opened, "production", **SAID)
    with pytest.raises(RefusedError, match=old.id):
        put(opened, build("B", engine=2))


def test_a_person_holds_what_never_was_there(opened: ArtifactStore, build: Build) -> None:
    a = build("A")
    assert hold(opened, "production", of("B"), kind="reject", by="ada", reason="no").outcome == "held"
    again = hold(opened, "production", of("B"), kind="reject", by="ada", reason="no")
    assert again.outcome == "already_held"
    assert "rejected by ada" in again.sentence
    assert len(history(opened, "production", opened.trusted_keys)) == 1
    assert current(opened, "production", opened.trusted_keys) is None
    with pytest.raises(StoreInputError, match="nothing to go back to"):
        rollback(opened, "production", **SAID)
    assert put(opened, a) == "promoted", "the log begins with a hold"
    with pytest.raises(RefusedError, match="rejected by ada"):
        put(opened, build("B"))
    with pytest.raises(StoreInputError, match=f"{a.id} is the current release"):
        hold(opened, "production", a.id, **SAID)
    with pytest.raises(StoreInputError, match="first release"):
        rollback(opened, "production", **SAID)


def test_a_rollback_passes_what_is_held(opened: ArtifactStore, build: Build) -> None:
    a, b, c = build("A"), build("B"), build("C")
    for release in (a, b, c):
        put(opened, release)
    hold(opened, "production", b.id, **SAID)
    assert rollback(opened, "production", **SAID).release == a.id
    assert [each.release for each in holds(opened, "production")] == [b.id, c.id]


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_what_is_taken_out_is_held_though_its_manifest_is_gone(
    opened: ArtifactStore, build: Build, damage: bytes | None
) -> None:
    """Known by the signed entry that made it current; another entry may have come since."""
    if not isinstance(opened.backend, DirectoryBackend):
        pytest.skip("damage is done in the folder")
    a, b = build("A"), build("B")
    put(opened, a)
    put(opened, b)
    hold(opened, "production", "a" * 64, **SAID)
    manifest = opened.backend.path / f"releases/{b.id}/manifest.json"
    manifest.write_bytes(damage) if damage is not None else manifest.unlink()
    opened._remembered.clear()
    done = rollback(opened, "production", **SAID)
    assert (done.release, f"{b.id} is held until a person lifts that" in done.sentence) == (a.id, True)
    with pytest.raises(RefusedError, match=r"rolled back by A\. Person"):
        put(opened, build("B", engine=2))
    assert lift(opened, "production", b.id, **SAID).holds[0].identities == identities(b)
    assert put(opened, build("B", engine=2)) == "promoted"


def test_of_two_builds_of_one_policy_neither_is_held_and_none_is_put_back_by_itself(
    opened: ArtifactStore, build: Build
) -> None:
    a, b, rebuilt = build("A"), build("B"), build("B", engine=2)
    for release in (a, b, rebuilt):
        put(opened, release)
    named = rollback(opened, "production", to=b.id, **SAID)
    assert "No hold was put" in named.sentence
    assert holds(opened, "production") == ()
    lone = build("D"), build("D", engine=2)
    for release in lone:
        promote(opened, "staging", release, approved_by="gate5")
    with pytest.raises(StoreInputError, match="another build of the same policy"):
        rollback(opened, "staging", **SAID)
    assert rollback(opened, "production", **SAID).release == a.id


def test_without_a_hold(opened: ArtifactStore, build: Build) -> None:
    put(opened, build("A"))
    put(opened, build("B"))
    rollback(opened, "production", hold=False, **SAID)
    assert holds(opened, "production") == ()
    assert put(opened, build("B", engine=2)) == "promoted"


@pytest.mark.parametrize(
    ("name", "match"),
    [("sco2-000000000000", "no release"), ("0123", "is not held"), ("f" * 64, "is not held"), ("../x", "is not held")],
)
def test_what_cannot_be_lifted(opened: ArtifactStore, build: Build, name: str, match: str) -> None:
    put(opened, build("A"))
    with pytest.raises(StoreInputError, match=match):
        lift(opened, "production", name, **SAID)
    with pytest.raises(StoreInputError, match="name and a reason"):
        lift(opened, "production", name, by=" ", reason="x")


def test_an_identity_is_a_name_too(opened: ArtifactStore, build: Build) -> None:
    put(opened, build("A"))
    identity = identities(build("B"))[0]
    hold(opened, "production", identity, **SAID)
    with pytest.raises(RefusedError):
        put(opened, build("B"))
    assert lift(opened, "production", identity[:10], **SAID).outcome == "lifted"
    assert put(opened, build("B")) == "promoted"


def test_a_lost_state_stops_promotions_and_pulls_in_a_sentence(opened: ArtifactStore, build: Build) -> None:
    put(opened, build("A"))
    put(opened, build("B"))
    rollback(opened, "production", **SAID)
    if not isinstance(opened.backend, DirectoryBackend):
        pytest.skip("damage is done in the folder")
    state = history(opened, "production")[0].state
    assert state
    (opened.backend.path / blob_name(state)).unlink()
    opened._remembered.clear()
    with pytest.raises(IntegrityError, match="holds back cannot be read"):
        put(opened, build("C"))


def test_requests_do_not_grow_with_holds_or_the_log(
    opened: ArtifactStore, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for mark in range(24):
        release = build(f"P{mark}")
        with monkeypatch.context() as patch:
            counted = count(opened, patch)
            put(opened, release)
            asked.append(sum(counted.values()))
        if mark % 3 == 2:
            rollback(opened, "production", **SAID)
    assert len(holds(opened, "production")) == 8
    assert max(asked[12:]) <= max(asked[:12]), "the 24th promotion asks for no more than the first ones"
    assert max(asked) <= asked[1] + 2, "what is in force is one object, read once"
