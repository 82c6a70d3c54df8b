"""Any sequence of publications, promotions and rollbacks leaves the log that a list would hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gate5.errors import RefusedError, StoreInputError
from gate5.store import ArtifactStore, Release, current, history, keygen, list_releases, promote, publish, rollback
from gate5.store.directory import DirectoryBackend
from gate5.store.manifest import manifest_name


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of publications, promotions and rollbacks against a model that is a Python list."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        keygen(path / "k.pem")
        self.store = ArtifactStore(DirectoryBackend(path / "store"), path / "k.pem")
        self.store.backend.create(f"probe/{self.store.backend.identity}.json", b"{}")
        self.published: dict[int, Release] = {}
        self.log: list[str] = []
        self.stack: list[str] = []
        self.under: dict[str, list[str]] = {}
        self.held: set[str] = set()

    @rule(mark=st.integers(0, 4))
    def publish(self, mark: int) -> None:
        provenance = {"plant": "p", "engine": {"backend": "x"}, "gate": {"verdict": "pass"}}
        release = publish(self.store, {"engine": b"%d" % mark, "shared": b"s"}, provenance)
        assert self.published.setdefault(mark, release) == release

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        # Chosen by what was drawn, never by id: ids follow from the key, which is another one in each example.
        release = self.published[data.draw(st.sampled_from(sorted(self.published)))]
        if release.id in self.held:
            with pytest.raises(RefusedError, match="held"):
                promote(self.store, "c", release, approved_by="me")
            return
        outcome = promote(self.store, "c", release, approved_by="me").outcome
        if self.log and self.log[-1] == release.id:
            assert outcome == "already_current"
        elif release.id in self.log:
            assert outcome == "superseded"
        else:
            assert outcome == "promoted"
            self.under[release.id] = list(self.stack)
            self.log.append(release.id)
            self.stack.append(release.id)

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def rollback_one(self) -> None:
        """To the one before, past those that are held; what is taken out is held from then on."""
        free = [at for at, release in enumerate(self.stack[:-1]) if release not in self.held]
        if not free:
            with pytest.raises((StoreInputError, RefusedError)):
                rollback(self.store, "c", by="me", reason="r")
            return
        self.held.add(self.stack[-1])
        del self.stack[free[-1] + 1 :]
        assert rollback(self.store, "c", by="me", reason="r").release == self.stack[-1]
        self.log.append(self.stack[-1])

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def rollback_to(self, data: st.DataObject) -> None:
        to = data.draw(st.sampled_from(list(dict.fromkeys(self.log))))
        if to in self.held:
            with pytest.raises(RefusedError, match="held"):
                rollback(self.store, "c", to=to, by="me", reason="r")
            return
        outcome = rollback(self.store, "c", to=to, by="me", reason="r").outcome
        if to == self.log[-1]:
            assert outcome == "already_current"
            return
        assert outcome == "rolled_back"
        self.held.add(self.log[-1])
        self.log.append(to)
        self.stack = [*self.under[to], to]

    @invariant()
    def nothing_held_is_current(self) -> None:
        newest = current(self.store, "c")
        assert newest is None or newest.release not in self.held

    @invariant()
    def the_log_is_the_model(self) -> None:
        entries = history(self.store, "c", self.store.trusted_keys)
        assert [entry.release for entry in reversed(entries)] == self.log
        newest = current(self.store, "c")
        assert (newest.release if newest else None) == (self.log[-1] if self.log else None)
        assert list_releases(self.store) == sorted(release.id for release in self.published.values())
        for release in self.published.values():
            assert self.store.backend.read(manifest_name(release.id)) is not None

    def teardown(self) -> None:
        self.folder.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
