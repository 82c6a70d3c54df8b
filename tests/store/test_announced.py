"""What became of each announced candidate, and what was judged before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate5.cli.results import Candidates
from gate5.config.models import ReleaseConfig
from gate5.store import ArtifactStore, announced, judgements, lift, promote, publish, rollback
from gate5.store.announced import Announcement, Candidate
from gate5.store.directory import DirectoryBackend

A = {"dag_id": "policy_release", "run_id": "a"}
B = {"dag_id": "policy_release", "run_id": "b"}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(DirectoryBackend(tmp_path / "store"))


def at(second: int = 0, uri: str = "/x") -> Announcement:
    return Announcement(uri, None, None, f"2026-01-01T00:00:{second:02}.000000+00:00")


def test_of_many_runs_at_once_one_takes_a_candidate(store: ArtifactStore) -> None:
    store.ensure_safe()
    found: list[str] = []

    def take(number: int) -> None:
        found.append(announced.take(store, at(), {"run_id": str(number)}).run["run_id"])

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_who_judges_it_again_takes_it_from_the_run_before(store: ArtifactStore) -> None:
    """And from no other; delivered twice, it is taken once."""
    announced.take(store, at(), A)
    assert announced.take_again(store, at(), B, ["c"]).run == A
    assert announced.take_again(store, at(), B, ["a"]).run == B
    assert announced.take_again(store, at(), B, ["a"]).run == B
    last = {**A, "run_id": "last"}
    for number in range(9):
        announced.take_again(store, at(), {**A, "run_id": str(number)}, ["a", "b", *map(str, range(number))])
    assert announced.take_again(store, at(), last, ["8"]).run == last
    (found,) = announced.recent(store)
    assert (found.run, found.outcome) == (last, "judging")
    assert announced.take_again(store, at(5), B, ["a"]).run == B, "nobody had it"


def test_the_newest_comes_first(store: ArtifactStore) -> None:
    for second in (3, 1, 2):
        announced.take(store, at(second), A)
    assert [each.announcement for each in announced.recent(store)] == [at(3), at(2), at(1)]
    assert [each.announcement for each in announced.recent(store, 1)] == [at(3)]


def test_the_newest_of_one_kind_of_gpu_is_found_behind_many_of_another(store: ArtifactStore) -> None:
    """And what was announced to one kind is taken, superseded and told apart from the same for another."""
    first, other = at(1), replace(at(1), gpu="l4-b")
    announced.take(store, first, A)
    announced.take(store, other, B)
    announced.end(store, other, "refused", "too slow", None)
    assert announced.find(store, first) == Candidate(first, A)
    for second in range(2, 26):
        announced.take(store, replace(at(second), gpu="l4-b"), B)
        for outcome in ("refused", "promoted"):
            announced.end(store, replace(at(second), gpu="l4-b"), outcome, "it was", None)
    assert len(store.backend.list("candidates/")) > 64
    assert announced.newest(store, None) == Candidate(first, A)
    assert announced.newest(store, "l4-b").announcement == replace(at(25), gpu="l4-b")  # type: ignore[union-attr]
    assert announced.newest(store, "l4") is None
    assert Candidates("s", announced.recent(store, 1)).line().splitlines() == [
        "2026-01-01T00:00:25  promoted         /x  on l4-b  run b", "    it was",
    ]  # fmt: skip
    assert [each.announcement.gpu for each in announced.recent(store)].count(None) == 1


def test_the_last_end_counts_and_is_told_once(store: ArtifactStore) -> None:
    """A run whose approval timed out is cleared, and then promoted."""
    announced.take(store, at(), A)
    for outcome, release in (("refused", None), ("refused", None), ("promoted", "r-1"), ("promoted", "r-1")):
        announced.end(store, at(), outcome, f"it was {outcome}", release)
    (found,) = announced.recent(store)
    assert (found.outcome, found.sentence, found.release) == ("promoted", "it was promoted", "r-1")
    assert len(store.backend.list(f"{at().folder}end-")) == 2


def test_a_taken_candidate_is_not_superseded_nor_the_other_way_round(store: ArtifactStore) -> None:
    announced.take(store, at(1), A)
    assert announced.supersede(store, at(1), at(2)).run == A
    announced.supersede(store, at(3), at(4, "/new"))
    found = announced.take(store, at(3), A)
    assert (found.run, found.outcome, found.superseded_by) == ({}, "superseded", at(4, "/new").key)
    assert found.sentence == "superseded: /new was announced later and is judged instead"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"announcement": {}}', b'{"announcement": 5, "run": 7}'])
def test_a_damaged_record_is_as_none(store: ArtifactStore, data: bytes) -> None:
    store.backend.create(f"{at().folder}taken.json", data)
    assert announced.find(store, at()) is None
    assert announced.recent(store) == []


def test_what_was_judged_is_found_by_the_same_question_only(store: ArtifactStore) -> None:
    config = ReleaseConfig()
    asked = judgements.question("policy", "sco2", "cpu", config)
    judgements.keep(store, asked, config, "refused", A, reasons=("no_violations: 3",))
    found = judgements.find(store, asked, config)
    assert found is not None
    assert found.line().startswith("already judged by the run a, ")
    assert found.line().endswith(": refused, no_violations: 3")
    same = ReleaseConfig.parse({"retrain": {"steps": 5}, "schedule": {"cron": "0 3 * * *"}})
    assert judgements.question("policy", "sco2", "cpu", same) == asked, "when to train and to start is no rule"
    others = [
        judgements.question("other", "sco2", "cpu", config),
        judgements.question("policy", "other", "cpu", config),
        judgements.question("policy", "sco2", "gpu", config),
        judgements.question("policy", "sco2", "cpu", ReleaseConfig.parse({"gate": {"sla_p99_ms": 0.5}})),
        judgements.question("policy", "sco2", "cpu", ReleaseConfig.parse({"evaluation": {"episodes": 7}})),
        judgements.question("policy", "sco2", "cpu", ReleaseConfig.parse({"release": {"channel": "staging"}})),
    ]
    assert len({asked, *others}) == 7
    assert [judgements.find(store, other, config) for other in others] == [None] * 6


def test_a_refusal_counts_for_the_release_that_it_was_compared_with(
    opened: ArtifactStore, provenance: Callable[..., dict[str, Any]]
) -> None:
    """Seen: the channel moved while the run went on, and the refusal counted for a release that nobody compared."""
    config = ReleaseConfig()
    first, second = (publish(opened, {"policy.onnx": name}, provenance()) for name in (b"1", b"2"))
    promote(opened, "production", first, approved_by="gate5")
    promote(opened, "production", second, approved_by="gate5")
    judgements.keep(opened, "q", config, "refused", A, compared=first.id)
    assert judgements.find(opened, "q", config) is None, "nobody knows how it does beside the second"
    rollback(opened, "production", by="ada", reason="it swings")
    assert judgements.find(opened, "q", config) is not None
    judgements.keep(opened, "first", config, "refused", A, compared="")
    assert judgements.find(opened, "first", config) is None


def test_a_promotion_counts_until_a_hold_on_it_is_lifted(
    opened: ArtifactStore, provenance: Callable[..., dict[str, Any]]
) -> None:
    """`policy_lift` says that the next run of the policy lets it in; no run that nobody started did."""
    config = ReleaseConfig()
    first, second = (publish(opened, {"policy.onnx": name}, provenance()) for name in (b"1", b"2"))
    for release in (first, second):
        promote(opened, "production", release, approved_by="gate5")
        judgements.keep(opened, release.id, config, "promoted", A, release=release.id)
    rollback(opened, "production", by="ada", reason="it swings")
    assert judgements.find(opened, second.id, config) is not None, "held: a run asks for that before"
    lift(opened, "production", second.id, by="ada", reason="it was the sensor")
    assert judgements.find(opened, second.id, config) is None
    assert judgements.find(opened, first.id, config) is not None, "another one was lifted"
    assert promote(opened, "production", second, approved_by="gate5").outcome == "promoted"
    judgements.keep(opened, second.id, config, "promoted", B, release=second.id)
    assert judgements.find(opened, second.id, config) is not None, "once more"


def test_of_runs_that_begin_the_same_the_first_is_told_to_the_others(store: ArtifactStore) -> None:
    assert judgements.begin(store, "q", A) == []
    assert judgements.begin(store, "q", B) == [A]
    assert judgements.begin(store, "q", A) == [], "tried again, it keeps its place"
    assert judgements.begin(store, "other", B) == []
