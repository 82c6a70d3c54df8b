"""What plants report of a release: hours, hand-overs, margins, where the policy and the baseline differ."""

from __future__ import annotations

from gate5.errors import Gate5Error
from gate5.report.html import Markup, facts, figure, table, tag
from gate5.store.artifact_store import ArtifactStore
from gate5.store.evidence import Record, record, words
from gate5.store.keyring import keyring
from gate5_plugin.releases.layout import day

#: Summaries that a page reads; `gate5 show` reads more.
NEWEST = 100
ROWS = 12


def reported(store: ArtifactStore, channel: str, release_id: str) -> Record | str:
    """The newest reports of a channel's plants, or why they cannot be read: the rest of the page stands without."""
    try:
        own = store.trusted_keys
        return record(store, channel, release_id, keyring(store, own) if own else None, NEWEST)
    except Gate5Error as error:
        return str(error)


def section(found: Record | str) -> Markup | None:
    """Nothing where no plant has reported."""
    heading = tag("h2", "At plants")
    if isinstance(found, str):
        return tag("section", heading, tag("p", found, class_="note"), id="plants")
    if not found.found and not found.refused:
        return None
    told, hours = found.totals(), found.totals()["hours"]
    causes = ", ".join(f"{count} × {cause}" for cause, count in told["hand_overs"].items())
    about = facts(
        [
            ("plants", ", ".join(told["plants"])),
            ("hours in control", figure(hours["control"], 3)),
            ("of them driven by the policy", figure(told["hours_driven_by_the_policy"], 3)),
            ("hours in shadow", figure(hours["shadow"], 3)),
            ("in shadow since the last alarm", figure(told["shadow_hours_without_alarm"], 3)),
            ("simulated hours, not counted", figure(told["hours_simulated"], 3)),
            ("hand-overs", causes or "none"),
            ("periods begun late", told["missed"]),
            ("as a newer release", ", ".join(f"{n} × {words(o)}" for o, n in told["updates"].items()) or None),
            ("newest report", day(told["newest"]) if told["newest"] else None),
        ]
    )
    margins = sorted(told["smallest_margins"].items(), key=lambda item: item[1])[:ROWS]
    apart = [[name.replace("_", " "), figure(x, 3)] for name, x in told["largest_shadow_differences"].items()]
    drift = sorted(told["outside_the_envelope"].items(), key=lambda item: -item[1])[:ROWS]
    names = [name.replace("_", " ") for name, _ in margins]
    against = [[day(at), plant, words(outcome), why] for at, plant, outcome, why in found.against()[:ROWS]]
    parts = [
        table(("date", "plant", "outcome", "why"), against) if against else None,
        table(("constraint", "smallest margin"), zip(names, [figure(x, 4) for _, x in margins], strict=True),
              numeric=(1,)) if margins else None,
        table(("actuator", "policy and baseline apart, at most"), apart, numeric=(1,)) if apart else None,
        table(("observation", "outside the envelope, % of the periods of its worst report"),
              [[name.replace("_", " "), figure(100 * x, 3)] for name, x in drift], numeric=(1,)) if drift else None,
    ]  # fmt: skip
    refused = None
    if found.refused:
        refused = tag("p", f"{len(found.refused)} reports do not count: {found.refused[0]}.", class_="note")
    newest = None
    if len(found.found) + len(found.refused) >= NEWEST:
        newest = tag("p", f"Of the newest {NEWEST} reports; `gate5 show` counts more.", class_="soft")
    return tag("section", heading, about, *parts, newest, refused, id="plants")
