"""Further kinds of GPU in the configuration: what would bring two of them into each other's way is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.config.gpus import is_release, kind_of, release_dag
from gate5.config.models import ReleaseConfig
from gate5.errors import ConfigError
from gate5.store import judgements

A, B = {"channel": "a"}, {"channel": "b"}
WRONG = {
    "channel": ({"l4": A, "t4": A}, "l4 and t4 have the same channel 'a'"),
    "no channel": ({"l4": {}}, "other_gpus.l4.channel: Field required"),
    "queue": ({"l4": {**A, "queue": "q"}, "t4": {**B, "queue": "q"}}, "l4 and t4 have the same queue 'q'"),
    "a default queue": ({"l4": A, "t4": {**B, "queue": "gpu_l4"}}, "l4 and t4 have the same queue 'gpu_l4'"),
    "the first's queue": ({"l4": {**A, "queue": "gpu"}}, "the first kind of GPU and l4 have the same queue 'gpu'"),
    "two queues": ({"l4": {**A, "queue": "gpu,default"}}, "other_gpus.l4.queue: String should match"),
    "slots": ({"l4": {**A, "pool": "p"}, "t4": {**B, "pool": "p", "slots": 2}}, "share the pool 'p', with 4 slots and"),
    "no slot": ({"l4": {**A, "slots": 0}}, "other_gpus.l4.slots"),
    "everybody's pool": ({"l4": {**A, "pool": "default_pool"}}, "in which no benchmark is alone"),
    "name": ({"L4 24GB": A}, "'L4 24GB' is no name for a kind of GPU"),
    "empty name": ({"": A}, "'' is no name for a kind of GPU"),
    "unknown key": ({"l4": {**A, "quue": "q"}}, "unknown key 'other_gpus.l4.quue': did you mean 'queue'?"),
    "nothing": ({"l4": None}, "other_gpus.l4 is empty, but it is a section"),
    "a list": ([A], "other_gpus: Input should be a valid dictionary"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str) -> None:
    kinds, said = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        ReleaseConfig.parse({"other_gpus": kinds})
    assert said in str(caught.value)


def test_two_kinds_in_one_machine_may_share_a_pool() -> None:
    """Then each waits while the other one's latency is measured; slots and pool are the same for both."""
    config = ReleaseConfig.parse({"other_gpus": {"l4": {**A, "pool": "p"}, "t4": {**B, "pool": "p"}}})
    assert {(kind.pool_of(name), kind.queue_of(name)) for name, kind in config.other_gpus.items()} == {
        ("p", "gpu_l4"), ("p", "gpu_t4"),
    }  # fmt: skip


def test_the_channel_of_a_run_may_be_that_of_a_kind() -> None:
    """A run for it has its channel as `release.channel`: the file is not refused for what a run makes of it."""
    data = {"other_gpus": {"l4": A}, "release": {"channel": "a"}}
    assert ReleaseConfig.parse(data).release.channel == "a"


def test_another_kind_of_gpu_makes_no_verdict_of_the_first_old_and_takes_none_of_it() -> None:
    def asked(hardware: str, **said: object) -> str:
        return judgements.question("policy", "sco2", hardware, ReleaseConfig.parse(said))

    kinds = {"l4": A}
    assert asked("h200") == asked("h200", other_gpus=kinds)
    assert asked("h200", other_gpus=kinds) != asked("l4", other_gpus=kinds, release={"channel": "a"})
    # Two kinds that turn out to be the same hardware: each channel has rules and a current release of its own.
    assert asked("h200", other_gpus=kinds) != asked("h200", other_gpus=kinds, release={"channel": "a"})


@given(kind=st.none() | st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True))
def test_a_dags_name_says_its_kind(kind: str | None) -> None:
    assert is_release(release_dag(kind))
    assert kind_of(release_dag(kind)) == kind


@pytest.mark.parametrize("dag_id", ["policy_retrain", "policy_release_", "policy_releases", "my_policy_release_l4", ""])
def test_other_dags_release_nothing(dag_id: str) -> None:
    assert not is_release(dag_id)
