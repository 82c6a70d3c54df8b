"""The page of a run: nothing in it can run, nothing is fetched, nothing that is missing goes unsaid."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gate5.report import render
from gate5.report.html import escape, figure, raw, tag
from gate5.workspace import contents
from gate5.workspace.artifacts import DirectoryWorkspace
from tests.support.finished_run import Run

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>"
VOID = {"meta", "line", "rect", "circle", "polyline", "br"}


class Page(HTMLParser):
    """Elements, attributes and text by section; complains about elements that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.sections: dict[str, str] = {}
        self.section = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(name)
        self.attributes += [(name, key, value or "") for key, value in attrs]
        about = dict(attrs)
        if "id" in about:
            self.ids.append(about["id"] or "")
        if name == "section":
            self.section = about.get("id") or ""
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(name)
        self.attributes += [(name, key, value or "") for key, value in attrs]

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name
        if name == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        self.sections[self.section] = self.sections.get(self.section, "") + data + " "


def poison(value: Any, where: str = "") -> Any:
    """Every free text of a report, turned into markup."""
    if isinstance(value, dict):
        return {poison(k, "key") if where == "open" else k: poison(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [poison(item, where) for item in value]
    fixed = {
        "op",
        "outcome",
        "verdict",
        "metric",
        "scenario",
        "name",
        "variable",
        "setpoint",
        "applies",
        "trace",
        "kind",
    }
    return EVIL if isinstance(value, str) and where not in fixed else value


def test_the_whole_run_is_on_the_page(run: Run, tmp_path: Path) -> None:
    page = Page(render(run.at(tmp_path)))
    text = page.sections
    assert "PASS" in text["verdict"]
    assert "latency_p99" in text["rules"]
    assert "examples/checkpoints/good" in text["candidate"]
    assert "b" * 64 in text["candidate"]
    assert "onnxruntime, chosen by auto" in text["engine"]
    assert "1.25e-06" in text["parity"]
    assert "4.5e-08" in text["parity"]
    assert "5,000" in text["latency"]
    assert all(title in text["evaluation"] for title in ("Hold", "Ramp", "Gust <b>"))
    assert not any("Missing" in part for part in text.values())
    assert len(page.ids) == len(set(page.ids))


def test_nothing_is_fetched_and_one_script_runs(run: Run, tmp_path: Path) -> None:
    page = Page(render(run.at(tmp_path)))
    assert page.seen.count("script") == 1
    for element, key, value in page.attributes:
        assert key not in ("src", "srcset", "data", "action"), (element, value)
        assert key != "href" or value.startswith("#"), value
        assert not key.startswith("on"), (element, key)
    assert not re.search(r"url\(|@import|https?://", render(run.at(tmp_path)))


def test_markup_in_any_artifact_stays_text(run: Run, tmp_path: Path) -> None:
    changes = {
        name: json.dumps(poison(json.loads(data))).encode()
        for name, data in run.artifacts.items()
        if name.endswith(".json") and name not in ("config.json",) and not name.startswith("records/")
    }
    config = json.loads(run.artifacts["config.json"])
    config["gate"]["rules"][0] |= {"name": EVIL, "why": EVIL}
    config["plant"]["id"] = EVIL
    changes["config.json"] = json.dumps(config).encode()
    changes["release.json"] = json.dumps({"release_id": EVIL, "channel": EVIL, "approved_by": EVIL}).encode()
    changes["engine/engine.json"] = json.dumps({EVIL: EVIL, "backend": EVIL, "versions": {EVIL: EVIL}}).encode()
    page = render(run.at(tmp_path, changes=changes))
    seen = Page(page)
    assert seen.seen.count("script") == 1
    assert "img" not in seen.seen
    assert EVIL not in page
    for section in ("verdict", "candidate", "engine", "evaluation", "rules"):
        assert "<script>alert(1)</script>" in seen.sections[section], section


def test_a_rule_named_script_is_shown_as_such(run: Run, tmp_path: Path) -> None:
    verdict = json.loads(run.artifacts["gate.json"])
    verdict["rules"][0]["name"] = "<script>alert('rule')</script>"
    page = render(run.at(tmp_path, changes={"gate.json": json.dumps(verdict).encode()}))
    assert "<script>alert('rule')" not in page
    assert "<script>alert('rule')</script>" in Page(page).sections["rules"]


@pytest.mark.parametrize(
    ("without", "section"),
    [
        ("gate.json", "rules"),
        ("checkpoint.json", "candidate"),
        ("engine/", "engine"),
        ("parity.json", "parity"),
        ("export.json", "parity"),
        ("latency.json", "latency"),
        ("latency.npz", "latency"),
        ("evaluation/", "evaluation"),
        ("evaluation/gust", "evaluation"),
        ("evaluation/gust.npz", "evaluation"),
    ],
)
def test_what_is_missing_is_said_where_it_belongs(run: Run, tmp_path: Path, without: str, section: str) -> None:
    text = Page(render(run.at(tmp_path, without=[without]))).sections
    assert "Missing" in text[section]
    assert [name for name, content in text.items() if "Missing" in content] == [section]


def test_an_empty_workspace_is_in_progress_with_every_stage_missing(tmp_path: Path) -> None:
    text = Page(render(DirectoryWorkspace(tmp_path))).sections["verdict"]
    assert "IN PROGRESS" in text
    shown = [stage for stage in contents.STAGES if stage.name not in ("report", "reject")]
    assert len(re.findall(r"\bmissing\b", text)) == len(shown)


def test_while_a_run_goes_on_the_stages_that_are_done_are_named(run: Run, tmp_path: Path) -> None:
    later = ["gate.json", "records/gate", "records/compare", "evaluation/ramp", "evaluation/gust"]
    text = Page(render(run.at(tmp_path, without=later))).sections
    assert "IN PROGRESS" in text["verdict"]
    assert "done for hold" in text["verdict"]
    assert "Missing so far: ramp, gust" in text["evaluation"]


READ = ("gate.json", "parity.json", "latency.npz", "evaluation/hold.json", "config.json")
DAMAGE = (b"", b"{}", b"[1]", b"PK\x03\x04 cut off")
# An empty configuration is the default one.
DAMAGED = [(name, damage) for name in READ for damage in DAMAGE if (name, damage) != ("config.json", b"{}")]


@pytest.mark.parametrize(("name", "damage"), DAMAGED)
def test_a_damaged_artifact_is_named_and_the_rest_still_drawn(
    run: Run, tmp_path: Path, name: str, damage: bytes
) -> None:
    text = Page(render(run.at(tmp_path, changes={name: damage}))).sections
    assert f"{name} is there but cannot be read" in text["verdict"]
    assert "examples/checkpoints/good" in text["candidate"]


@pytest.mark.parametrize(("verdict", "kind"), [("fail", "REFUSED BY THE GATE"), ("error", "NO VERDICT")])
def test_a_refusal_names_its_reasons_first(run: Run, tmp_path: Path, verdict: str, kind: str) -> None:
    gate = json.loads(run.artifacts["gate.json"]) | {"verdict": verdict, "reasons": ["latency_p99: too slow"]}
    page = render(run.at(tmp_path, changes={"gate.json": json.dumps(gate).encode()}))
    text = Page(page).sections["verdict"]
    assert kind in text
    assert text.index("too slow") < text.index("ONNX against the policy")
    assert f'class="banner {verdict}"' in page


def test_of_many_reasons_four_are_shown_and_the_others_are_folded(run: Run, tmp_path: Path) -> None:
    reasons = [f"reason-{number}." for number in range(21)]
    gate = json.loads(run.artifacts["gate.json"]) | {"verdict": "fail", "reasons": reasons}
    page = render(run.at(tmp_path, changes={"gate.json": json.dumps(gate).encode()}))
    shown, _, folded = page.partition('id="assessment"')[0].partition("17 more reasons")
    assert ["reason-3." in shown, "reason-4." in shown] == [True, False]
    assert all(reason in folded for reason in reasons[4:])


@pytest.mark.parametrize("reasons", [7, "text", {"a": 1}, None])
def test_a_rejection_of_another_shape_is_still_drawn(run: Run, tmp_path: Path, reasons: object) -> None:
    changes = {"rejection.json": json.dumps({"reasons": reasons, "cause": "person", "by": "ada"}).encode()}
    assert "REJECTED BY ada" in Page(render(run.at(tmp_path, changes=changes))).sections["verdict"]


def test_the_verdict_comes_first_and_a_refused_claim_says_so(run: Run, tmp_path: Path) -> None:
    gate = json.loads(run.artifacts["gate.json"]) | {"verdict": "fail", "reasons": ["too slow"]}
    page = render(run.at(tmp_path, changes={"gate.json": json.dumps(gate).encode()}))
    assert page.index('id="verdict"') < page.index('id="assessment"')
    text = " ".join(Page(page).sections["assessment"].split())
    assert text.index("✗ Not supported:") < text.index("may drive the plant")


def test_what_awaits_its_proof_is_not_supported_yet(run: Run, tmp_path: Path) -> None:
    """Seen: "Supported: the policy, as the engine of this release, may drive the plant" of an engine that never ran."""
    gate = json.loads(run.artifacts["gate.json"]) | {"verdict": "awaiting proof", "reasons": []}
    gate["rules"] = [
        {**rule, "outcome": "awaiting" if rule["metric"].startswith(("parity.engine", "latency")) else "pass"}
        for rule in gate["rules"]
    ]
    page = Page(render(run.at(tmp_path, changes={"gate.json": json.dumps(gate).encode()})))
    text = " ".join(page.sections["assessment"].split())
    assert "… Awaiting proof: G0." in text
    assert "✓ Supported" not in text
    row = text.partition("state evidence")[2]
    assert "… awaiting proof" in row.partition("G1")[2].partition("G2")[0], row
    assert "Not met" not in text


def test_every_chart_has_words_and_every_curve_a_table(run: Run, tmp_path: Path) -> None:
    page = Page(render(run.at(tmp_path)))
    charts = [element for element, key, value in page.attributes if (key, value) == ("role", "img")]
    assert len(charts) >= 5 + 3 * 2
    words = [value for element, key, value in page.attributes if element in charts and key == "aria-label"]
    assert len(words) == len(charts)
    assert all(len(text) > 40 for text in words)
    assert page.sections["evaluation"].count("These curves as a table") == 3


def test_the_page_is_small(run: Run, tmp_path: Path) -> None:
    assert len(render(run.at(tmp_path)).encode()) < 400_000


def test_the_release_and_its_approver_are_shown(run: Run, tmp_path: Path) -> None:
    release = {"outcome": "promoted", "release_id": "sco2-0123456789ab", "channel": "production", "approved_by": "Ada"}
    page = render(run.at(tmp_path, changes={"release.json": json.dumps(release).encode()}))
    text = " ".join(Page(page).sections["verdict"].split())
    assert "sco2-0123456789ab was released to production, approved by Ada." in text


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "<b>", raw("<i>"), None, 3, title='"') == '<p title="&quot;">&lt;b&gt;<i>3</p>'
    assert escape(["&", ("<",)]) == "&amp;&lt;"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (-0.5, "−0.5"), (1.25e-6, "1.25e-06"), (123456.0, "123,456"), (0.0, "0")]
)
def test_a_number_for_a_reader(value: float | None, text: str) -> None:
    assert figure(value) == text
