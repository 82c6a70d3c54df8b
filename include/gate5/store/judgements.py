"""What was judged before: the same policy by the same rules, for the same plant, on the same hardware.

A record says how a run ended, so that a run that nobody asked for need not do it all again. It is a hint for the order
of work: nothing is promoted because of it, and a run that a person starts does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gate5 import __version__
from gate5.config.models import ReleaseConfig
from gate5.io import canonical
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.candidate import identities
from gate5.store.channel import Log, current
from gate5.store.entry import ChannelEntry
from gate5.store.held import state_of
from gate5.store.releases import find_release

#: Sections that no measurement and no rule depends on.
_APART = ("store", "schedule", "retrain", "release", "channels", "notify", "other_gpus")
_MOST = 50


@dataclass(frozen=True)
class Judgement:
    """How a run ended.

    Attributes:
        outcome: ``promoted`` or ``refused``.
        run: its workspace, and in an orchestrator ``dag_id`` and ``run_id``.
        current: the release that the candidate was compared with, the channel's current one as its run began.
        reasons: why it was refused.
        release: of one that was promoted.
    """

    outcome: str
    run: Mapping[str, str]
    at: str
    current: str | None = None
    reasons: tuple[str, ...] = ()
    release: str | None = None

    def line(self) -> str:
        """For a reader."""
        where = f"by the run {self.run.get('run_id') or self.run.get('workspace')}, {self.at}"
        if self.outcome == "promoted":
            return f"already judged {where}: promoted as {self.release}"
        return f"already judged {where}: refused, {self.reasons[0] if self.reasons else 'no reason was recorded'}"


def question(policy: str, plant: str, hardware: str, config: ReleaseConfig) -> str:
    """The name of what is judged.

    Args:
        policy: a hash of what the policy computes.
        plant: its name, with the version of a model.
        hardware: what the engine runs on.
        config: of the run: all that is measured and every rule.
    """
    asked = {name: value for name, value in config.plain().items() if name not in _APART}
    release = {"channel": config.release.channel, "require_backend": config.release.require_backend}
    said = {"policy": policy, "plant": plant, "hardware": hardware, "gate5": __version__}
    return canonical.digest({**said, "config": asked, "release": release})


def begin(store: ArtifactStore, asked: str, run: Mapping[str, str]) -> list[dict[str, str]]:
    """Note that a run begins to judge ``asked``; returns the runs that began before it, oldest first.

    Of two that begin at once, one is the later one. A run that begins again keeps its place.
    """
    store.ensure_safe()
    mine, before = dict(run), []
    for number in range(_MOST):
        name = f"judged/{asked}/begun-{number:03}.json"
        if store.backend.create(name, canonical.dumps(mine)):
            break
        try:
            other = dict(canonical.loads(store.backend.read(name) or b""))
        except (ValueError, TypeError):
            continue
        if other == mine:
            break
        before.append(other)
    return before


def keep(
    store: ArtifactStore,
    asked: str,
    config: ReleaseConfig,
    outcome: str,
    run: Mapping[str, str],
    *,
    reasons: tuple[str, ...] = (),
    release: str | None = None,
    compared: str | None = None,
) -> None:
    """Record how a run ended that judged ``asked`` (what ``question`` gave).

    Args:
        compared: the release that the candidate was compared with, empty on a channel's first; ``None``: with none,
            though the channel may have one.
    """
    if compared is None:
        newest = current(store, config.release.channel)
        compared = newest.release if newest else ""
    judgement = Judgement(outcome, dict(run), now(), compared or None, reasons, release)
    store.ensure_safe()
    for number in range(_MOST):
        if store.backend.create(f"judged/{asked}/end-{number:03}.json", canonical.dumps(asdict(judgement))):
            return


def find(store: ArtifactStore, asked: str, config: ReleaseConfig) -> Judgement | None:
    """The newest record, if it still says what a run now would find.

    A refusal counts while the channel has the release that the candidate was compared with; a promotion until a person
    has lifted a hold on what was promoted, who wants it judged and promoted once more.
    """
    found = None
    for name in store.backend.list(f"judged/{asked}/end-"):
        found = _read(store, name) or found
    if found is None:
        return None
    log = Log(store, config.release.channel)
    newest = log.newest()
    if found.outcome == "promoted":
        return None if _may_return(store, newest, found.release) else found
    return found if found.current == ((newest.release if newest else "") or None) else None


def _may_return(store: ArtifactStore, newest: ChannelEntry | None, release: str | None) -> bool:
    """Whether a release that was on a channel may come to it again: the hold on it was lifted."""
    state = state_of(store, newest)
    if release is None or not state.lifted:
        return False
    known = find_release(store, release)
    return known is not None and state.may_return(identities(known))


def _read(store: ArtifactStore, name: str) -> Judgement | None:
    try:
        data: Any = canonical.loads(store.backend.read(name) or b"")
        return Judgement(**{**data, "reasons": tuple(map(str, data["reasons"])), "run": dict(data["run"])})
    except (ValueError, TypeError, KeyError):
        return None
