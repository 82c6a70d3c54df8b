"""The channel's current release in a candidate's run: found and verified once, by ``resolve``, and driven ever after.

What it is lies in ``current.json``, its own files under ``current/``, so that every stage of the run compares with the
same release even where the channel moves on meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gate5 import engine, store
from gate5.checkpoint.signature import Signature
from gate5.config.engine import EngineConfig
from gate5.config.models import ReleaseConfig
from gate5.edge.golden import GOLDEN, Golden
from gate5.engine.rows import signature_of_graph
from gate5.errors import EngineError, Gate5Error, IntegrityError, StoreInputError
from gate5.evaluation import EvaluationReport
from gate5.evaluation.current import CurrentRelease
from gate5.io import canonical
from gate5.io.plain import from_plain, to_plain
from gate5.pipeline.controllers import GraphController
from gate5.plant.base import Controller, Float32, Plant
from gate5.plant.judged import judged_plant
from gate5.store.channel import Log
from gate5.workspace.records import Tracker

FILE = "current.json"
_GRAPH, _ENGINE, _METADATA = "policy.onnx", "engine/policy.engine", "engine/engine.json"
#: What is fetched, by its name in the release, and where it is kept in the workspace.
FILES = {
    _GRAPH: "current/policy.onnx",
    _ENGINE: "current/policy.engine",
    _METADATA: "current/engine.json",
    GOLDEN: "current/golden.npz",
}
State = Literal["drives", "first", "unusable", "off"]


@dataclass(frozen=True)
class Current:
    """What a run knows of its channel's current release.

    Attributes:
        channel, store: where it was looked for.
        state: ``drives``; ``first``: the channel has no release yet; ``unusable``: there is one, and ``reason`` says
            why it cannot drive; ``off``: the configuration does not want it.
        unattended: nobody started the run by hand.
        release, manifest_sha256, sequence: the release, and the channel's entry that names it.
        config: the configuration that it was released with.
        observations: names of what it observes; empty: its release is older than they are.
        actions: low and high limits of its actions.
        golden: the tolerance of its golden actions.
    """

    channel: str
    store: str
    state: State
    unattended: bool = False
    reason: str = ""
    release: str = ""
    manifest_sha256: str = ""
    sequence: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    observations: tuple[str, ...] = ()
    actions: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    golden: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"format": 1, **to_plain(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Current:
        """The inverse of ``to_dict``."""
        return from_plain(cls, data, newer=True)

    @property
    def first(self) -> str:
        """Why nothing can be compared on a channel's first release; empty: there is a release."""
        return "first release of the channel" if self.state == "first" else ""

    @property
    def compared(self) -> str | None:
        """The release that the run compares with, empty on a channel's first; ``None``: with none."""
        return self.release if self.state in ("drives", "first") else None


@dataclass(frozen=True)
class Found:
    """The current release and its files, by their names in the workspace."""

    current: Current
    files: dict[str, bytes] = field(default_factory=dict)


def find(config: ReleaseConfig, *, unattended: bool = False) -> Found:
    """Look up the channel's current release and verify every signature and hash of it.

    Args:
        config: names store and channel.
        unattended: nobody started the run by hand.

    Raises:
        StoreInputError: the store's address or a key cannot be used.
        StoreError: the store does not answer.
    """
    channel = config.release.channel
    if not config.evaluation.current:
        reason = "evaluation.current is false"
        return Found(Current(channel, config.store.uri, "off", unattended, reason))
    opened = store.open_store(config.store)
    if store.current(opened, channel) is None:
        return Found(Current(channel, opened.uri, "first", unattended))
    try:
        return _verified(opened, channel, unattended)
    except IntegrityError as error:
        return Found(Current(channel, opened.uri, "unusable", unattended, str(error)))


def _verified(opened: store.ArtifactStore, channel: str, unattended: bool) -> Found:
    keys = list(opened.trusted_keys)
    with contextlib.suppress(StoreInputError):  # a machine that only measures need not have the key that signs
        keys.append(opened.signer.public_key)
    if not keys:
        raise IntegrityError(
            f"There is no key to verify the channel {channel} with: put the signer's *.pub beside store.signing_key."
        )
    log = Log(opened, channel, keys)
    entry = log.newest()
    if entry is None or not entry.release:
        return Found(Current(channel, opened.uri, "first", unattended))
    release = store.verify_release(opened, entry.release, log.ring or keys)
    if release.manifest_sha256 != entry.manifest_sha256:
        raise IntegrityError(f"The manifest of {release.id} is not the one that was promoted on {channel}.")
    try:
        files = {kept: opened.blob(release.files[name]) for name, kept in FILES.items()}
        checkpoint = canonical.loads(opened.blob(release.files["checkpoint.json"]))
        envelope = release.files.get("envelope.json")
        names = canonical.loads(opened.blob(envelope))["names"] if envelope else ()
        current = Current(
            channel=channel,
            store=opened.uri,
            state="drives",
            unattended=unattended,
            release=release.id,
            manifest_sha256=release.manifest_sha256,
            sequence=entry.sequence,
            config=dict(release.provenance["config"]),
            observations=tuple(names),
            actions=(tuple(checkpoint["action_low"]), tuple(checkpoint["action_high"])),
            golden=float(release.provenance["golden"]["tolerance"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"The release {release.id} lacks what it is driven by ({error!r}).") from None
    return Found(current, files)


def keep(tracker: Tracker, found: Found) -> None:
    """Write it into the workspace."""
    tracker.write_json(FILE, found.current.to_dict())
    for name, data in found.files.items():
        tracker.write(name, data)


def read(tracker: Tracker) -> Current:
    """What ``resolve`` found."""
    return Current.from_dict(tracker.read_json(FILE))


@contextlib.contextmanager
def driver(tracker: Tracker, config: ReleaseConfig, plant: Plant) -> Iterator[CurrentRelease | str]:
    """Who drives for the current release, on this machine and in this thread; else why nobody does, half a sentence.

    Its own engine where it can be opened here, else its ONNX graph; either must give the golden actions that were
    recorded when it was released.

    Args:
        plant: the candidate's, as it is judged.
    """
    current = read(tracker)
    if current.state != "drives":
        yield current.first or current.reason
        return
    files = {name: tracker.read(kept) for name, kept in FILES.items()}
    try:
        own = _own_plant(current, config, plant)
        name, controller, opened = _opened(current, files, config)
        _check_observed(signature_of_graph(files[_GRAPH]), canonical.loads(files[_METADATA]), own)
    except Gate5Error as error:
        yield f"{current.release} cannot drive: {error}"
        return
    with contextlib.closing(opened):
        yield CurrentRelease(current.release, name, controller, own)


def _own_plant(current: Current, config: ReleaseConfig, plant: Plant) -> Plant:
    """The candidate's plant where the release observes the same, else that plant with the release's own options.

    Raises:
        Gate5Error: there is no such plant any more, or its spaces are not the release's.
    """
    said = {"plant": current.config.get("plant") or {}}
    theirs = ReleaseConfig.parse(said, f"the configuration of {current.release}").plant
    if theirs != config.plant:
        plant = judged_plant(config.model_copy(update={"plant": theirs}))
    space, actions = plant.observation_space, plant.action_space
    names = tuple(space.names) or tuple(str(i) for i in range(space.size))
    if current.observations and names != current.observations:
        raise EngineError(f"the plant {plant.name} lets it observe something else than what it was released for")
    for what, limits, now in (("low", current.actions[0], actions.low), ("high", current.actions[1], actions.high)):
        if len(limits) != len(now) or not np.allclose(limits, now):
            raise EngineError(
                f"its actions have the {what} limits {list(limits)}, those of the plant {plant.name} {now.tolist()}"
            )
    return plant


def _check_observed(signature: Signature | None, metadata: Mapping[str, Any], plant: Plant) -> None:
    taken = metadata["obs_dim"] if signature is None else signature.observed
    if taken != plant.observation_space.size:
        raise EngineError(
            f"it takes {taken} observations, and the plant {plant.name} has {plant.observation_space.size}"
        )


class _Graph:
    """A graph in NumPy, as the golden inputs take an engine."""

    def __init__(self, graph: GraphController) -> None:
        self.graph = graph

    def infer(self, obs: Float32) -> Float32:
        """Actions ``[B, act_dim]``."""
        return self.graph.predict(obs)[0]

    def close(self) -> None:
        """There is nothing to close."""


def _opened(current: Current, files: Mapping[str, bytes], config: ReleaseConfig) -> tuple[str, Controller, Any]:
    """What runs it, the controller, and what is to be closed after it."""
    metadata, graph, threads = canonical.loads(files[_METADATA]), files[_GRAPH], config.engine.threads
    golden = Golden.read(files[GOLDEN], {"golden": {"tolerance": current.golden}}, current.release)
    try:
        elsewhere = engine.elsewhere(metadata)
        if elsewhere is not None:
            raise EngineError(elsewhere)
        loaded = _proved(lambda: engine.load(files[_ENGINE], metadata, threads=threads), golden)
    except IntegrityError:
        raise
    except Gate5Error as error:
        why = str(error).rstrip(".")
    else:
        return f"its engine ({loaded.info.backend} {loaded.info.precision})", engine.EngineController(loaded), loaded
    signature = signature_of_graph(graph)
    if importlib.util.find_spec("onnxruntime") is None and (signature is None or signature.plain):
        drawn = GraphController(graph)
        golden.replay(_Graph(drawn))
        return f"its ONNX graph (NumPy, FP32), because {why}", drawn, _Graph(drawn)
    built = engine.build(graph, EngineConfig(backend="onnxruntime", profile=config.engine.profile))
    loaded = _proved(lambda: engine.load(built.blob, built.metadata, threads=threads), golden)
    return f"its ONNX graph (ONNX Runtime, FP32), because {why}", engine.EngineController(loaded), loaded


def _proved(load: Callable[[], engine.Engine], golden: Golden) -> engine.Engine:
    """An engine that gives the golden actions; the replay closes the one that it is given.

    Raises:
        IntegrityError: it is another function.
    """
    golden.replay(load())
    return load()


def notes(metrics: Mapping[str, float | None], rows: EvaluationReport) -> dict[str, str]:
    """For each number about the current release that was not measured: why."""
    told: dict[str, str] = {}
    for row in rows.scenarios:
        if row.current is not None and row.current.why_not:
            start = f"evaluation.{row.scenario}.current."
            told |= {name: row.current.why_not for name in metrics if name.startswith(start)}
    return told


def inapplicable(current: Current, metrics: Mapping[str, float | None]) -> dict[str, str]:
    """On a channel's first release, every number that compares with the current one."""
    if not current.first:
        return {}
    return {name: current.first for name in metrics if ".current." in name}


def judged_against(current: Current, config: ReleaseConfig) -> str | None:
    """The release that a candidate may replace, empty on a channel's first; ``None``: any, no rule asks for it."""
    asked = any(".current." in rule.metric and rule.vetoes(current.unattended) for rule in config.gate.rules)
    return current.release if asked else None
