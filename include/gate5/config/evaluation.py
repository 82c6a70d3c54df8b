"""How the engine drives the plant and against what: `evaluation`, `falsification`, `stress` and `baseline`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from gate5.config.section import Section


class EvaluationConfig(Section):
    """How the engine drives the plant and what it is compared with."""

    scenarios: tuple[str, ...] | None = Field(
        None, min_length=1, description="names; null: every scenario that the plant declares"
    )
    episodes: int = Field(50, ge=1, description="of each scenario")
    seed: int = Field(20_000, ge=0, description="episode i runs on seed + i, the same for policy and baseline")
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="of the paired interval and of the violation probability's upper bound"
    )
    bootstrap: int = Field(2_000, ge=100, description="resamples of the paired interval")
    sensors: bool = Field(
        False, description="the plant's declared instruments (lag, noise, class) lie between plant and policy"
    )
    current: bool = Field(
        True,
        description="the channel's current release drives the same episodes; false: it does not, and rules about it "
        "have no measurement",
    )
    accept_undeclared: bool = Field(
        False, description="judge a plant that declares no instruments or disturbances as it is; the report says so"
    )
    quick: bool = Field(False, description="set by --quick: the budgets were cut, and the verdict and report say so")
    monte_carlo: int = Field(
        3_000,
        ge=0,
        description="further episodes of each scenario, on seeds of the candidate's own, that bound the chance of a "
        "violation; 0: the bound is that of `episodes`",
    )
    margins: dict[str, float] = Field(
        default_factory=dict,
        description="by term of the objective: how much worse than the baseline counts as no worse; none: the plant's",
    )

    @field_validator("margins")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for name, margin in value.items():
            if not margin >= 0:
                raise ValueError(f"the margin of {name!r} is {margin:g}: give 0 or more")
        return value

    @field_validator("scenarios")
    @classmethod
    def _once_each(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = [name for name in value or () if (value or ()).count(name) > 1]
        if twice:
            raise ValueError(f"the scenario {twice[0]!r} is there twice: give each once")
        return value


class FalsificationConfig(Section):
    """The search for the worst case within the plant's declared ranges."""

    control_steps: int = Field(
        2_000_000, gt=0, description="budget of each scenario, about 20 s on one CPU; an episode costs its length"
    )
    seed: int = Field(0, ge=0, lt=1_000_000, description="of the search")


class StressConfig(Section):
    """The robustness matrix: what the plant declares can go wrong, level by level."""

    episodes: int = Field(4, ge=1, description="of each class, level and scenario, for policy and baseline")
    seed: int = Field(0, ge=0, lt=1_000_000, description="of the episodes")


class BaselineConfig(Section):
    """The controller that the policy is compared with."""

    kind: Literal["pid", "policy", "none"] = Field(
        "pid", description="`policy`: another trained policy; `none`: no comparison, which the default rules refuse"
    )
    gains: str | None = Field(None, description="a JSON file of PID gains; null: the plant's tuned ones")
    checkpoint: str | None = Field(
        None, description="of `kind: policy`: a directory, a .zip or an s3:// URI, read as safely as the candidate"
    )
    vecnormalize: str | None = Field(
        None, min_length=1, description="of `kind: policy`: as checkpoint.vecnormalize, for this policy"
    )

    @model_validator(mode="after")
    def _checkpoint_goes_with_policy(self) -> BaselineConfig:
        if self.kind == "policy" and self.checkpoint is None:
            raise ValueError("kind is 'policy', but there is no checkpoint: set checkpoint to the other policy")
        if self.kind != "policy" and self.checkpoint is not None:
            raise ValueError(
                f"checkpoint is {self.checkpoint!r}, but kind is {self.kind!r}: set kind to policy, or remove it"
            )
        if self.kind == "policy" and self.gains is not None:
            raise ValueError(f"gains is {self.gains!r}, but kind is 'policy', which has none: remove it")
        return self
