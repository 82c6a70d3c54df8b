"""The form of a DAG, filled in: its fields are asked of Airflow, and so is the run, both by the reader's own login."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from gate5.report.html import raw, tag
from gate5_plugin.releases.layout import ACTS, Site, page

Drawn = Callable[[str], str]
_TITLES = {
    "rollback": "Roll {channel} back",
    "promote": "Promote {release} to another channel",
    "hold": "Hold {release}",
    "lift": "Lift the hold on {release}",
}


def form(
    site: Site, verb: str, channel: str, release: str, config: str, offered: Sequence[tuple[str, str]], nonce: str
) -> str:
    """The page; nothing is started before a person sends it.

    Args:
        offered: releases to choose from, with what is said of each.
    """
    dag_id, name = ACTS[verb][0], ACTS[verb][1].removesuffix(" to …")
    title = _TITLES[verb].format(channel=channel or "a channel", release=release or "a release")
    known = {
        "channel": channel, "release_id": release, "release": release, "source": channel, "from_channel": channel,
        "config": config,
    }  # fmt: skip
    about = {
        "dag": dag_id, "api": f"{site.root}/api/v2", "ui": site.root, "known": known, "verb": verb,
        "offered": {"release_id": [list(each) for each in offered]},
    }  # fmt: skip
    data = json.dumps(about).replace("<", "\\u003c")
    parts = [
        tag("p", f"This starts the DAG {dag_id}; the log keeps your name and the reason.", class_="soft"),
        tag("form", tag("p", "The form is being read …", class_="soft", role="status", id="said"),
            tag("div", id="fields"),
            tag("p", tag("button", name, type="submit", class_="button", id="send", disabled=""),
                class_="acts"), id="act"),
        tag("script", raw(data), type="application/json", id="about", nonce=nonce),
    ]  # fmt: skip
    trail = [("Releases", site.releases())]
    if channel:
        trail.append((channel, site.releases(channel)))
    return page(site, title, [*trail, (name, None)], [tag("section", parts)], nonce)
