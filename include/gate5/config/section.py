"""What every section of the configuration is: immutable, and closed against unknown keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from gate5.io.canonical import dumps


class Section(BaseModel):
    """A part of the configuration: immutable, and closed against unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def json_types(value: dict[str, Any], what: str) -> dict[str, Any]:
    """``value`` if it is JSON's types alone: the configuration is hashed and stored as JSON."""
    try:
        dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"only JSON's types can be {what} ({error})") from None
    return value
