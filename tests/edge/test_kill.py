"""kill -9 at every step of a pull."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from gate5.store import Release
from gate5.store.channel import entry_name
from tests.support.kill import run_killed

Factory = Any
"""The class of the fixture ``factory``, which a test module cannot import."""


def test_kill_at_every_step_of_a_pull(factory: Factory) -> None:
    """At no step does ``current`` point to anything but one complete release; the next pull goes on from there."""
    old = factory.release(1)
    factory.pull()
    new = factory.release(2)
    for step in itertools.count():
        plant = copy.copy(factory)
        plant.dest = factory.dest.with_name(f"plant{step}")
        pull_old(plant, old)
        was_killed = run_killed(plant.pull, step)
        assert plant.running() in (old.id, new.id)
        assert plant.pull().release == new.id == plant.running()
        names = {path.name.rpartition(".")[0] for path in (plant.dest / "releases").iterdir()}
        assert names <= {old.id, new.id}
        assert len(list((plant.dest / "releases").iterdir())) <= 2
        if not was_killed:
            break
    assert step > 20


def pull_old(plant: Factory, old: Release) -> None:
    """Install the first release at another destination, from a store in which the second was not promoted yet."""
    newest = plant.root / entry_name("production", 2)
    hidden = newest.with_name(".hidden")
    newest.rename(hidden)
    assert plant.pull().release == old.id
    hidden.rename(newest)
