"""Where a release goes and what is asked of it there: the sections `store`, `release` and `channels`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, field_validator

from gate5.config.backends import BackendName
from gate5.config.candidate import PlantConfig
from gate5.config.evaluation import BaselineConfig
from gate5.config.gate import RuleConfig
from gate5.config.section import Section


class StoreConfig(Section):
    """Where releases are published."""

    uri: str = Field("var/store", description="a directory or s3://BUCKET/PREFIX")
    endpoint: str | None = Field(None, description="the S3 server's URL where it is not AWS")
    region: str | None = Field(None, description="the S3 region, where the server wants one")
    signing_key: str = Field("var/keys/release.pem", description="Ed25519 private key (`gate5 keygen`)")
    connection: str | None = Field(None, description="Airflow connection id that holds the S3 credentials")


class ReleaseSection(Section):
    """What happens to a candidate that passes."""

    channel: str = Field(
        "production", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="the log of releases that plants follow"
    )
    require_backend: BackendName | None = Field(None, description="refuse an engine of another backend on this channel")
    approval: Literal["none", "required"] = Field(
        "none", description="`required`: a person decides between Gate 5 and the promotion"
    )
    approval_timeout_hours: float = Field(24.0, gt=0, description="after this long without an answer: rejected")


class FreezeConfig(Section):
    """A time in which nothing is promoted on a channel."""

    reason: str = Field(min_length=1, description="why; it is shown to whoever promotes")
    until: AwareDatetime | None = Field(None, description="2027-01-31T00:00:00+00:00; null: until this is taken out")


class ChannelConfig(Section):
    """What a channel demands of every release, whatever a run, its form or its own `release` and `gate` say."""

    require_backend: BackendName | None = Field(None, description="refuse an engine of another backend")
    approval: Literal["none", "required"] = Field("none", description="`required`: a person decides")
    approvers: tuple[str, ...] | None = Field(None, min_length=1, description="who may approve; null: anybody")
    signatures: int = Field(1, ge=1, le=9, description="of this many keys a promotion needs a signature")
    sla_p99_ms: float | None = Field(None, gt=0, description="the largest SLA that a run may judge by")
    rules: tuple[RuleConfig, ...] = Field((), description="rules that every run is judged by, at least as strictly")
    scenarios: tuple[str, ...] | None = Field(None, min_length=1, description="scenarios that every run covers")
    episodes: int | None = Field(None, ge=1, description="the least number of episodes of each scenario")
    confidence: float | None = Field(
        None, gt=0.5, lt=1, description="the least confidence of every bound and interval, the latency's among them"
    )
    plant: PlantConfig | None = Field(
        None, description="what every run drives, its options (the limits among them) included: `id` and `options`"
    )
    baseline: BaselineConfig | None = Field(None, description="what every run is compared with, as in `baseline`")
    quick: bool = Field(False, description="whether a run with --quick, which proves less, may be promoted")
    require_proof: bool = Field(
        False, description="a plant's machine runs an engine only where `gate5 prove` proved it on such a device"
    )
    shadow_hours: float | None = Field(
        None,
        gt=0,
        description="hours in shadow at plants since the last alarm, before a promotion from another channel",
    )
    two_person: bool = Field(False, description="whoever started a run cannot approve it")
    freeze: Annotated[str, Field(min_length=1)] | FreezeConfig | None = Field(
        None, description="nothing is promoted: a reason, or `reason` and `until`; null: not frozen"
    )

    @field_validator("freeze", mode="before")
    @classmethod
    def _reason_or_section(cls, value: Any) -> Any:
        """One sentence where there would be one for each way to write it; a number is no time."""
        end = value.get("until") if isinstance(value, Mapping) else None
        if value is None or isinstance(value, FreezeConfig) or (isinstance(value, str) and value.strip()):
            return value
        if isinstance(value, Mapping) and str(value.get("reason") or "").strip() and _is_a_time(end):
            return value
        raise ValueError(
            f"{value!r} is no freeze: give a reason, or `reason` and `until`, a time with its zone such as "
            "'2027-01-31T00:00:00+00:00'"
        )


def _is_a_time(end: Any) -> bool:
    if isinstance(end, str):
        try:
            end = datetime.fromisoformat(end.strip().replace("Z", "+00:00"))
        except ValueError:
            return False
    return end is None or (isinstance(end, datetime) and end.tzinfo is not None)


def frozen(freeze: Any, at: datetime | None = None) -> str | None:
    """Why a channel takes nothing at a time; ``None``: it is not frozen then.

    Args:
        freeze: ``channels.NAME.freeze`` as plain JSON types: ``None``, a reason, or a mapping of ``reason``, ``until``.
        at: the time; ``None``: now.
    """
    if not freeze:
        return None
    if not isinstance(freeze, Mapping):
        return str(freeze)
    until = freeze.get("until")
    if until is None:
        return str(freeze["reason"])
    # What was signed as JSON has no dates; Python 3.10 does not read the Z that stands for UTC.
    end = datetime.fromisoformat(str(until).replace("Z", "+00:00"))
    return None if (at or datetime.now(timezone.utc)) >= end else f"{freeze['reason']}, until {end.isoformat()}"


def refused_person(demands: Mapping[str, Any], approved_by: str, approval: Mapping[str, Any] | None) -> str | None:
    """What a channel's demands say against an approval, as half a sentence; ``None``: nothing.

    Args:
        demands: ``channels.NAME`` as plain JSON types.
        approved_by: who approved; ``gate5``: no person did.
        approval: the record of it (``started_by``), where there is one.
    """
    people, person = demands.get("approvers"), approved_by not in ("", "gate5")
    if people and approved_by not in people:
        return f"asks for an approval by {' or '.join(people)}, and {approved_by!r} is none of them"
    if (demands.get("approval") == "required" or demands.get("two_person")) and not person:
        return f"asks for an approval by a person, and {approved_by!r} is none of them"
    if not demands.get("two_person"):
        return None
    if approval is None or "started_by" not in approval:
        return f"asks for two people, and who started the run that {approved_by!r} approved is not recorded"
    starter = str(approval["started_by"] or "").strip().casefold()
    if starter and starter == approved_by.strip().casefold():
        return f"asks for two people: {approved_by!r} started the run and cannot approve it"
    return None
