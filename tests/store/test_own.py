"""What a run promoted is found by the run that the entry names, whoever comes to ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gate5.store import ArtifactStore, own, promote, publish, rollback
from gate5.store.channel import Log
from gate5.store.own import as_done, in_charge, promoted_by

Files = Callable[[object], dict[str, bytes]]
Provenance = Callable[..., dict[str, Any]]
RUN = {"dag_id": "policy_release", "run_id": "nightly 1"}


def test_a_runs_own_promotion(opened: ArtifactStore, files: Files, provenance: Provenance) -> None:
    first, second, third = (publish(opened, files(mark), provenance()) for mark in "abc")

    def log() -> Log:
        return Log(opened, "production", opened.trusted_keys)

    assert promoted_by(log(), RUN) is None, "an empty channel"
    promote(opened, "production", first, approved_by="ada")
    made = promote(opened, "production", second, approved_by="ada", details=RUN)
    entry = promoted_by(log(), RUN)
    assert entry is not None
    assert (entry.release, entry.sequence, in_charge(log(), entry)) == (second.id, 2, True)
    assert as_done(log(), entry) == made, "in the words of the call that made it"
    assert promoted_by(log(), RUN, [first.id]) is None, "another release"
    for other in ({**RUN, "run_id": "nightly 2"}, {**RUN, "dag_id": "policy_promote"}, {"dag_id": "x"}, {}):
        assert promoted_by(log(), other) is None, other

    promote(opened, "production", third, approved_by="ada")
    assert promoted_by(log(), RUN) == entry
    assert not in_charge(log(), entry), "another one has replaced it"
    rollback(opened, "production", second.id, by="ada", reason="as before")
    assert not in_charge(log(), entry), "a person put it there again, and not the run"


def test_few_entries_are_read(
    opened: ArtifactStore, files: Files, provenance: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "NEAR", 2)
    a, b = (publish(opened, files(mark), provenance()) for mark in "ab")
    promote(opened, "production", a, approved_by="ada", details=RUN)
    promote(opened, "production", b, approved_by="ada")
    assert promoted_by(Log(opened, "production", opened.trusted_keys), RUN) is not None
    rollback(opened, "production", a.id, by="ada", reason="as before")
    assert promoted_by(Log(opened, "production", opened.trusted_keys), RUN) is None
