"""What all pages of Releases share: the page's frame, links, names of days, tiles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote, urlencode

from gate5.report.html import Markup, allowed, code, figure, raw, tag
from gate5.report.page import script
from gate5.store.entry import ChannelEntry
from gate5_plugin.releases.facts import Facts

_HEX = re.compile(r"[0-9a-f]{16}")
#: The DAG behind each button, and how its form calls what the page knows.
ACTS: Mapping[str, tuple[str, str]] = {
    "rollback": ("policy_rollback", "Roll back"),
    "promote": ("policy_promote", "Promote to …"),
    "hold": ("policy_hold", "Hold"),
    "lift": ("policy_lift", "Lift the hold"),
}


@dataclass(frozen=True)
class Site:
    """Addresses as the browser sees them, and what the reader may start.

    Attributes:
        base: of the plugin, ``/gate5`` or ``/sub/gate5``.
        acts: verbs of ``ACTS`` whose DAG is there -> whether the reader may start it.
    """

    base: str
    acts: Mapping[str, bool]

    @property
    def root(self) -> str:
        return self.base.removesuffix("/gate5")

    def releases(self, *parts: str, **query: object) -> str:
        """The address of a page here."""
        path = "/".join([f"{self.base}/releases", *(quote(part, safe="") for part in parts)])
        asked = {name: value for name, value in query.items() if value is not None}
        return f"{path}?{urlencode(asked)}" if asked else path

    def run(self, dag_id: str, run_id: str) -> str:
        """The address of a run in Airflow."""
        return f"{self.root}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def tab(self, dag_id: str, run_id: str) -> str:
        """The address of a run's page here, which is the tab "Gate 5" in Airflow."""
        return f"{self.base}/run/{quote(dag_id, safe='')}/{quote(run_id, safe='')}"


def page(site: Site, title: str, trail: Sequence[tuple[str, str | None]], body: Sequence[object], nonce: str) -> str:
    """A whole page.

    Args:
        trail: names and addresses of the pages above this one, this one last without an address.
    """
    steps = [tag("a", name, href=to) if to else tag("span", name, aria_current="page") for name, to in trail]
    between = [(tag("span", "/", class_="soft") if index else "", step) for index, step in enumerate(steps)]
    full = tag("a", "Full page", href="", id="full", class_="full", hidden="")
    path = tag("nav", tag("div", between, full), aria_label="Where you are")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · Releases"),
        tag("style", raw(_read("gate5.report", "style.css") + _read("gate5_plugin.releases", "releases.css")),
            nonce=nonce),
    )  # fmt: skip
    own = _read("gate5_plugin", "frame.js") + _read("gate5_plugin.releases", "releases.js")
    scripts = [tag("script", raw(text), nonce=nonce) for text in (own, script())]
    main = tag("main", tag("h1", title), list(body), id="main")
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', path, main, scripts), lang='en')}\n"


def _read(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def problem(text: str) -> Markup:
    """Something that cannot be shown, and why."""
    return tag("section", tag("p", text, class_="note", role="alert"))


def day(at: str | None) -> object:
    """A point in time as a reader takes it in: ``2026-01-31 12:30 UTC``."""
    if not at:
        return "–"
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?.*", at)
    return tag("time", f"{found.group(1)} {found.group(2)} UTC" if found else at, datetime=at)


def listing(
    name: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, now: int | None = None, numbers: bool = False
) -> Markup:
    """A table whose rows become blocks of named lines where the page is narrow.

    Args:
        name: of the table, for a screen reader.
        now: the row to be marked.
        numbers: whether all columns but the first hold numbers.
    """

    def cell(index: int, value: object) -> Markup:
        kind = "empty" if value == "–" else "n" if numbers and index else None
        return tag("td", tag("div", value), data_name=header[index], class_=kind)

    head = [tag("th", each, scope="col", class_="n" if numbers and i else None) for i, each in enumerate(header)]
    body = [
        tag("tr", [cell(column, value) for column, value in enumerate(row)], class_="now" if index == now else None)
        for index, row in enumerate(rows)
    ]
    inner = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), aria_label=name, class_="listing")
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=name)


def brief(text: str | None, most: int = 300) -> str:
    """The head of a text for a table; whole, it stands on the page of its release or run."""
    return "–" if not text else text if len(text) <= most else f"{text[:most]} …"


def short(address: str | None) -> object:
    """A path or URI by its last two names; the whole of it where a pointer rests on it."""
    if not address:
        return "–"
    parts = address.rsplit("/", 2)
    return brief(address) if len(parts) < 3 else tag("span", brief(f"…/{'/'.join(parts[1:])}"), title=address)


def outer(name: object, to: str) -> Markup:
    """A link to a page of Airflow around this one."""
    return tag("a", name, href=to, data_outer="")


def run_link(site: Site, entry: ChannelEntry) -> object:
    """The run that made an entry, where it is known."""
    dag_id, run_id = entry.details.get("dag_id"), entry.details.get("run_id")
    if not dag_id and entry.kind == "rollback" and entry.request and not _HEX.fullmatch(entry.request):
        dag_id, run_id = "policy_rollback", entry.request
    if not isinstance(dag_id, str) or not isinstance(run_id, str):
        return "–"
    return outer(run_id, site.run(dag_id, run_id))


def reason(entry: ChannelEntry) -> str | None:
    """The reason of an entry, without the name of the run that a page shows beside it anyway."""
    run_id = entry.details.get("run_id")
    return entry.reason.removesuffix(f" in {run_id}") if entry.reason and run_id else entry.reason


def why(entry: ChannelEntry, most: int = 300) -> list[object]:
    """The reason of an entry, and what the person who approved it wrote; ``most``: letters of each."""
    approval = entry.details.get("approval")
    comment = approval.get("comment") if isinstance(approval, Mapping) else None
    said = (("Reason", reason(entry)), ("Comment", comment))
    return [part for name, text in said if text for part in (f" {name}: ", tag("b", brief(str(text), most)), ".")]


def release_link(site: Site, channel: str, release: str) -> object:
    """The page of a release; a dash where there is none."""
    return tag("a", code(release), href=site.releases(channel, release)) if release else "–"


def tiles(facts: Facts | None) -> Markup | None:
    """The key numbers."""
    if facts is None or facts.release is None:
        return tag("p", f"Its numbers cannot be read: {facts.problem}", class_="note") if facts else None
    against = "–" if facts.better is None else f"{facts.better} better, {facts.worse} worse"
    rows = [
        ("p99, upper bound", figure(facts.p99_ms, 3, "ms"), allowed(facts.sla_ms)),
        ("engine against ONNX", figure(facts.parity, 2), "largest absolute error"),
        ("return, against the baseline", against, f"of {len(facts.differences)} scenarios"),
        ("violations", "–" if facts.violations is None else str(facts.violations),
         f"steps, in {facts.episodes or 0} episodes"),
        ("advisory checks not met", str(len(facts.advice)), "they have no say"),
    ]  # fmt: skip
    parts = [tag("div", tag("small", a), tag("b", b), tag("small", c)) for a, b, c in rows]
    return tag("div", parts, class_="tiles")


def buttons(site: Site, channel: str, release: str, verbs: Sequence[str], *, current: bool) -> Markup | None:
    """What a person may do here; each opens the DAG's form filled in, and nothing happens before that is sent.

    A rollback of what is in charge goes back one; of another release it puts that one back.
    """
    parts = []
    for verb in verbs:
        dag_id, name = ACTS[verb]
        may = site.acts.get(verb)
        if may is None:
            continue
        if may:
            back_one = verb == "rollback" and current
            name = "Put this one back" if verb == "rollback" and not current else name
            asked = urlencode({"channel": channel, "release": "" if back_one else release})
            parts.append(tag("a", name, href=f"{site.base}/act/{verb}?{asked}", class_="button"))
        else:
            told = f"needs the permission to start {dag_id}"
            parts.append(tag("span", name, tag("small", f" ({told})"), class_="button off", aria_disabled="true"))
    return tag("p", parts, class_="acts") if parts else None
