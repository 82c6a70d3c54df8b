"""Changed bytes of a store and of a plant's folder; ``scripts/tamper_release.py`` makes as many as one likes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate5.errors import IntegrityError, StoreInputError
from gate5.store import promote
from scripts.tamper_release import CHANNEL, Site, changed, judge


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Every change is put back, so that one store does for all; nothing here is about what a crash leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield Site(tmp_path_factory.mktemp("site"))


def test_what_is_asked_is_the_whole_story(site: Site) -> None:
    assert site.right["pull"][:1] == ("runs",)
    assert [entry["kind"] for entry in site.right["history"]][-1] == "promote"
    assert site.right["promote a new one"][0] == "promoted"
    assert site.right["promote a replaced one"][0] == "superseded"
    assert site.right["promote a held one"] == "refused: RefusedError"
    assert (site.right_plants["plant"][0], site.right_plants["fallen"][0]) == ("runs", "held")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_some(site: Site, first: int) -> None:
    for seed in range(first, first + 50):
        assert judge(site, seed)[2] is None, f"seed {seed}"


def test_changes_change_something_and_come_again() -> None:
    data = b'{"after": 12}\n' * 20
    made = [changed(data, random.Random(seed)) for seed in range(60)]
    assert made == [changed(data, random.Random(seed)) for seed in range(60)]
    assert len(set(made)) > 40


def test_a_claim_that_was_changed_lets_no_old_release_in_again(site: Site) -> None:
    """The number in a claim says from where on the log is read: a larger one would hide the promotion."""
    path = site.root / "claims" / CHANNEL / site.replaced
    before = path.read_bytes()
    said = json.loads(before)
    other: Any = {"after": {"a": "b"}, "sha256": ""}
    wrongs: list[Any] = [{**said, "after": 4}, {"after": 4}, {**said, "after": True}, [], other]
    try:
        for wrong in wrongs:
            path.write_text(json.dumps(wrong))
            done = promote(site.open(), CHANNEL, site.replaced, approved_by="me", trusted_keys=site.keys)
            assert done.outcome == "superseded", wrong
        path.write_bytes(next(one for one in path.parent.iterdir() if one != path).read_bytes())
        done = promote(site.open(), CHANNEL, site.replaced, approved_by="me", trusted_keys=site.keys)
        assert done.outcome == "superseded", "another release's claim"
    finally:
        path.write_bytes(before)


def test_what_runs_is_looked_at_although_the_channels_release_is_held_back(site: Site) -> None:
    plant = site.plants["fallen"]
    path = plant / "current" / "files" / "engine" / "policy.engine"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + b"x")
    try:
        with pytest.raises(IntegrityError, match=r"was damaged on this machine's disk.*held back here \(oscillates\)"):
            site.pull(plant)
    finally:
        path.write_bytes(before)


def test_a_changed_state_lifts_no_hold_of_a_plant(site: Site) -> None:
    path = site.plants["fallen"] / "state.json"
    before = path.read_bytes()
    said = json.loads(before)
    said["held"]["manifest_sha256"] = "0" * 64
    path.write_text(json.dumps(said))
    try:
        with pytest.raises(StoreInputError, match=r"is damaged: .* is not held any more"):
            site.pull(site.plants["fallen"])
    finally:
        path.write_bytes(before)


def test_a_state_from_before_there_was_a_hash_is_read(site: Site) -> None:
    path: Path = site.plants["fallen"] / "state.json"
    before = path.read_bytes()
    said = json.loads(before)
    del said["sha256"]
    path.write_text(json.dumps(said))
    try:
        assert site.plant_answer("fallen")[0] == "held"
    finally:
        path.write_bytes(before)
