"""Evidence: what a plant's runtime counted while a release drove there or was only heard, signed; and its sums.

A summary covers a stretch of periods of one release at one plant. Nothing of it is needed to run anything; a channel
may ask for hours in shadow without an alarm before it takes a release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gate5.errors import IntegrityError
from gate5.io.files import sha256
from gate5.io.plain import to_plain
from gate5.provenance import now
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import known_channels
from gate5.store.keyring import KeyRing
from gate5.store.signed import payload, read_signed
from gate5.store.signing import PublicKey, Signer, sign

PAYLOAD_TYPE = "application/vnd.gate5.evidence+json"
#: A key that may sign here may sign evidence, and nothing else where this is its only channel.
SCOPE = "evidence"
#: Summaries of one release on one channel that are looked at, the newest.
MOST = 2000
#: Names are listed in byte order: the newest first.
LAST = 10**11
#: What is no alarm: a person's order, an engine that is being started, and a plant that takes nobody's actions (its
#: control room has it, or the account of a shadow run may only read).
QUIET = ("person", "engine_restarting", "action_refused")
#: What became of a newer release that speaks against it.
AGAINST = ("put_back", "refused")
#: A binding whose plant is our own model.
SIMULATED = "simulator"


@dataclass(frozen=True)
class Evidence:
    """What was counted.

    Attributes:
        plant: its name, as its own configuration says.
        channel, release: that was pulled there.
        mode: ``control``, or ``shadow``: the baseline drove and the policy was heard.
        binding: how the plant was reached; ``simulator``: it was none.
        began, ended: UTC, ISO 8601.
        period_s: of control.
        periods: by who drove (``policy``, ``baseline``, ``safe``).
        hand_overs: by cause, each time that the policy lost the plant.
        causes: periods by why the policy was not trusted.
        missed: periods that began late.
        lost: periods of the stretch that were not counted.
        margins: smallest distance to each constraint, its unit.
        shadow: action -> ``mean`` and ``largest`` distance between policy and baseline, its unit.
        drift: observation -> ``below`` and ``above`` (share of periods outside the signed envelope), ``low`` and
            ``high`` (where it was, 0 and 1 being the envelope's bounds).
        updates: what became of the release where it was new while another one drove: ``outcome`` (``took_over``,
            ``passed`` its probation, ``put_back``, ``refused``) and ``reason``.
        signed_by: keys whose signature holds; not part of what is signed.
    """

    plant: str
    channel: str
    release: str
    mode: str
    binding: str
    began: str
    ended: str
    period_s: float
    periods: Mapping[str, int]
    hand_overs: Mapping[str, int]
    causes: Mapping[str, int]
    missed: int
    lost: int
    margins: Mapping[str, float]
    shadow: Mapping[str, Mapping[str, float]]
    drift: Mapping[str, Mapping[str, float]]
    updates: tuple[Mapping[str, str], ...] = ()
    signed_by: tuple[str, ...] = field(default=())

    @property
    def hours(self) -> float:
        """That were counted."""
        return sum(self.periods.values()) * self.period_s / 3600.0

    @property
    def alarms(self) -> int:
        """Periods in which the policy was not trusted, for a cause that speaks against it, its engine or its plant;
        and the times that it was refused or put back as a newer release."""
        against = sum(update.get("outcome") in AGAINST for update in self.updates)
        return against + sum(count for cause, count in self.causes.items() if cause not in QUIET)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(to_plain(self))

    def sign(self, signer: Signer) -> bytes:
        """The bytes that are kept."""
        return sign(payload(self), PAYLOAD_TYPE, signer)


def read_evidence(data: bytes, keys: Sequence[PublicKey] | None, what: str = "The evidence") -> Evidence:
    """Evidence from its bytes.

    Args:
        keys: one of these must have signed it; ``None``: nobody's signature is looked at.

    Raises:
        IntegrityError: it is damaged or not signed by one of them.
    """
    found = read_signed(Evidence, data, PAYLOAD_TYPE, keys, what, "summary")
    try:
        _at(found.ended)
    except ValueError as error:
        raise IntegrityError(f"{what} is damaged: {error}.") from None
    if min(found.period_s, *found.periods.values(), *found.causes.values(), found.missed, found.lost, 0) < 0:
        raise IntegrityError(f"{what} is damaged: it counts below zero.")
    return found


def signer_may(keys: Sequence[PublicKey], key_id: str, channel: str) -> str | None:
    """``None`` if a key may sign evidence of what is on a channel; else why not."""
    if not isinstance(keys, KeyRing) or keys.version == 0:
        return None if key_id in {key.keyid for key in keys} else f"the key {key_id[:12]} is not trusted"
    reasons = [keys.may_sign(key_id, scope, now()) for scope in (SCOPE, channel)]
    return None if None in reasons else reasons[0]


def keep(store: ArtifactStore, data: bytes) -> str:
    """Put a summary into the store; the same one twice is one. Returns the object's name.

    Raises:
        StoreError: the store failed or is not safe to use.
        IntegrityError: it is no summary.
    """
    found = read_evidence(data, None)
    name = f"{_folder(found.channel, found.release)}{LAST - int(_at(found.ended)):011d}-{sha256(data)[:16]}.json"
    store.ensure_safe()
    store.backend.create(name, data)
    return name


@dataclass(frozen=True)
class Record:
    """What is known of a release on a channel.

    Attributes:
        release, channel: of it.
        found: summaries that count, the newest first.
        refused: names of those that do not, and why.
    """

    release: str
    channel: str
    found: tuple[Evidence, ...]
    refused: tuple[str, ...] = ()

    @property
    def real(self) -> tuple[Evidence, ...]:
        """Those of plants, not of a simulator."""
        return tuple(each for each in self.found if each.binding != SIMULATED)

    def shadow_hours(self) -> float:
        """Hours in shadow at plants since the last alarm at any of them."""
        return quiet_hours(self.found)

    def totals(self) -> dict[str, Any]:
        """What the summaries of plants add up to, plain JSON types."""
        real, margins, apart, outside = self.real, dict[str, float](), dict[str, float](), dict[str, float]()
        for each in real:
            for name, margin in each.margins.items():
                margins[name] = min(margin, margins.get(name, margin))
            for name, said in each.shadow.items():
                apart[name] = max(said.get("largest", 0.0), apart.get(name, 0.0))
            for name, said in each.drift.items():
                outside[name] = max(said.get("below", 0.0) + said.get("above", 0.0), outside.get(name, 0.0))
        drove = sum(each.periods.get("policy", 0) * each.period_s for each in real) / 3600.0
        return {
            "plants": sorted({each.plant for each in real}),
            "hours": {mode: sum(e.hours for e in real if e.mode == mode) for mode in ("control", "shadow")},
            "hours_driven_by_the_policy": drove,
            "hours_simulated": sum(each.hours for each in self.found) - sum(each.hours for each in real),
            "shadow_hours_without_alarm": self.shadow_hours(),
            "hand_overs": _sum(each.hand_overs for each in real),
            "causes": _sum(each.causes for each in real),
            "missed": sum(each.missed for each in real),
            "lost": sum(each.lost for each in real),
            "smallest_margins": margins,
            "largest_shadow_differences": apart,
            "outside_the_envelope": {name: share for name, share in outside.items() if share > 0.0},
            "updates": _sum({update["outcome"]: 1} for each in real for update in each.updates),
            "newest": max((each.ended for each in self.found), default=None),
            "summaries": len(self.found),
            "refused": list(self.refused[:5]),
        }

    def against(self) -> list[tuple[str, str, str, str]]:
        """When, where, that it was refused or put back as a newer release, and why; the newest first.

        A simulator's are there too: that a release was put back there is no praise.
        """
        return [
            (each.ended, each.plant, update["outcome"], update.get("reason", ""))
            for each in self.found for update in each.updates if update.get("outcome") in AGAINST
        ]  # fmt: skip

    def line(self) -> str:
        """For a person; empty: there is none."""
        if not self.found:
            return f"{len(self.refused)} summaries that do not count: {self.refused[0]}" if self.refused else ""
        told = self.totals()
        causes = ", ".join(f"{count} x {cause}" for cause, count in told["hand_overs"].items()) or "no hand-over"
        least = min(told["smallest_margins"].items(), key=lambda item: item[1], default=None)
        parts = [
            f"{told['hours']['control']:.3g} h in control ({told['hours_driven_by_the_policy']:.3g} h by the policy; "
            f"{causes}) and {told['hours']['shadow']:.3g} h in shadow, the last "
            f"{told['shadow_hours_without_alarm']:.3g} h without alarm, at {', '.join(told['plants']) or 'no plant'}",
            f"smallest margin {least[1]:.4g} ({least[0]})" if least else "",
            f"{told['hours_simulated']:.3g} h simulated" if told["hours_simulated"] else "",
            *(
                f"{words(outcome)} at {plant} on {ended[:10]}: {why}"
                for ended, plant, outcome, why in self.against()[:3]
            ),
            f"{len(self.refused)} summaries do not count ({self.refused[0]})" if self.refused else "",
        ]
        return "; ".join(part for part in parts if part)


def record(
    store: ArtifactStore, channel: str, release: str, keys: Sequence[PublicKey] | None, most: int = MOST
) -> Record:
    """The newest evidence of a release on a channel.

    Args:
        keys: trusted, as the store's keyring where there is one; ``None``: no signature is looked at.
        most: summaries that are read, the newest.

    Raises:
        StoreError: the store failed.
    """
    found, refused, seen = list[Evidence](), list[str](), set[bytes]()
    for name in store.backend.list(_folder(channel, release), most):
        data = store.remembered(name)
        if data is None:
            continue
        try:
            each = read_evidence(data, keys, f"The evidence {name}")
        except IntegrityError as error:
            refused.append(str(error).rstrip("."))
            continue
        reasons = [] if keys is None else [signer_may(keys, key, channel) for key in each.signed_by]
        if reasons and None not in reasons:
            refused.append(f"{name}: {reasons[0]}")
        elif (each.channel, each.release) != (channel, release):
            refused.append(f"{name} is of {each.release} on {each.channel}")
        elif payload(each) in seen:  # whoever can write to the store can copy what others signed
            refused.append(f"{name} says once more what another summary says")
        else:
            seen.add(payload(each))
            found.append(each)
    return Record(release, channel, tuple(found), tuple(refused))


def channels(store: ArtifactStore, release: str) -> list[str]:
    """Channels whose plants have reported of a release."""
    return [each for each in known_channels(store) if store.backend.list(_folder(each, release), 1)]


def words(outcome: str) -> str:
    """An outcome of an update for a person."""
    return {"put_back": "put back on probation", "took_over": "took over"}.get(outcome, outcome)


def quiet_hours(found: Sequence[Evidence]) -> float:
    """Hours in shadow at plants since the last summary of any of them that has an alarm, in whatever mode."""
    real = [each for each in found if each.binding != SIMULATED]
    last = max((_at(each.ended) for each in real if each.alarms), default=0.0)
    return sum(each.hours for each in real if each.mode == "shadow" and not each.alarms and _at(each.ended) > last)


def _folder(channel: str, release: str) -> str:
    return f"evidence/{channel}/{release}/"


def _sum(each: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return dict(total.most_common())


def _at(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
