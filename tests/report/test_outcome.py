"""What became of a run: its report says it, and a later entry of the channel changes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gate5.config.channel import StoreConfig
from gate5.gate.report import GateReport, RuleResult
from gate5.io import canonical
from gate5.report import render
from gate5.report.outcome import broken, outcome, with_standing
from gate5.store import keygen, open_store, promote, publish, rollback
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import Log
from gate5.store.standing import standing
from tests.support.finished_run import Run

HOSTILE = "</span><script>alert(1)</script>"


def rule(outcome_: Any = "pass", *, veto: bool = True) -> RuleResult:
    return RuleResult("rule", "a.b", None, "<", 1.0, 2.0, -1.0, outcome_, veto, "why", "")


PASS = GateReport("pass", (rule(),), ())
ADVICE = GateReport("pass", (rule(), rule("fail", veto=False), rule("fail", veto=False)), ())
FAIL = GateReport("fail", (rule("fail"),), ("rule: a.b is 2, must be < 1",))
RELEASED = {"release_id": "sco2-0123456789ab", "channel": "production", "outcome": "promoted", "sequence": 3}


@pytest.mark.parametrize(
    ("gate", "release", "rejection", "kind", "word"),
    [
        (PASS, RELEASED, None, "promoted", "PROMOTED"),
        (PASS, {**RELEASED, "outcome": "superseded"}, None, "not_promoted", "NOT PROMOTED"),
        (FAIL, None, {"verdict": "fail", "reasons": FAIL.reasons, "cause": "gate"}, "refused", "REFUSED BY THE GATE"),
        (FAIL, None, None, "refused", "REFUSED BY THE GATE"),
        (PASS, None, {"reasons": ["ada answered Reject"], "cause": "person", "by": "ada"}, "rejected",
         "REJECTED BY ada"),
        (PASS, None, {"reasons": ["ada answered Reject"]}, "rejected", "REJECTED BY ada"),  # of an older version
        (PASS, None, {"reasons": ["nobody answered Promote in time"], "cause": "silence"}, "unanswered",
         "NOBODY ANSWERED"),
        (PASS, None, {"reasons": ["nobody answered Promote in time"]}, "unanswered", "NOBODY ANSWERED"),
        (PASS, None, {"reasons": ["the channel takes no quick run"], "cause": "channel"}, "not_taken", "NOT TAKEN"),
        (PASS, None, {"reasons": ["the run b judges it again"], "cause": "again"}, "judged_again", "JUDGED AGAIN"),
        (GateReport("error", (), ()), None, {"verdict": "error", "reasons": []}, "undecided", "NO VERDICT"),
    ],
)  # fmt: skip
def test_each_end_has_its_word(gate: Any, release: Any, rejection: Any, kind: str, word: str) -> None:
    found = outcome(gate, release, rejection)
    assert found is not None
    assert (found.kind, found.word) == (kind, word)
    assert found.sentence.endswith(".")


def test_nothing_is_said_before_anything_was_decided() -> None:
    assert outcome(None, None, None) is None
    assert outcome(PASS, None, None) is None


def test_a_broken_run_says_what_its_task_said() -> None:
    assert broken("export: there is no such checkpoint.").sentence == "export: there is no such checkpoint."
    assert "by hand" in broken(None).sentence


def page(run: Run, path: Path, /, **files: Any) -> str:
    return render(run.at(path, changes={f"{name}.json": canonical.dumps(value) for name, value in files.items()}))


def banner(text: str) -> str:
    found = re.search(r'<section class="banner.*?</section>', text, re.DOTALL)
    assert found is not None
    return found.group(0)


def test_a_rejected_candidate_is_no_green_pass(run: Run, tmp_path: Path) -> None:
    text = banner(page(run, tmp_path, gate=PASS.to_dict(), rejection={
        "verdict": "pass", "reasons": [f"{HOSTILE} answered Reject"], "cause": "person", "by": HOSTILE}))  # fmt: skip
    assert 'class="banner fail"' in text
    assert "REJECTED BY &lt;/span&gt;" in text
    assert "<script>alert" not in text


def test_an_answer_that_never_came_is_no_green_pass(run: Run, tmp_path: Path) -> None:
    rejection = {"verdict": "pass", "reasons": ["nobody answered Promote in time"], "cause": "silence", "by": None}
    text = banner(page(run, tmp_path, gate=PASS.to_dict(), rejection=rejection))
    assert 'class="banner fail"' in text
    assert "NOBODY ANSWERED" in text


def test_the_banner_is_amber_while_advice_is_not_met(run: Run, tmp_path: Path) -> None:
    for name, extra in (("before", {}), ("after", {"release": RELEASED})):
        text = banner(page(run, tmp_path / name, gate=ADVICE.to_dict(), **extra))
        assert 'class="banner warn"' in text
        assert "2 advisory checks not met" in text
    assert 'class="banner pass"' in banner(page(run, tmp_path / "clean", gate=PASS.to_dict(), release=RELEASED))


def test_the_report_names_person_and_run(run: Run, tmp_path: Path) -> None:
    origin = {"dag_id": "policy_release", "run_id": "manual & 1", "started_by": "ada", "started_on": "2026-01-01",
              "url": "https://airflow.example/dags/policy_release/runs/manual"}  # fmt: skip
    text = banner(page(run, tmp_path, run=origin))
    assert "Started by <b>ada</b>" in text
    assert 'href="https://airflow.example/dags/policy_release/runs/manual"' in text
    assert "manual &amp; 1" in text
    bad = banner(page(run, tmp_path / "bad", run={**origin, "url": "javascript:alert(1)"}))
    assert "javascript:" not in bad


def test_the_tiles_say_in_what_and_the_table_marks_worse_tracking(run: Run, tmp_path: Path) -> None:
    text = page(run, tmp_path)
    assert "mean return per episode, against the PID" in banner(text)
    assert "tracking error (RMSE) above the PID" in banner(text)
    rows = re.findall(r"<td>[^<]*RMSE to set-point</td>(.*?)</tr>", text)
    marks = ['title="worse than the PID"' in row for row in rows]
    values = [[float(re.sub(r"[^0-9.]", "", cell)) for cell in re.sub(r"<[^>]+>", " ", row).split("°C")[:2]]
              for row in rows]  # fmt: skip
    assert marks == [policy > pid for policy, pid in values]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    folder = tmp_path_factory.mktemp("store")
    keygen(folder / "key.pem")
    return open_store(StoreConfig(uri=str(folder / "store"), signing_key=str(folder / "key.pem")))


def released(opened: ArtifactStore, channel: str, *names: str) -> list[Any]:
    provenance = {"plant": "sco2", "engine": {"backend": "onnxruntime"}, "gate": {"verdict": "pass"}}
    found = []
    for name in names:
        release = publish(opened, {"policy.onnx": f"{channel} {name}".encode()}, provenance)
        found.append(promote(opened, channel, release, approved_by="ada"))
    return found


def stands(opened: ArtifactStore, channel: str, done: Any) -> Any:
    found = outcome(PASS, {**RELEASED, "release_id": done.release, "channel": channel, "sequence": done.sequence}, None)
    assert found is not None
    return with_standing(found, standing(Log(opened, channel, [opened.signer.public_key]), done.release, done.sequence))


def test_a_release_that_another_one_replaced_says_so(opened: ArtifactStore) -> None:
    first, second = released(opened, "replaced", "one", "two")
    old, new = (stands(opened, "replaced", done) for done in (first, second))
    assert (old.kind, new.kind) == ("superseded", "promoted")
    assert f"ada released {second.release}" in old.sentence
    assert "no longer the current release" in old.sentence
    assert "is the current release of replaced since" in new.sentence


def test_a_release_that_was_rolled_back_says_who_and_why(opened: ArtifactStore) -> None:
    first, second = released(opened, "back", "one", "two")
    rollback(opened, "back", by="bob", reason="oscillates")
    old, new = (stands(opened, "back", done) for done in (first, second))
    assert (old.kind, new.kind) == ("promoted", "rolled_back"), "the first one is current again"
    assert new.word == "ROLLED BACK SINCE"
    assert f"bob rolled back to {first.release}" in new.sentence
    assert new.sentence.endswith(": oscillates.")


def test_a_release_that_came_back_and_was_replaced_again(opened: ArtifactStore) -> None:
    first, _ = released(opened, "again", "one", "two")
    rollback(opened, "again", by="bob", reason="oscillates")
    (third,) = released(opened, "again", "three")
    found = stands(opened, "again", first)
    assert found.kind == "superseded"
    assert third.release in found.sentence


def test_many_entries_later_few_are_read(opened: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gate5.store.standing.NEAR", 3)
    first, *_ = released(opened, "long", *(f"release {n}" for n in range(12)))
    read = opened.backend.read
    names: list[str] = []

    def noted(name: str) -> Any:
        names.append(name)
        return read(name)

    monkeypatch.setattr(opened.backend, "read", noted)
    assert stands(opened, "long", first).kind == "superseded"
    assert len([name for name in names if name.startswith("channels/")]) < 6
