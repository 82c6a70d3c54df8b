"""Nights of a site that retrains: random candidates, rollbacks, holds, lifts, people, kills, runs that overlap.

The store, its log and the gate's rule are the real ones; what a policy is worth is a number here, and what a run
measures of it an interval that holds the truth. Two laws: a policy that is held is never current, and where no person
takes it upon themselves the current release never gets worse by more than the margin. 300 nights with GATE5_LONG=1.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate5.config.models import ReleaseConfig
from gate5.errors import RefusedError, StoreInputError
from gate5.gate.judge import judge
from gate5.store import (
    ArtifactStore,
    Candidate,
    Release,
    current,
    find_release,
    history,
    hold,
    holds,
    identities,
    keygen,
    lift,
    promote,
    publish,
    rollback,
)
from gate5.store.directory import DirectoryBackend
from gate5.store.entry import ChannelEntry

NIGHTS = 300 if "GATE5_LONG" in os.environ else 50
CHANNEL = "production"
(RULE,) = (rule for rule in ReleaseConfig().gate.rules if rule.name == "not_worse_than_current")
MARGIN = -float(RULE.threshold)
METRIC = RULE.metric.replace("*", "all")


class Killed(BaseException):
    """The process ended here."""


class Mortal(DirectoryBackend):
    """A directory whose caller may be killed before or after any write."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        super().__init__(path)
        self.rng, self.chance, self.kills = rng, 0.0, 0

    def create(self, name: str, data: bytes) -> bool:
        fate = self.rng.random()
        if fate < self.chance / 2:
            self.kills += 1
            raise Killed
        created = super().create(name, data)
        if fate < self.chance:
            self.kills += 1
            raise Killed
        return created


@dataclass(frozen=True)
class Run:
    """A run between its start and its promotion."""

    made: str
    policy: int
    release: Release
    compared: str
    unattended: bool


class Site:
    """A channel, the people and the runs around it, and what they are expected to leave there."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        keygen(path / "k.pem", exist_ok=True)
        self.path = path
        self.backend = Mortal(path / "store", self.rng)
        self.store = ArtifactStore(self.backend, path / "k.pem")
        self.backend.create(f"probe/{self.backend.identity}.json", b"{}")
        self.worth: list[float] = []
        self.policy_of: dict[str, int] = {}
        self.held: set[int] = set()
        self.running: list[Run] = []
        self.seen, self.clock, self.counts = 0, 0, dict.fromkeys(("promote", "rollback", "hold", "lift", "refused"), 0)
        self.before: ChannelEntry | None = None

    def through(self, act: Callable[[], Any]) -> Any:
        """Carry something out as often as it takes to survive it; a killed process forgets what it read."""
        while True:
            self.backend.chance = 0.1
            try:
                return act()
            except Killed:
                self.store = ArtifactStore(self.backend, self.path / "k.pem")
            finally:
                self.backend.chance = 0.0

    def release(self, policy: int) -> Release:
        """Another build of a policy."""
        candidate = Candidate(f"function {policy}", "tank", "tensorrt", "fp16")
        files = {"engine": self.rng.randbytes(8), "policy.onnx": b"%d" % policy}
        engine = {"backend": "tensorrt", "precision": "fp16"}
        provenance = {"plant": "tank", "engine": engine, "gate": {"verdict": "pass"}, "candidate": candidate.to_dict()}
        found: Release = self.through(lambda: publish(self.store, files, provenance))
        self.policy_of[found.id] = policy
        return found

    def begin(self) -> None:
        """A run starts: with a new policy, or with one that was there before."""
        if self.worth and self.rng.random() < 0.35:
            policy = self.rng.randrange(len(self.worth))
        else:
            policy = len(self.worth)
            self.worth.append(100 + self.rng.gauss(0.002 * policy, 0.2))
        self.clock += 1
        newest = current(self.store, CHANNEL, self.store.trusted_keys)
        compared = newest.release if newest else ""
        unattended = self.rng.random() < 0.85
        made = f"2026-11-01T{self.clock:012}"
        self.running.append(Run(made, policy, self.release(policy), compared, unattended))

    def finish(self, run: Run) -> None:
        """Its gate speaks; what passes is promoted."""
        self.running.remove(run)
        metrics: dict[str, float | None] = {METRIC: self.low(run)}
        told = {METRIC: "first release of the channel"} if not run.compared else {}
        verdict = judge([RULE], metrics, ["all"], 1.0, unattended=run.unattended, inapplicable=told)
        if run.unattended and any(rule.outcome in ("fail", "missing") for rule in verdict.rules):
            return
        who = "gate5" if run.unattended else "ada"
        compared = run.compared if run.unattended else None
        more: dict[str, Any] = {"approved_by": who, "made": run.made, "against": compared}
        try:
            self.through(lambda: promote(self.store, CHANNEL, run.release, **more))
            said = ""
        except RefusedError as refused:
            self.counts["refused"] += 1
            said = str(refused)
        assert "held on the channel" not in said or run.policy in self.held
        self.look(unattended=run.unattended)

    def low(self, run: Run) -> float | None:
        """The lower end of the interval that a run measures, in percent."""
        if not run.compared:
            return None
        other = self.worth[self.policy_of[run.compared]]
        true = 100 * (self.worth[run.policy] - other) / other
        half = self.rng.uniform(0, 0.03)
        return true + self.rng.uniform(-half, half) - half

    def person(self) -> None:
        """Somebody rolls back, holds or lifts."""
        said = {"by": "ada", "reason": "as she says"}
        policy, what = self.rng.randrange(len(self.worth)), self.rng.choice(["rollback", "hold", "lift"])
        build = self.release(policy)
        wish = f"wish {self.clock} {len(self.policy_of)}"
        acts: dict[str, Callable[[], Any]] = {
            "rollback": lambda: rollback(self.store, CHANNEL, request=wish, **said),  # type: ignore[arg-type]
            "hold": lambda: hold(self.store, CHANNEL, build.id, **said),  # type: ignore[arg-type]
            "lift": lambda: lift(self.store, CHANNEL, build.id, **said),
        }
        before = current(self.store, CHANNEL, self.store.trusted_keys)
        try:
            self.through(acts[what])
        except StoreInputError:
            if what == "lift":
                self.held.discard(policy)  # it was not held, or was lifted before the kill
            self.look(unattended=False)  # else nothing to go back to, or the current one
            return
        self.counts[what] += 1
        if what == "rollback" and before is not None:
            self.held.add(self.policy_of[before.release])
        elif what != "rollback":
            (self.held.add if what == "hold" else self.held.discard)(policy)
        self.look(unattended=False)

    def policy_of_hold(self, identity: str) -> int:
        for policy in range(len(self.worth)):
            if Candidate(f"function {policy}", "tank", "tensorrt", "fp16").identity == identity:
                return policy
        raise AssertionError("a hold on nothing")

    def look(self, *, unattended: bool) -> None:
        """The two laws, and that the store's holds are the expected ones."""
        newest = current(self.store, CHANNEL, self.store.trusted_keys)
        there = holds(self.store, CHANNEL, self.store.trusted_keys)
        assert {self.policy_of_hold(each.identities[0]) for each in there} == self.held
        if newest is None:
            return
        policy = self.policy_of[newest.release]
        names = {name for each in there for name in each.identities}
        found = self.store.backend.read(f"releases/{newest.release}/manifest.json")
        assert found is not None
        assert Candidate(f"function {policy}", "tank", "tensorrt", "fp16").identity not in names, "held, and current"
        if self.before is not None and newest.release != self.before.release and unattended:
            was = self.worth[self.policy_of[self.before.release]]
            assert 100 * (self.worth[policy] - was) / was >= -MARGIN, "worse, and nobody said so"
            assert newest.kind != "promote" or str(newest.made) > str(self.before.made), "older, and current"
        self.before = newest

    def night(self) -> None:
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            self.begin()
        for _ in range(len(self.running) + 2):
            if self.rng.random() < 0.15:
                self.person()
            elif self.running and self.rng.random() < 0.8:
                self.finish(self.rng.choice(self.running))


@pytest.mark.parametrize("seed", [1, 2])
def test_nights(tmp_path: Path, seed: int) -> None:
    site = Site(tmp_path, seed)
    for _ in range(NIGHTS // 2):
        site.night()
    entries = history(site.store, CHANNEL, site.store.trusted_keys)
    promoted = [entry.release for entry in entries if entry.kind == "promote"]
    kinds = {kind: sum(entry.kind == kind for entry in entries) for kind in ("promote", "rollback", "hold", "lift")}
    assert kinds["promote"] >= 1, kinds
    assert kinds["rollback"] + kinds["hold"] + kinds["lift"] >= 1, kinds
    assert site.backend.kills > 5
    for release in set(promoted):
        names = identities_of(site, release)
        lifts = sum(bool(names & set(each["identities"])) for e in entries for each in e.details.get("lifted", ()))
        assert promoted.count(release) <= 1 + lifts, "a promotion that was killed and run again is one entry"


def identities_of(site: Site, release: str) -> set[str]:
    found = find_release(site.store, release)
    assert found
    return set(identities(found))


def test_the_laws_are_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the holds, and without the comparison, the same nights break the laws."""

    def nights(name: str) -> None:
        for seed in range(1, 6):
            folder = tmp_path / f"{name}{seed}"
            folder.mkdir()
            site = Site(folder, seed)
            for _ in range(20):
                site.night()

    for name, law in (("refuse_held", "held, and current"), ("_refuse_moved", "worse, and nobody said so")):
        with monkeypatch.context() as patch:
            patch.setattr(f"gate5.store.promotion.{name}", lambda *_: None)
            with pytest.raises(AssertionError, match=law):
                nights(name)
