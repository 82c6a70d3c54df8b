"""What became of a run: promoted, refused, rejected by a person, unanswered, broken, and whether it still holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate5.config.verdicts import RELEASED
from gate5.gate.report import FINE, GateReport
from gate5.store.standing import Standing

#: Kinds of outcome and their words; ``outcome`` and ``with_standing`` give them.
WORDS: Mapping[str, str] = {
    "promoted": "PROMOTED",
    "promoted_then_failed": "PROMOTED, THEN FAILED",
    "superseded": "SUPERSEDED",
    "rolled_back": "ROLLED BACK SINCE",
    "not_promoted": "NOT PROMOTED",
    "refused": "REFUSED BY THE GATE",
    "undecided": "NO VERDICT",
    "rejected": "REJECTED",
    "unanswered": "NOBODY ANSWERED",
    "not_taken": "NOT TAKEN",
    "judged_again": "JUDGED AGAIN",
    "not_judged": "NOT JUDGED",
    "bad_input": "BAD INPUT",
    "broken": "BROKEN",
}
#: The colour of each kind: a class of the style sheet.
COLOURS: Mapping[str, str] = {
    "promoted": "pass",
    "promoted_then_failed": "warn",
    "superseded": "wait",
    "rolled_back": "warn",
    "not_promoted": "warn",
    "refused": "fail",
    "undecided": "error",
    "rejected": "fail",
    "unanswered": "fail",
    "not_taken": "fail",
    "judged_again": "wait",
    "not_judged": "wait",
    "bad_input": "error",
    "broken": "error",
}
_ANSWERED = " answered Reject"


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        kind: a key of ``WORDS``.
        sentence: the same for a reader.
        by: the person whose doing it is.
        release, channel: of a release, where there is one.
        sequence: the channel's entry that put it there.
    """

    kind: str
    sentence: str
    by: str | None = None
    release: str | None = None
    channel: str | None = None
    sequence: int | None = None

    @property
    def word(self) -> str:
        """In capitals, for a banner; with the name of whoever rejected."""
        return f"{WORDS[self.kind]} BY {self.by}" if self.kind == "rejected" and self.by else WORDS[self.kind]

    @property
    def colour(self) -> str:
        return COLOURS[self.kind]


def outcome(
    gate: GateReport | None, release: Mapping[str, Any] | None, rejection: Mapping[str, Any] | None
) -> Outcome | None:
    """What a run's own files say; ``None`` while nothing has been decided.

    Args:
        gate: the verdict.
        release: ``release.json`` (or what `promote` returned).
        rejection: ``rejection.json``.
    """
    if release and release.get("release_id"):
        return _released(release)
    if rejection:
        return _rejected(gate, rejection)
    if gate is not None and gate.verdict == "fail":
        return Outcome("refused", _refusal(gate))
    if gate is not None and gate.verdict == "error":
        return Outcome("undecided", "Gate 5 could not decide: a measurement is missing. Nothing is released.")
    return None


def broken(text: str | None, *, bad_input: bool = False) -> Outcome:
    """A run that ended without a verdict; ``text``: what the task that failed said."""
    return Outcome(
        "bad_input" if bad_input else "broken",
        text or "The run ended without a verdict; a person may have marked it so by hand.",
    )


def then_failed(found: Outcome, why: str) -> Outcome:
    """The outcome of a run that promoted and failed after it; where another release is in charge by now, that leads."""
    kind = "promoted_then_failed" if found.kind == "promoted" else found.kind
    return _changed(found, kind, f"{found.sentence} The run failed after that: {why}")


def with_standing(found: Outcome, standing: Standing | None) -> Outcome:
    """The outcome of a run that was promoted, as its channel stands now."""
    if found.kind != "promoted" or standing is None:
        return found
    if standing.current:
        since = day((standing.since or standing.now).at)
        return _changed(found, "promoted", f"{found.release} is the current release of {found.channel} since {since}.")
    entry = standing.ended or standing.now
    why = f": {entry.reason}" if entry.reason and entry.kind == "rollback" else ""
    did = "rolled back to" if entry.kind == "rollback" else "released"
    sentence = (
        f"{found.release} is no longer the current release of {found.channel}: {entry.by} {did} {entry.release} on "
        f"{day(entry.at)} (entry {entry.sequence}){why}."
    )
    if standing.now.release != entry.release:
        sentence += f" Now current: {standing.now.release}."
    return _changed(found, "rolled_back" if standing.rolled_back else "superseded", sentence)


def several(value: object) -> list[str]:
    """The texts of a list; none where another version has left something else."""
    return [str(each) for each in value] if isinstance(value, list | tuple) else []


def day(at: str) -> str:
    """ISO 8601 in UTC, as a reader takes it in."""
    return f"{at[:16].replace('T', ' ')} UTC" if at[10:11] == "T" else at


def _changed(found: Outcome, kind: str, sentence: str) -> Outcome:
    return Outcome(kind, sentence, found.by, found.release, found.channel, found.sequence)


def _released(release: Mapping[str, Any]) -> Outcome:
    identity, channel = str(release["release_id"]), str(release.get("channel"))
    by, sequence = release.get("approved_by"), release.get("sequence")
    entry = f" (entry {sequence})" if sequence else ""
    if release.get("outcome") == "superseded":
        sentence = str(release.get("sentence") or f"{channel} has a newer release: nothing was changed.")
        return Outcome("not_promoted", sentence, None, identity, channel)
    if release.get("outcome") == "already_current":
        sentence = f"{identity} was the current release of {channel} already{entry}: nothing was changed."
    else:
        sentence = f"{identity} was released to {channel}{entry}{f', approved by {by}' if by else ''}."
    return Outcome("promoted", sentence, by, identity, channel, sequence if isinstance(sequence, int) else None)


def _rejected(gate: GateReport | None, rejection: Mapping[str, Any]) -> Outcome:
    reasons = several(rejection.get("reasons"))
    verdict = gate.verdict if gate else rejection.get("verdict")
    cause, by = rejection.get("cause"), rejection.get("by")
    if verdict == "error":
        return Outcome("undecided", "Gate 5 could not decide: a measurement is missing. Nothing is released.")
    if verdict not in RELEASED:
        return Outcome("refused", _refusal(gate) if gate else "Gate 5 refused this candidate. Nothing is released.")
    first = reasons[0] if reasons else ""
    if not cause:  # of an older version, which kept the sentence alone
        cause = "person" if first.endswith(_ANSWERED) else "silence" if first.startswith("nobody answered") else ""
        by = first.removesuffix(_ANSWERED) if cause == "person" else None
    if cause == "person":
        return Outcome("rejected", f"Gate 5 passed, and {by or 'a person'} rejected it. Nothing is released.", by)
    if cause == "again":
        return Outcome("judged_again", f"Gate 5 passed, and nothing is released: {first}.")
    if cause == "silence":
        return Outcome("unanswered", "Gate 5 passed, and nobody answered in time. Nothing is released.")
    return Outcome("not_taken", f"Gate 5 passed, and it is not released: {first or 'no reason was recorded'}.")


def _refusal(gate: GateReport) -> str:
    if not gate.rules:  # read from where only the reasons are kept
        return f"Gate 5 refused this candidate: {gate.reasons[0] if gate.reasons else 'no reason was recorded'}."
    failed = sum(rule.veto and rule.outcome not in FINE for rule in gate.rules)
    return f"Gate 5 refused this candidate: {failed} of {len(gate.rules)} checks failed. Nothing is released."
