"""Who is told what becomes of a run: the section `notify`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from gate5.config.section import Section, json_types

Event = Literal["waiting", "promoted", "refused", "rolled_back", "broken", "late"]
EVENTS: tuple[Event, ...] = ("waiting", "promoted", "refused", "rolled_back", "broken", "late")


class NotifierConfig(Section):
    """Any class of Airflow's notifiers; its templates have `gate5`, with title, text, event, sentence, verdict, url."""

    notifier: str = Field(pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$", description="`module.Class`, a BaseNotifier")
    arguments: dict[str, Any] = Field(default_factory=dict, description="of the class, as JSON's types")

    @field_validator("arguments")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return json_types(value, "arguments of a notifier")


class NotifyConfig(Section):
    """Who is told what becomes of a run; nothing here: nobody."""

    connection: str | None = Field(None, description="an Airflow connection of the type `apprise`")
    notifiers: tuple[NotifierConfig, ...] = Field((), description="further ones: `notifier` and `arguments`")
    events: tuple[Event, ...] = Field(EVENTS, description="what is told")
