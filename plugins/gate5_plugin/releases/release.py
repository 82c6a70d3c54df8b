"""A release's page: whether it is in charge, why, its numbers beside those of the one before, its files."""

from __future__ import annotations

from collections.abc import Sequence

from gate5.report.html import Markup, code, facts, figure, tag, unit
from gate5.report.outcome import Outcome, with_standing
from gate5.store.entry import ChannelEntry
from gate5.store.evidence import Record
from gate5.store.held import Hold
from gate5.store.standing import Standing
from gate5_plugin.releases import plants
from gate5_plugin.releases.facts import Facts
from gate5_plugin.releases.layout import Site, buttons, day, listing, page, release_link, run_link, tiles, why

#: Letters of a reason that are shown here, which the other pages cut.
_WHOLE = 100_000
_SOURCES = ("uri", "policy_sha256", "vecnormalize_sha256")


def release(
    site: Site,
    channel: str,
    shown: Facts,
    standing: Standing | None,
    put: ChannelEntry | None,
    before: Facts | None,
    hold: Hold | None,
    reported: Record | str,
    nonce: str,
) -> str:
    """The page.

    Args:
        hold: what keeps its policy off the channel.
        standing: where it stands on the channel; ``None``: it was never there.
        put: the entry that put it there (the last one that is known).
        before: the release that it replaced.
        reported: what plants say of it, or why that cannot be read.
    """
    current = standing is not None and standing.current
    verbs = ("rollback", "promote", "hold" if hold is None else "lift")
    body: list[object] = [
        tag("section", _standing(channel, shown.id, standing), _why(site, put),
            tag("p", "Held: ", _held(hold), class_="note") if hold else None, tiles(shown),
            buttons(site, channel, shown.id, verbs, current=current), class_=f"banner {_colour(standing)}",
            id="standing"),
        _notes("Advisory checks not met", shown.advice),
        _notes("Checks that passed with less than 10 % to spare", shown.close),
        plants.section(reported),
        _difference(site, channel, shown, before),
        _evidence(site, channel, shown),
    ]  # fmt: skip
    trail = [("Releases", site.releases()), (channel, site.releases(channel)), (shown.id, None)]
    return page(site, shown.id, trail, body, nonce)


def _held(hold: Hold) -> list[object]:
    verb = {"rollback": "rolled back", "reject": "rejected"}.get(hold.kind, "held")
    return [f"{verb} by ", tag("b", hold.by), " on ", day(hold.at), f": {hold.reason}"]


def _outcome(channel: str, release_id: str, standing: Standing | None) -> Outcome | None:
    if standing is None or (standing.since is None and not standing.current):
        return None
    return with_standing(Outcome("promoted", "", None, release_id, channel), standing)


def _colour(standing: Standing | None) -> str:
    return "pass" if standing and standing.current else "wait" if standing is None else "warn"


def _standing(channel: str, release_id: str, standing: Standing | None) -> Markup:
    found = _outcome(channel, release_id, standing)
    if found is None:
        word, sentence = "NOT HERE", f"It was not found in the channel {channel}."
    else:
        word, sentence = "IN CHARGE" if found.kind == "promoted" else found.word, found.sentence
    return tag("div", tag("h2", tag("span", word, class_="verdict")), tag("p", sentence))


def _why(site: Site, put: ChannelEntry | None) -> Markup | None:
    if put is None:
        return None
    return tag("p", f"Entry {put.sequence}, by ", tag("b", put.by), " on ", day(put.at), ".", why(put, _WHOLE),
               " Run: ", run_link(site, put), ".")  # fmt: skip


def _notes(title: str, lines: Sequence[str]) -> Markup | None:
    if not lines:
        return None
    return tag("section", tag("h2", f"{title} ({len(lines)})"), tag("ul", [tag("li", line) for line in lines]))


def _difference(site: Site, channel: str, shown: Facts, before: Facts | None) -> Markup:
    heading = tag("h2", "Difference to the one before")
    if before is None or before.release is None or shown.release is None:
        told = "It is the first release of this channel, or the one before it cannot be read."
        return tag("section", heading, tag("p", told, class_="soft"), id="difference")
    rows: list[list[object]] = []
    rows.append(_row("p99, upper bound, ms", before.p99_ms, shown.p99_ms))
    rows.append(_row("engine against ONNX, largest error", before.parity, shown.parity))
    for name in dict.fromkeys([*before.differences, *shown.differences]):
        label = f"return against the baseline, {name}, %"
        rows.append(_row(label, before.differences.get(name), shown.differences.get(name)))
    for name, of in dict.fromkeys([*before.margins, *shown.margins]):
        label = f"smallest margin, {name.replace('_', ' ')}{f', {unit(of)}' if unit(of) else ''}"
        rows.append(_row(label, before.margins.get((name, of)), shown.margins.get((name, of))))
    changed = [name for name in sorted({*shown.release.files, *before.release.files})
               if shown.release.files.get(name) != before.release.files.get(name)]  # fmt: skip
    return tag(
        "section",
        heading,
        tag("p", "Before: ", release_link(site, channel, before.id), ". Files that differ: ",
            ", ".join(changed) or "none", "."),
        listing("Difference to the one before", ("", "before", "this release", "change"), rows, numbers=True),
        id="difference",
    )  # fmt: skip


def _row(name: str, before: float | None, now: float | None) -> list[object]:
    if before is None or now is None:
        return [name, figure(before, 4), figure(now, 4), "–"]
    change = now - before
    return [name, figure(before, 4), figure(now, 4), ("+" if change > 0 else "") + figure(change, 3)]


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _evidence(site: Site, channel: str, shown: Facts) -> Markup | None:
    if shown.release is None:
        return None
    here, built = site.releases(channel, shown.id), shown.provenance("built_with")
    origin, checkpoint, engine = (shown.provenance(name) for name in ("origin", "checkpoint", "engine"))
    rows = [[tag("a", name, href=f"{here}/files/{name}", download=""), code(digest)]
            for name, digest in sorted(shown.release.files.items())]  # fmt: skip
    about = facts(
        [
            ("candidate", code(checkpoint.get("uri"))),
            ("policy, SHA-256", code(checkpoint.get("policy_sha256"))),
            ("engine", _joined(engine.get("backend"), engine.get("precision"), engine.get("device"))),
            ("approved by", shown.release.provenance.get("approved_by")),
            ("started by", origin.get("started_by")),
            ("gate5", _joined(built.get("gate5"), built.get("commit"))),
            ("manifest, SHA-256", code(shown.release.manifest_sha256)),
            ("signed by key", ", ".join(key[:16] for key in shown.release.signed_by) or "nobody"),
        ]
    )
    report = None
    if "report.html" in shown.release.files:
        report = tag("details", tag("summary", "The report, as it was when this was released"),
                     data_report=f"{here}/report", id="report")  # fmt: skip
    manifest = tag("p", tag("a", "manifest.json", href=f"{here}/manifest", download=""), ", signed, names them all.")
    return tag("section", tag("h2", "Evidence"), about, report, tag("h3", "Files"), manifest,
               listing("Files", ("file", "SHA-256"), rows), id="evidence")  # fmt: skip
