"""The list of channels, and a channel's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gate5.config.gpus import kind_of
from gate5.report.html import Markup, code, tag
from gate5.store.entry import ChannelEntry
from gate5_plugin.releases.candidates import Candidate
from gate5_plugin.releases.channels import History, Line, moves
from gate5_plugin.releases.facts import Facts
from gate5_plugin.releases.layout import (
    Site,
    brief,
    buttons,
    day,
    listing,
    outer,
    page,
    problem,
    reason,
    release_link,
    run_link,
    short,
    tiles,
    why,
)
from gate5_plugin.releases.trends import charts

#: What an entry's kind is called.
KINDS: Mapping[str, str] = {
    "promote": "promoted", "rollback": "rolled back to", "hold": "held", "lift": "hold lifted", "keys": "keys changed",
}  # fmt: skip
#: The same of the entry that put the current release there, in a sentence.
_PUT = {"promote": "released by ", "rollback": "put back (rollback) by "}
_UNVERIFIED = (
    "The signatures of this log are not verified here: this machine has no public key (*.pub) beside store.signing_key."
)


def index(
    site: Site,
    where: str,
    lines: Sequence[Line],
    known: Mapping[str, Facts],
    candidates: Sequence[Candidate],
    trouble: Sequence[str],
    nonce: str,
) -> str:
    """The first page: every channel with what is current, then the last candidates.

    Args:
        where: the store's address.
        trouble: what could not be read, one sentence each.
    """
    body: list[object] = [tag("p", "Channels of the store ", code(where), class_="soft")] if where else []
    body += [problem(text) for text in trouble]
    body += [_channel(site, line, known) for line in lines]
    body.append(_candidates(site, candidates))
    return page(site, "Releases", [("Releases", None)], body, nonce)


def channel(site: Site, name: str, found: History, known: Mapping[str, Facts], nonce: str) -> str:
    """A channel: what is current and why, its history, and how the numbers went."""
    line = found.line
    body: list[object] = [_current(site, line, known)]
    if line.newest is not None:
        history = [tag("h2", "History"), _history(site, name, found), _pager(site, name, found)]
        body.append(tag("section", history, id="history"))
        body.append(_held(site, name, found))
        drawn = charts(moves(found.entries), known)
        told = "Over the releases of the history above; one that came back is there twice."
        inner = drawn or tag("p", "Where two releases and more have numbers, they are drawn here.", class_="soft")
        body.append(tag("section", tag("h2", "Trends"), tag("p", told, class_="soft") if drawn else "", inner))
    return page(site, f"Channel {name}", [("Releases", site.releases()), (name, None)], body, nonce)


def _channel(site: Site, line: Line, known: Mapping[str, Facts]) -> Markup:
    heading = tag("h2", tag("a", line.name, href=site.releases(line.name)))
    return tag("section", heading, _what(site, line, known), class_="channel")


def _current(site: Site, line: Line, known: Mapping[str, Facts]) -> Markup:
    release = line.newest.release if line.newest else ""
    acts = buttons(site, line.name, release, ("rollback", "promote", "hold"), current=True) if release else None
    return tag("section", tag("h2", "In charge now"), _what(site, line, known), acts, id="current")


def _what(site: Site, line: Line, known: Mapping[str, Facts]) -> list[object]:
    """Release, since when, by whom, why, and the key numbers."""
    if line.problem:
        return [tag("p", line.problem, class_="note", role="alert")]
    if line.newest is None or not line.newest.release:
        return [tag("p", "Nothing was released here yet.", class_="soft")]
    entry = line.since or line.newest
    run = run_link(site, entry)
    by, ran = tag("b", brief(entry.by)), [" Run: ", run, "."] if run != "–" else ""
    return [
        tag("p", release_link(site, line.name, line.newest.release), ", ", _PUT.get(entry.kind, f"{entry.kind} by "),
            by, " on ", day(entry.at), ".", why(entry), ran),
        tiles(known.get(line.newest.release)),
        None if line.verified else tag("p", _UNVERIFIED, class_="note"),
    ]  # fmt: skip


def _history(site: Site, name: str, found: History) -> Markup:
    header = ("entry", "when", "what", "release", "by", "reason", "run")
    since = found.line.newest.since if found.line.newest else 0
    numbers = [entry.sequence for entry in found.entries]
    rows = [_entry(site, name, entry) for entry in found.entries]
    return listing("History", header, rows, now=numbers.index(since) if since in numbers else None)


def _entry(site: Site, name: str, entry: ChannelEntry) -> list[object]:
    kind = tag("span", KINDS.get(entry.kind, entry.kind), class_=f"kind {_class(entry.kind)}")
    return [
        str(entry.sequence),
        day(entry.at),
        kind,
        release_link(site, name, entry.release),
        brief(entry.by),
        brief(reason(entry)),
        run_link(site, entry),
    ]


def _held(site: Site, name: str, found: History) -> Markup | None:
    """What the channel does not take again until a person lifts it."""
    if not found.holds:
        return None
    rows = [
        [release_link(site, name, hold.release) if hold.release else code(hold.name), hold.kind,
         brief(hold.by), day(hold.at), brief(hold.reason)]
        for hold in found.holds
    ]  # fmt: skip
    header = ("policy", "by a", "who", "when", "why")
    return tag("section", tag("h2", "Held back"), listing("Held back", header, rows), id="held")


def _pager(site: Site, name: str, found: History) -> Markup | None:
    steps = []
    if found.newer is not None:
        steps.append(tag("a", "Newer", href=site.releases(name, before=found.newer), rel="prev"))
    if found.older is not None:
        steps.append(tag("a", "Older", href=site.releases(name, before=found.older), rel="next"))
    return tag("p", steps, class_="pager") if steps else None


def _candidates(site: Site, candidates: Sequence[Candidate]) -> Markup:
    if not candidates:
        inner = tag("p", "No run of policy_release yet.", class_="soft")
    else:
        rows = [
            [
                [outer(one.run_id, site.run(one.dag_id, one.run_id)), _kind(one)],
                day(one.at),
                short(one.candidate),
                brief(one.by),
                tag("a", one.word, href=site.tab(one.dag_id, one.run_id), class_=f"tag {one.colour}"),
                brief(one.reason),
            ]
            for one in candidates
        ]
        header = ("run", "started", "candidate", "started by", "outcome", "reason")
        inner = listing("Last candidates", header, rows)
    return tag("section", tag("h2", "Last candidates"), inner, id="candidates")


def _kind(one: Candidate) -> list[object]:
    """The kind of GPU that judged, where it is not the first."""
    kind = kind_of(one.dag_id)
    return [] if kind is None else [" on ", brief(kind)]


def _class(kind: str) -> str:
    return kind if kind in KINDS else "other"
