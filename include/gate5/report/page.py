"""The report of one run: one HTML page that needs nothing else, no network and no second file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, raw, tag
from gate5.report.sections import (
    assessment,
    candidate,
    evaluation,
    latency,
    parity,
    provenance,
    robustness,
    verdict,
)
from gate5.workspace.artifacts import Workspace

_CONTENTS = (
    ("verdict", "Verdict"),
    ("assessment", "Assessment"),
    ("rules", "Rules"),
    ("candidate", "Candidate"),
    ("engine", "Engine"),
    ("parity", "Parity"),
    ("latency", "Latency"),
    ("evaluation", "Policy against baseline"),
    ("robustness", "At worst"),
    ("provenance", "Provenance"),
)


def render(workspace: Workspace) -> str:
    """One self-contained HTML page of whatever the workspace holds so far; what is missing is said.

    Nothing that was read is trusted: every text is escaped, and an artifact that cannot be read becomes a remark.
    """
    artifacts = Artifacts(workspace)
    sections = [
        verdict.rules(artifacts),
        candidate.candidate(artifacts),
        candidate.engine(artifacts),
        parity.section(artifacts),
        latency.section(artifacts),
        evaluation.section(artifacts),
        robustness.section(artifacts),
        provenance.section(artifacts),
    ]
    # Last, so that it can name every artifact that a section found unreadable.
    front = assessment.section(artifacts)
    body = [verdict.banner(artifacts), front, *sections]
    links = tag("nav", tag("div", [tag("a", text, href=f"#{name}") for name, text in _CONTENTS]), aria_label="Contents")
    policy = str((artifacts.checkpoint or {}).get("policy_sha256") or "")[:12]
    title = " · ".join(part for part in ("Gate 5", verdict.verdict_title(artifacts.gate), policy) if part)
    return document(title, body, links)


def document(title: str, body: Sequence[Markup], links: Markup | None = None) -> str:
    """A whole page around a body, with styles and script inside it."""
    page = tag(
        "html", _head(title), tag("body", links, tag("main", list(body)), tag("script", raw(script()))), lang="en"
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", raw(_file("style.css"))),
    )


def script() -> str:
    """What a page with charts runs: axes, charts, theme and folds."""
    return "\n".join(_file(name) for name in ("report.js", "axis.js", "chart.js"))


@lru_cache(maxsize=8)
def _file(name: str) -> str:
    return resources.files("gate5.report").joinpath(name).read_text(encoding="utf-8")
