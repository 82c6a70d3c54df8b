"""When the pipeline starts by itself: the sections `schedule` and `retrain`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from gate5.config.section import Section, json_types


class ScheduleConfig(Section):
    """When the release DAG starts by itself, besides on the asset `gate5_candidate`."""

    cron: str | None = Field(None, description="a cron expression, UTC; null: only on the asset and by hand")
    on_many: Literal["all", "newest"] = Field(
        "all",
        description="of several candidates announced at once `all` are judged, each in a run of its own, or the "
        "`newest`, and the others are recorded as superseded",
    )
    deadline_minutes: float | None = Field(
        None,
        gt=0,
        description="a run that has not ended so long after it was queued, a person's time included, is told to "
        "`notify` (`late`), once; null: none is. Of GATE5_CONFIG alone",
    )


class RetrainConfig(Section):
    """How the DAG `policy_retrain` trains candidates for this release, and when."""

    cron: str | None = Field(None, description="a cron expression, UTC; null: only by hand")
    folder: str = Field(
        "var/candidates",
        min_length=1,
        description="where candidates go, a folder per run: a directory or s3://BUCKET/PREFIX",
    )
    steps: int = Field(1_000_000, ge=0, description="environment steps of PPO")
    seed: int | None = Field(None, ge=0, description="null: each run has its own, derived from its name")
    imitation: bool = Field(True, description="start from the plant's PID; false: from random weights")
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="numbers of the training itself: mappings `imitation`, `ppo`, `gradient`, `ascent`, `polish`",
    )
    episodes: int = Field(2, ge=1, description="of each scenario in the quick check before a candidate is announced")
    check_seed: int = Field(30_000, ge=0, description="of the quick check's first episode")

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "options of the training")
