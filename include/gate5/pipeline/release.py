"""A whole release in one process: every stage in turn, the verdict, then promote or reject."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gate5.config.models import ReleaseConfig
from gate5.config.quick import refusal
from gate5.config.verdicts import RELEASED
from gate5.errors import InputError
from gate5.pipeline import approval, candidate, line, promote, stages
from gate5.pipeline.results import PromoteResult, RejectResult, StageResult
from gate5.workspace import contents
from gate5.workspace.artifacts import open_workspace


@dataclass(frozen=True)
class ReleaseOutcome:
    """What a release came to.

    Attributes:
        verdict: Gate 5's, ``pass``, ``awaiting proof``, ``fail`` or ``error``.
        exit_code: 0, 1 or 3.
        promotion: what promote did, ``None`` where the gate said no.
        rejection: why not, ``None`` where it passed.
    """

    workspace: str
    report: str
    verdict: str
    exit_code: int
    promotion: PromoteResult | None
    rejection: RejectResult | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def line(self) -> str:
        """The outcome and where the report lies."""
        end = self.promotion or self.rejection
        return f"{end.line() if end else self.verdict}\nreport: {self.report}"


def release(
    checkpoint: str,
    config: ReleaseConfig,
    *,
    workspace: str | None = None,
    approved_by: str | None = None,
    started_by: str | None = None,
    comment: str | None = None,
    progress: Callable[[str], None] | None = None,
    unattended: bool = False,
) -> ReleaseOutcome:
    """Run every stage on ``checkpoint`` and promote it if Gate 5 passes.

    Args:
        checkpoint: a directory, a .zip or an s3:// URI.
        config: the whole configuration.
        workspace: where the artifacts go; ``None``: a new folder under ``var/workspaces``.
        approved_by: the approver, needed where ``release.approval`` is ``required``.
        started_by: who started this release, needed where the channel demands two people.
        comment: the approver's, kept in the signed entry.
        progress: called with one line per finished stage.
        unattended: nobody starts it by hand, which makes vetoes of some rules.

    Raises:
        InputError: bad input; nothing is in the store.
        RefusedError: the policy is held on the channel, or the channel is frozen; nothing is in the store.
        OperationError: something broke; nothing is in the store.
    """
    say = progress or (lambda _: None)
    if config.release.approval == "required" and not approved_by:
        raise InputError(
            "release.approval is `required`, but nobody approves: give --approved-by NAME, or release through the DAG."
        )
    promote.check_store(config)
    promote.check_channel(config, config.release.channel, approved_by, {"started_by": started_by})
    space = open_workspace(workspace or time.strftime("var/workspaces/cli-%Y%m%d-%H%M%S"))

    for entry in contents.measuring():
        names: list[str | None] = [*stages.scenarios(config)] if entry.per_scenario else [None]
        for name in names:
            begun = time.monotonic()
            if entry.name == "resolve":  # the only stage that takes something from outside
                result: StageResult = stages.resolve(space, config, checkpoint, unattended=unattended)
                candidate.refuse_held_run(space, config)
            else:
                (result,) = line.run(entry, space, config, name)
            say(f"{entry.name:<10} {time.monotonic() - begun:6.1f} s  {result.line()}")
    verdict = stages.gate(space, config)
    say(stages.gate_report(space).table())
    report = stages.report(space, config)
    if verdict.verdict in RELEASED and config.evaluation.quick and not promote.takes_quick(config):
        rejected = promote.reject(space, config, [refusal(config.release.channel)])
        return ReleaseOutcome(space.uri, report.path, verdict.verdict, 1, None, rejected)
    if verdict.verdict in RELEASED:
        if approved_by:
            approval.record(space, approved_by=approved_by, started_by=started_by, comment=comment)
        promoted = promote.promote(space, config, approved_by=approved_by)
        return ReleaseOutcome(space.uri, report.path, verdict.verdict, 0, promoted, None)
    rejected = promote.reject(space, config)
    code = 1 if verdict.verdict == "fail" else 3
    return ReleaseOutcome(space.uri, report.path, verdict.verdict, code, None, rejected)
