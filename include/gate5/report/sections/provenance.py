"""Where everything came from: code, libraries, machine, configuration and the hash of every artifact."""

from __future__ import annotations

from gate5 import provenance
from gate5.io import canonical
from gate5.report.artifacts import Artifacts
from gate5.report.html import Markup, code, facts, table, tag
from gate5.report.sections.plain import flat_facts


def section(artifacts: Artifacts) -> Markup:
    """Artifacts with hashes, the configuration, and what drew this page."""
    here = provenance.describe()
    names = [name for name in artifacts.names if name != "report.html" and not name.startswith("records/")]
    rows = []
    for name in names:
        found = artifacts.hash_and_size(name)
        if found is not None:
            rows.append((code(name), f"{found[1]:,}", code(found[0])))
    config = artifacts.config
    parts = [
        tag("h2", "Provenance"),
        facts(
            [
                ("workspace", code(artifacts.workspace.uri)),
                ("configuration, SHA-256", code(config.sha256) if config else None),
                ("gate5", f"{here['gate5']} ({here['commit'] or 'no commit known'})"),
                ("page drawn", provenance.now()),
            ]
        ),
        _folded(f"Artifacts ({len(rows)})", table(("artifact", "bytes", "SHA-256"), rows, numeric=(1,))),
        _folded("Configuration of this release", _configuration(artifacts)),
        _folded("Machine and libraries that drew this page", flat_facts(here)),
    ]
    return tag("section", parts, id="provenance")


def _folded(title: str, content: Markup) -> Markup:
    return tag("details", tag("summary", title), content, class_="data")


def _configuration(artifacts: Artifacts) -> Markup:
    if artifacts.config is None:
        return tag("p", "Missing: the stage resolve has not run yet.", class_="soft")
    return tag("pre", tag("code", canonical.dumps(artifacts.config.plain()).decode()))
