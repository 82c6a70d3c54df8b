"""The trigger forms, the schedules, pools and retries of the DAGs."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param

from gate5.config.site import DEFAULT_CONFIG, site_config
from gate5.errors import ConfigError

#: A new candidate: the event's extra has ``uri`` and ``sha256`` (and ``vecnormalize_sha256``);
#: `gate5 candidate` makes one.
CANDIDATE = Asset(name="gate5_candidate", uri="gate5://candidate", group="gate5")

#: A channel that has moved: the event's extra has ``release``, ``channel``, ``entry`` and ``kind``. Tasks that move one
#: have ``moved.EMITS`` and not a plain outlet, because a promotion that changes nothing is no event.
RELEASE = Asset(name="gate5_release", uri="gate5://release", group="gate5")

#: So many announcements are looked at for those that Airflow started no run for.
RECENT = 200

DEFAULT_CHECKPOINT = "examples/checkpoints/good"

#: Training: one at a time, on whatever worker. Where it shares a machine with the benchmark, GATE5_TRAIN_POOL=gpu on
#: the DAG processor keeps the two apart.
TRAIN: dict[str, Any] = {
    "pool": os.environ.get("GATE5_TRAIN_POOL") or "train",
    "queue": os.environ.get("GATE5_TRAIN_QUEUE") or "default",
}

#: A retry can help where a network, a store or a worker failed; bad input never gets one (see tasks.py). A stage that
#: judged finds its verdict again. The tries of a short task reach over an outage of 15 + 30 + 60 + 120 seconds.
RETRY: dict[str, Any] = {
    "retries": 4,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
}
#: A training goes on where it was killed, so that each try costs only what is left.
TRAIN_RETRY: dict[str, Any] = {**RETRY, "retries": 5}


def release_params(channel: str | None = None) -> dict[str, Param]:
    """The form of a run started by hand. Empty fields leave the configuration's value, which the form names.

    Args:
        channel: of a further kind of GPU, whose runs have one of their own; ``None``: the configuration's.
    """
    checkpoint = os.environ.get("GATE5_CHECKPOINT") or DEFAULT_CHECKPOINT
    now = site_config().config
    return {
        "checkpoint": Param(
            checkpoint,
            type="string",
            minLength=1,
            title="Checkpoint",
            description="A folder with policy.zip and vecnormalize.pkl, a .zip, or s3://BUCKET/PREFIX/. "
            "A relative path starts at the workers' GATE5_HOME.",
            section="Candidate",
        ),
        "config": config_param(section="Candidate"),
        "channel": Param(
            channel,
            type=["null", "string"] if channel is None else "string",
            pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
            title="Channel",
            description="Where a policy that passes is released. "
            + (
                f"Empty: what the configuration says ({now.release.channel} in the default one)."
                if channel is None
                else "Another one is for a trial on this kind of GPU."
            ),
            section="Release",
        ),
        "sla_p99_ms": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            title="SLA: p99 latency in ms",
            description="The upper confidence bound of p99 must be below it. Empty: what the configuration says "
            f"({now.gate.sla_p99_ms:g} ms in the default one).",
            section="Rules",
        ),
        "approval": Param(
            None,
            type=["null", "string"],
            enum=[None, "none", "required"],
            values_display={
                "null": f"as configured ({now.release.approval} in the default configuration)",
                "none": "none: a policy that passes is released",
                "required": "required: a person says yes or no",
            },
            title="Approval",
            description="Whether a person decides between Gate 5 and the channel.",
            section="Release",
        ),
    }


def config_param(**schema: Any) -> Param:
    """The form's field for the configuration file."""
    return Param(
        os.environ.get("GATE5_CONFIG") or DEFAULT_CONFIG,
        type="string",
        minLength=1,
        title="Configuration",
        description="The YAML file of the release, on the workers; it is frozen into a run when the run starts.",
        **schema,
    )


def channel_param(title: str = "Channel", description: str = "Empty: `release.channel` of the configuration.") -> Param:
    """A form's field for a channel."""
    return Param(
        None, type=["null", "string"], pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", title=title, description=description
    )


def by_hand_params(release: str) -> dict[str, Param]:
    """The form of what a person does to a policy on a channel; ``release`` describes the first field."""
    return {
        "release_id": Param(type="string", minLength=8, title="Release", description=release),
        "reason": Param(
            type="string", minLength=3, title="Reason", description="Why; it is kept in the channel's log for good."
        ),
        "channel": channel_param(),
        "config": config_param(),
    }


def retrain_params() -> dict[str, Param]:
    """The form of a training started by hand."""
    return {
        "config": config_param(),
        "steps": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Steps",
            description="Environment steps of PPO. Empty: what the configuration says (retrain.steps).",
        ),
        "seed": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Seed",
            description="Empty: what the configuration says; where that is null, it follows from the run's name.",
        ),
    }


def overrides(params: dict[str, Any]) -> dict[str, Any]:
    """What the form changes in the configuration."""
    wanted = {
        "release.channel": params.get("channel"),
        "gate.sla_p99_ms": params.get("sla_p99_ms"),
        "release.approval": params.get("approval"),
        "retrain.steps": params.get("steps"),
        "retrain.seed": params.get("seed"),
    }
    return {key: value for key, value in wanted.items() if value is not None}


def schedule() -> Any:
    """On the asset, and on the configuration's cron expression if it has one; ``GATE5_SCHEDULE=off``: by hand only.

    No ``start_date`` and ``run_immediately=False``: unpausing the DAG starts no run for a time that has passed.

    Raises:
        ConfigError: the expression is not a cron expression; Airflow shows it as the DAG's import error.
    """
    if os.environ.get("GATE5_SCHEDULE") == "off":
        return None
    timetable = _timetable("schedule.cron", site_config().config.schedule.cron)
    return [CANDIDATE] if timetable is None else AssetOrTimeSchedule(timetable=timetable, assets=[CANDIDATE])


def retrain_schedule() -> Any:
    """The cron expression `retrain.cron` of the configuration; ``None``: by hand only. Otherwise as ``schedule()``."""
    if os.environ.get("GATE5_SCHEDULE") == "off":
        return None
    return _timetable("retrain.cron", site_config().config.retrain.cron)


def _timetable(key: str, cron: str | None) -> CronTriggerTimetable | None:
    from croniter import croniter  # type: ignore[import-untyped,unused-ignore]

    if cron is None:
        return None
    if not croniter.is_valid(cron):
        raise ConfigError(
            f"{key} is {cron!r}, which is not a cron expression: write five fields, '0 3 * * *', or null."
        )
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=False)
