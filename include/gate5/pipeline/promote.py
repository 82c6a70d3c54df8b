"""After the verdict: publish and promote a candidate that passed, or say why it is not released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gate5 import provenance, store
from gate5.config.channel import ChannelConfig, refused_person
from gate5.config.models import ReleaseConfig
from gate5.config.quick import refusal
from gate5.edge import golden
from gate5.errors import InputError, RefusedError, StoreInputError
from gate5.gate.judge import judged_by
from gate5.gate.report import GateReport
from gate5.io import canonical
from gate5.pipeline import approval, awaiting, candidate, stages
from gate5.pipeline import current as current_release
from gate5.pipeline.results import PromoteResult, RejectResult
from gate5.pipeline.shadowed import check_shadow
from gate5.store.channel import Log
from gate5.store.demanded import refuse_frozen
from gate5.store.own import as_done, in_charge, promoted_by
from gate5.store.releases import id_of
from gate5.workspace import contents, origin
from gate5.workspace.artifacts import Workspace
from gate5.workspace.records import Tracker, read_record, run_stage

#: What of a run goes into its release.
FILES = tuple(file.name for file in contents.files(contents.STAGES) if file.released)

OPTIONAL = tuple(file.name for file in contents.files() if file.released and file.optional)

#: The files that make a candidate the same candidate, whatever was measured on it this time.
IDENTITY = tuple(file.name for file in contents.files() if file.identity)


#: The sections in which a channel can demand more of a run's judgement than the run asks for.
JUDGED = ("gate", "evaluation", "latency", "plant", "baseline")

#: What is said of a release whose engine was not measured where it was built.
AWAITED = "It is awaiting proof and runs nowhere before `gate5 prove` has passed on such a device."


def check_store(config: ReleaseConfig) -> None:
    """Find out before the long work whether there is a store and a key to release with, and what is signed there.

    Raises:
        StoreInputError: the address or the key cannot be used; the text says how to put it right.
        InputError: the run asks for less than the store's signed demands on its channel.
        StoreError: the store cannot be reached or is not safe to use.
    """
    opened = store.open_store(config.store)
    opened.signer  # noqa: B018 - reading the property loads the key
    opened.ensure_safe()
    store.current(opened, config.release.channel)
    if not config.evaluation.quick or takes_quick(config):  # else it is only tried, and never promoted
        _check_demands(opened, config)


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
        approved_by: the person who approved; ``None``: whoever the run's record of an approval names
            (``gate5.pipeline.approval``). One is needed where ``release.approval`` is ``required``, and the record
            where the channel demands two people.

    Raises:
        InputError: the gate has not said pass, or not under this configuration, nobody approved who may, or the channel
            demands another backend.
        RefusedError: the channel takes no quick run, holds the policy, is frozen or demands hours in shadow, or moved
            on meanwhile where a rule about its current release has a veto.
        OperationError: the store failed or is not safe.
    """
    said = approval.of(workspace, approved_by)
    approved_by = approved_by if said is None else said.approved_by
    if config.release.approval == "required" and not approved_by:
        raise InputError("release.approval is `required`, but nobody has approved: give --approved-by NAME.")
    if config.evaluation.quick and not takes_quick(config):
        raise RefusedError(refusal(config.release.channel))
    tracker = Tracker(workspace, config.sha256)
    verdict = _passed(tracker, config)
    opened = store.open_store(config.store)
    return _result(tracker, opened, verdict, _move(tracker, config, opened, verdict, said, approved_by), approved_by)


def promoted_before(workspace: Workspace, config: ReleaseConfig) -> PromoteResult | None:
    """What an earlier try of this run promoted, of which nobody heard the end; ``None``: nothing that is in charge.

    It stands whatever the channel would say to it by now: frozen since, or with stricter demands.

    Raises:
        InputError, OperationError: as ``promote``.
    """
    tracker, begun = Tracker(workspace, config.sha256), origin.read(workspace)
    if begun is None:
        return None
    verdict, opened = _passed(tracker, config), store.open_store(config.store)
    release = id_of(opened, _released_files(tracker), config.plant.name, identity=IDENTITY)
    log = Log(opened, config.release.channel, [opened.signer.public_key, *opened.trusted_keys])
    entry = promoted_by(log, begun.to_dict(), [release])
    if entry is None or not in_charge(log, entry):
        return None
    said = approval.of(workspace, None)
    return _result(tracker, opened, verdict, as_done(log, entry), None if said is None else said.approved_by)


def _result(
    tracker: Tracker,
    opened: store.ArtifactStore,
    verdict: GateReport,
    promotion: store.Promotion,
    approved_by: str | None,
) -> PromoteResult:
    result = PromoteResult(
        workspace=tracker.workspace.uri,
        outcome=promotion.outcome,
        release_id=promotion.release,
        channel=promotion.channel,
        sequence=promotion.sequence,
        store=opened.uri,
        approved_by=approved_by,
        sentence=promotion.sentence if verdict.passed else f"{promotion.sentence} {AWAITED}",
    )
    tracker.workspace.write_json("release.json", result.to_dict())
    return result


def _move(
    tracker: Tracker,
    config: ReleaseConfig,
    opened: store.ArtifactStore,
    verdict: GateReport,
    said: approval.Approval | None,
    approved_by: str | None,
) -> store.Promotion:
    """Hold the candidate to what its channel demands, publish it, and move the channel."""
    current, files = current_release.read(tracker), _released_files(tracker)
    kept = None if said is None else said.to_dict()
    check_channel(config, config.release.channel, approved_by, kept)
    _check_demands(opened, config)
    begun = origin.read(tracker.workspace)
    described = _provenance(tracker, config, verdict, approved_by, begun)
    release = store.publish(opened, files, described, identity=IDENTITY)
    check_shadow(opened, config, release.id, config.release.channel)
    return store.promote(
        opened,
        config.release.channel,
        release,
        approved_by=approved_by or "gate5",
        require_backend=config.release.require_backend,
        reason=f"Gate 5 passed in {begun.run_id if begun else tracker.workspace.uri}",
        by=approved_by or (begun.started_by if begun else None),
        details=begun.to_dict() if begun else None,
        made=tracker.read_json("checkpoint.json").get("begun"),
        approval=kept,
        against=current_release.judged_against(current, config),
    )


def _passed(tracker: Tracker, config: ReleaseConfig) -> GateReport:
    """The verdict, where it lets the candidate through and was made under the rules of this run."""
    verdict = GateReport.from_dict(tracker.read_json("gate.json"))
    if not verdict.releasable:
        reason = verdict.reasons[0] if verdict.reasons else "no reason was recorded"
        raise InputError(f"Gate 5 said {verdict.verdict} ({reason}): only a candidate that passes is promoted.")
    rules, sla_ms, unattended = config.gate.rules, config.gate.sla_p99_ms, current_release.read(tracker).unattended
    if not judged_by(verdict, rules, stages.scenarios(config), sla_ms, unattended=unattended):
        raise InputError(
            f"The verdict in the workspace {tracker.workspace.uri} was made under other rules than those of this run: "
            f"judge it again with `gate5 gate --workspace {tracker.workspace.uri}`."
        )
    return verdict


def check_channel(config: ReleaseConfig, channel: str, approved_by: str | None, said: Mapping[str, Any] | None) -> None:
    """Hold a promotion to what the configuration says of its channel: frozen or not, who approves.

    Args:
        said: the record of the approval, where there is one.

    Raises:
        RefusedError: the channel is frozen.
        InputError: the approval is not what the channel demands.
    """
    for each in config.demands(channel):
        demands = each.model_dump(mode="json")
        refuse_frozen(channel, demands["freeze"])
        why = refused_person(demands, approved_by or "gate5", said)
        if why is not None:
            raise InputError(f"The channel {channel} {why}.")


def check_freeze(now: ReleaseConfig, channel: str) -> None:
    """Refuse a promotion where a channel is frozen by the configuration as it is now, and not when the run began.

    Raises:
        RefusedError: it is.
    """
    for demands in now.demands(channel):
        refuse_frozen(channel, demands.model_dump(mode="json")["freeze"])


def _released_files(tracker: Tracker) -> dict[str, bytes]:
    """Everything of the run that belongs to its release; what is optional only where it is there."""
    recorded = {file.name for entry in contents.STAGES if entry.recorded for file in entry.writes}
    found = {}
    for name in FILES:
        if name not in OPTIONAL or tracker.find(name) is not None:
            found[name] = tracker.read(name) if name in recorded else tracker.workspace.read(name)
    return found


def _check_demands(opened: store.ArtifactStore, config: ReleaseConfig) -> None:
    """Refuse a run that was judged by less than its channel demands; what is signed in the store nobody can waive."""
    demands = store.demands(opened, config.release.channel)
    if not demands:
        return
    asked = config.tightened(ChannelConfig.model_validate(demands))
    covered = stages.scenarios(config)
    lacking = [name for name in demands.get("scenarios") or () if name not in covered]
    loose = [name for name in JUDGED if getattr(asked, name) != getattr(config, name)]
    if lacking or loose:
        raise InputError(
            f"The channel {config.release.channel} demands stricter rules, SLA, scenarios, episodes or confidence, or "
            "another plant or baseline, than this run is judged by (`gate5 keys list` shows them): put them into the "
            "section `channels` and release again."
        )


def reject(
    workspace: Workspace,
    config: ReleaseConfig,
    reasons: Sequence[str] = (),
    *,
    cause: str = "channel",
    by: str | None = None,
    comment: str | None = None,
) -> RejectResult:
    """Record why the candidate is not released. A person's no holds the policy on the channel until a person lifts it;
    a verdict's does not touch the store, because the same policy gets the same verdict again.

    Args:
        workspace: of a run whose gate has spoken.
        config: of the run.
        reasons: further ones, such as a person's refusal.
        cause: what refused a candidate that passed: ``person``, ``silence``, ``channel`` or ``again``.
        by: the person who answered no; ``None``: nobody did.
        comment: what they said.

    Raises:
        StoreError: the hold could not be put into the channel's log; nothing is recorded.
    """

    def body(tracker: Tracker) -> RejectResult:
        verdict = GateReport.from_dict(tracker.read_json("gate.json"))
        said = [] if by is None else [_hold(tracker, config, by, comment or "; ".join(reasons) or "rejected")]
        why = cause if verdict.releasable else "gate"
        result = RejectResult(workspace.uri, verdict.verdict, [*reasons, *said, *verdict.reasons], why, by)
        tracker.write_json("rejection.json", result.to_dict())
        return result

    return run_stage(workspace, config, "reject", RejectResult, body, [list(reasons), cause, by, comment])


def _hold(tracker: Tracker, config: ReleaseConfig, by: str, reason: str) -> str:
    """Hold what a person rejected; says so in a sentence. A second try finds the hold that is there."""
    checkpoint, metadata = (tracker.read_json(name) for name in ("checkpoint.json", "engine/engine.json"))
    found = candidate.built(checkpoint, metadata, config)
    if found is None:
        return "no hold was put on the policy: the run began under an older gate5"
    opened = store.open_store(config.store)
    try:
        return store.hold(opened, config.release.channel, found, by=by, reason=reason, kind="reject").sentence
    except StoreInputError as error:
        return f"no hold was put on the policy: {error}"


def _provenance(
    tracker: Tracker, config: ReleaseConfig, verdict: GateReport, approved_by: str | None, begun: origin.Origin | None
) -> dict[str, Any]:
    checkpoint = tracker.read_json("checkpoint.json")
    resolved = (read_record(tracker.workspace, "resolve") or {})["result"]
    metadata = tracker.read_json("engine/engine.json")
    policy = candidate.built(checkpoint, metadata, config)
    built = (read_record(tracker.workspace, "build") or {}).get("ran") or {}
    return {
        "plant": config.plant.name,
        "checkpoint": {
            "uri": resolved["source"],
            "policy_sha256": resolved["policy_sha256"],
            "vecnormalize_sha256": resolved["vecnormalize_sha256"],
            "algorithm": checkpoint.get("algorithm"),
        },
        "engine": metadata,
        "candidate": None if policy is None else policy.to_dict(),
        "gate": {"verdict": verdict.verdict, "sha256": canonical.digest(verdict.to_dict())},
        "awaiting": awaiting.reason(tracker),
        "golden": golden.golden_provenance(),
        "config": config.plain(),
        "approved_by": approved_by,
        # The engine's own machine; the one that promotes may be another.
        "builder": f"urn:gate5:builder:{built.get('host') or 'unknown'}",
        "built_with": built.get("with") or provenance.describe(),
        "released_with": provenance.describe(),
        "run": {
            "id": (begun.url if begun else None) or tracker.workspace.uri,
            "started_on": begun.started_on if begun else checkpoint.get("begun"),
            "finished_on": provenance.now(),
        },
        **({"origin": begun.to_dict()} if begun else {}),
    }
