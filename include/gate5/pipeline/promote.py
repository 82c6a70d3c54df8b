"""After the verdict: publish and promote a candidate that passed, or say why it is not released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gate5 import provenance, store
from gate5.config.channel import ChannelConfig
from gate5.config.models import ReleaseConfig
from gate5.config.quick import refusal
from gate5.edge import golden
from gate5.errors import InputError
from gate5.gate.judge import judged_by
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.pipeline import stages
from gate5.pipeline.results import PromoteResult, RejectResult
from gate5.workspace import contents, origin
from gate5.workspace.artifacts import Workspace
from gate5.workspace.records import Tracker, read_record, run_stage

#: What of a run goes into its release.
FILES = tuple(file.name for file in contents.files(contents.STAGES) if file.released)

#: The files that make a candidate the same candidate, whatever was measured on it this time.
IDENTITY = tuple(file.name for file in contents.files() if file.identity)


def check_store(config: ReleaseConfig) -> None:
    """Find out before the long work whether there is a store and a key to release with.

    Raises:
        StoreInputError: the address or the key cannot be used; the text says how to put it right.
        StoreError: the store cannot be reached or is not safe to use.
    """
    opened = store.open_store(config.store)
    opened.signer  # noqa: B018 - reading the property loads the key
    opened.ensure_safe()
    store.current(opened, config.release.channel)


def takes_quick(config: ReleaseConfig) -> bool:
    """Whether the run's channel takes a quick run's candidate."""
    demands = config.channels.get(config.release.channel)
    return demands is not None and demands.quick


def promote(workspace: Workspace, config: ReleaseConfig, *, approved_by: str | None = None) -> PromoteResult:
    """Publish a candidate that passed Gate 5 and make it its channel's current release.

    Safe to run again after a kill at any instant: the release's id follows from its content.

    Args:
        workspace: of a run whose gate said pass.
        config: of the run.
        approved_by: the person who approved; needed where ``release.approval`` is ``required``.

    Raises:
        InputError: the gate has not said pass, or not under this configuration, nobody approved, or the channel
            demands another backend.
        OperationError: the store failed or is not safe.
    """
    if config.release.approval == "required" and not approved_by:
        raise InputError("release.approval is `required`, but nobody has approved: give --approved-by NAME.")
    if config.evaluation.quick and not takes_quick(config):
        raise InputError(refusal(config.release.channel))
    tracker = Tracker(workspace, config.sha256)
    verdict = GateReport.from_dict(tracker.read_json("gate.json"))
    if not verdict.passed:
        reason = verdict.reasons[0] if verdict.reasons else "no reason was recorded"
        raise InputError(f"Gate 5 said {verdict.verdict} ({reason}): only a candidate that passes is promoted.")
    if not judged_by(verdict, config.gate.rules, stages.scenarios(config), config.gate.sla_p99_ms):
        raise InputError(
            f"The verdict in the workspace {workspace.uri} was made under other rules than those of this run: judge it "
            f"again with `gate5 gate --workspace {workspace.uri}`."
        )
    recorded = {file.name for entry in contents.STAGES if entry.recorded for file in entry.writes}
    files = {name: tracker.read(name) if name in recorded else workspace.read(name) for name in FILES}
    opened = store.open_store(config.store)
    _check_demands(opened, config)
    begun = origin.read(workspace)
    described = _provenance(tracker, config, verdict, approved_by, begun)
    release = store.publish(opened, files, described, identity=IDENTITY)
    promotion = store.promote(
        opened,
        config.release.channel,
        release,
        approved_by=approved_by or "gate5",
        require_backend=config.release.require_backend,
        reason=f"Gate 5 passed in {begun.run_id if begun else workspace.uri}",
        by=approved_by or (begun.started_by if begun else None),
        details=begun.to_dict() if begun else None,
    )
    result = PromoteResult(
        workspace=workspace.uri,
        outcome=promotion.outcome,
        release_id=release.id,
        channel=promotion.channel,
        sequence=promotion.sequence,
        store=opened.uri,
        approved_by=approved_by,
        sentence=promotion.sentence,
    )
    workspace.write_json("release.json", result.to_dict())
    return result


def _check_demands(opened: store.ArtifactStore, config: ReleaseConfig) -> None:
    """Refuse a run that was judged by less than its channel demands; what is signed in the store nobody can waive."""
    demands = store.demands(opened, config.release.channel)
    if not demands:
        return
    asked = config.tightened(ChannelConfig.model_validate(demands))
    if (asked.gate, asked.evaluation) != (config.gate, config.evaluation):
        raise InputError(
            f"The channel {config.release.channel} demands stricter rules, SLA, scenarios or episodes than this run "
            "was judged by (`gate5 keys list` shows them): put them into the section `channels` and release again."
        )


def reject(
    workspace: Workspace,
    config: ReleaseConfig,
    reasons: Sequence[str] = (),
    *,
    cause: str = "channel",
    by: str | None = None,
) -> RejectResult:
    """Record why the candidate is not released; the store is not touched.

    Args:
        workspace: of a run whose gate has spoken.
        config: of the run.
        reasons: further ones, such as a person's refusal.
        cause: what refused a candidate that passed: ``person``, ``silence`` or ``channel``.
        by: the person who answered no.
    """

    def body(tracker: Tracker) -> RejectResult:
        verdict = GateReport.from_dict(tracker.read_json("gate.json"))
        why = cause if verdict.passed else "gate"
        result = RejectResult(workspace.uri, verdict.verdict, [*reasons, *verdict.reasons], why, by)
        tracker.write_json("rejection.json", result.to_dict())
        return result

    return run_stage(workspace, config, "reject", RejectResult, body, [list(reasons), cause, by])


def _provenance(
    tracker: Tracker, config: ReleaseConfig, verdict: GateReport, approved_by: str | None, begun: origin.Origin | None
) -> dict[str, Any]:
    checkpoint = tracker.read_json("checkpoint.json")
    resolved = (read_record(tracker.workspace, "resolve") or {})["result"]
    metadata = tracker.read_json("engine/engine.json")
    return {
        "plant": config.plant.id.rpartition(":")[2],
        "checkpoint": {
            "uri": resolved["source"],
            "policy_sha256": resolved["policy_sha256"],
            "vecnormalize_sha256": resolved["vecnormalize_sha256"],
            "algorithm": checkpoint.get("algorithm"),
        },
        "engine": metadata,
        "gate": {"verdict": verdict.verdict, "sha256": canonical.digest(verdict.to_dict())},
        "golden": golden.golden_provenance(),
        "config": config.plain(),
        "approved_by": approved_by,
        "built_with": provenance.describe(),
        "run": {
            "id": (begun.url if begun else None) or tracker.workspace.uri,
            "started_on": begun.started_on if begun else None,
            "finished_on": provenance.now(),
        },
        **({"origin": begun.to_dict()} if begun else {}),
    }
