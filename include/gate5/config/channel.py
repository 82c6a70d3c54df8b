"""Where a release goes and what is asked of it there: the sections `store`, `release` and `channels`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gate5.config.backends import BackendName
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
    quick: bool = Field(False, description="whether a run with --quick, which proves less, may be promoted")
    require_proof: bool = Field(
        False, description="a plant's machine runs an engine only where `gate5 prove` proved it on such a device"
    )
    freeze: str | None = Field(None, min_length=1, description="why nothing is promoted at present; null: not frozen")
