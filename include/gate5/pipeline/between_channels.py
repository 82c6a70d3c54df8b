"""From one channel to another: the same signed release, its evidence held to what the other channel demands.

Nothing is built and nothing is measured again. What the target demands (rules, SLA, scenarios, episodes, back end,
people, freeze) is asked of the numbers that the release was signed with.
"""

from __future__ import annotations

from collections.abc import Mapping

from gate5 import store
from gate5.config.channel import ChannelConfig
from gate5.config.models import ReleaseConfig
from gate5.edge.release_files import ReleaseFiles, in_store
from gate5.errors import RefusedError, StoreInputError
from gate5.gate.judge import judge
from gate5.pipeline import current
from gate5.pipeline.approval import Approval
from gate5.pipeline.evidence import evidence
from gate5.pipeline.promote import check_channel
from gate5.pipeline.shadowed import check_shadow
from gate5.provenance import now
from gate5.store import claims
from gate5.store.candidate import identities
from gate5.store.channel import Log
from gate5.store.demanded import check_backend, refuse_frozen
from gate5.store.entry import ChannelEntry
from gate5.store.held import refuse_held, state_of
from gate5.store.own import as_done, in_charge, promoted_by


def promote_between(
    config: ReleaseConfig,
    source: str,
    target: str,
    release: str | None = None,
    *,
    approved_by: str | None = None,
    started_by: str | None = None,
    comment: str | None = None,
    run: Mapping[str, str] | None = None,
    again: bool = False,
) -> store.Promotion:
    """Make a release of one channel the current one of another.

    Args:
        config: whose store it is, and what it demands of ``target`` (``channels``).
        release: its id; ``None``: the source's current one.
        approved_by: the person who approves, where the target asks for one.
        started_by: who started this; ``None``: nobody did by hand.
        comment: the approver's; kept in the signed entry.
        run: ``dag_id`` and ``run_id`` of whoever does this; kept in the entry.
        again: a try of that run went before, of which nobody knows how far it came: what it promoted stands, as long
            as it is in charge, whatever the target would say to it by now.

    Raises:
        StoreInputError: the release was never on ``source``, or its back end or the approval is not what is demanded.
        RefusedError: the evidence is not what the target demands, the policy is held on either channel, or the target
            is frozen.
        IntegrityError: the release or a log is damaged or not signed by a trusted key.
        StoreError: the store failed.
    """
    opened = store.open_store(config.store)
    if again and run is not None and release is not None:
        log = Log(opened, target, [opened.signer.public_key, *opened.trusted_keys])
        mine = promoted_by(log, run, [release])
        if mine is not None and in_charge(log, mine):
            return as_done(log, mine)
    entry, found = check(config, opened, source, target, release)
    said = None
    if approved_by is not None:
        gate = found.release.files.get("gate.json", "")
        said = Approval(approved_by, now(), gate, started_by, comment).to_dict()
    check_channel(config, target, approved_by, said)
    return store.promote(
        opened,
        target,
        found.release,
        approved_by=approved_by or "gate5",
        reason=f"promoted from {source} (entry {entry.sequence})" + (f": {comment}" if comment else ""),
        by=approved_by or started_by,
        made=entry.made,
        approval=said,
        details={"from": {"channel": source, "sequence": entry.sequence}, **(run or {})},
    )


def check(
    config: ReleaseConfig, opened: store.ArtifactStore, source: str, target: str, release: str | None
) -> tuple[ChannelEntry, ReleaseFiles]:
    """All that ``promote_between`` asks but people: the entry of ``source`` that names the release, and its files.

    Raises:
        StoreInputError, RefusedError, IntegrityError, StoreError: as ``promote_between``.
    """
    if source == target:
        raise StoreInputError(f"A release cannot be promoted from {source} to itself: give another --to.")
    here, there = (Log(opened, name, [opened.signer.public_key, *opened.trusted_keys]) for name in (source, target))
    entry = _on_channel(here, release)
    found = in_store(opened, entry.release, here.keyring)
    if found.release.manifest_sha256 != entry.manifest_sha256:
        raise StoreInputError(f"The manifest of {entry.release} is not the one that was promoted on {source}.")
    for log in (here, there):
        refuse_held(log.channel, state_of(opened, log.newest()), identities(found.release))
    for demands in demands_on(config, opened, target):
        refuse_frozen(target, demands.model_dump(mode="json")["freeze"])
        check_backend(found.release, demands.require_backend)
        check_evidence(found, target, demands)
    check_shadow(opened, config, found.release.id, target, source)
    return entry, found


def demands_on(config: ReleaseConfig, opened: store.ArtifactStore, channel: str) -> tuple[ChannelConfig, ...]:
    """What the configuration and what is signed in the store demand of a channel."""
    signed = store.demands(opened, channel)
    return (*config.demands(channel), *([ChannelConfig.model_validate(signed)] if signed else []))


def check_evidence(files: ReleaseFiles, channel: str, demands: ChannelConfig) -> None:
    """Hold the numbers that a release was signed with to what a channel demands.

    Raises:
        RefusedError: they are not enough; the text names the first rules that say no.
    """
    name = files.release.id
    own = ReleaseConfig.parse(files.read_json("config.json"), f"config.json of {name}")
    asked = own.tightened(demands)
    if own.evaluation.quick and not demands.quick:
        raise RefusedError(f"{name} was judged by a quick run, and the channel {channel} takes none: release it again.")
    if asked.evaluation.episodes > own.evaluation.episodes:
        raise RefusedError(
            f"{name} was judged by {own.evaluation.episodes} episodes of each scenario, and the channel {channel} "
            f"demands {asked.evaluation.episodes}: release it again with as many."
        )
    _check_question(name, channel, own, asked)
    found = evidence(files, own)
    covered = [row.scenario for row in found.rows.scenarios]
    missing = [each for each in demands.scenarios or () if each not in covered]
    if missing:
        raise RefusedError(
            f"{name} was not judged in {', '.join(missing)}, which the channel {channel} demands: release it again."
        )
    inapplicable = found.inapplicable
    if current.FILE in files.release.files:  # compared with the source's release of then; on its first one with none
        then = current.Current.from_dict(files.read_json(current.FILE))
        inapplicable = inapplicable | current.inapplicable(then, found.metrics)
    verdict = judge(
        asked.gate.rules,
        found.metrics,
        covered,
        asked.gate.sla_p99_ms,
        found.notes,
        inapplicable=inapplicable,
        awaits=found.awaits,
    )
    if not verdict.releasable:
        raise RefusedError(
            f"{name} does not pass what the channel {channel} demands: {'; '.join(verdict.reasons[:3])}."
        )


def _check_question(name: str, channel: str, own: ReleaseConfig, asked: ReleaseConfig) -> None:
    """Refuse numbers that mean something else than what a channel demands.

    Raises:
        RefusedError: they do.
    """
    for what, section in (("on another plant", "plant"), ("against another baseline", "baseline")):
        if getattr(asked, section) != getattr(own, section):
            raise RefusedError(
                f"{name} was judged {what} than the channel {channel} demands (channels.{channel}.{section}): release "
                "it again on that one."
            )
    for section in ("evaluation", "latency"):
        wanted, had = (getattr(each, section).confidence for each in (asked, own))
        if wanted > had:
            raise RefusedError(
                f"{name} was judged at {had:.5g} confidence ({section}.confidence), and the channel {channel} demands "
                f"{wanted:.5g}: release it again at that."
            )


def _on_channel(log: Log, release: str | None) -> ChannelEntry:
    """The entry that made a release the current one of a channel."""
    newest = log.newest()
    if newest is None or not newest.release:
        raise StoreInputError(f"Nothing was ever promoted on the channel {log.channel} of {log.store.uri}.")
    if release is None or release == newest.release:
        return log.at(newest.since) if newest.since else newest
    after = claims.claimed(log, release) if _is_id(release) else None
    found = None if after is None else claims.find(log, after, newest.sequence, claims.of_release(release))
    if found is None:
        raise StoreInputError(
            f"{release!r} was never on the channel {log.channel}; `gate5 history --channel {log.channel}` lists it."
        )
    return found


def _is_id(name: str) -> bool:
    return bool(name) and not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
