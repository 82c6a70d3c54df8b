"""``gate5 rebuild``: makes a release's graph and engine again and says whether they are the same bytes."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gate5 import __version__, engine, provenance
from gate5.checkpoint import Checkpoint, fetch, read
from gate5.config.backends import BACKENDS
from gate5.config.models import ReleaseConfig
from gate5.edge.proved import ENGINE
from gate5.edge.pull import METADATA
from gate5.edge.release_files import ReleaseFiles
from gate5.engine.backends import backend
from gate5.engine.precision import lower_body
from gate5.engine.rows import as_rows
from gate5.errors import ConfigError, Gate5Error, IntegrityError
from gate5.export import ONNXExporter
from gate5.export.differences import graph_differences
from gate5.io.canonical import loads
from gate5.io.files import sha256

GRAPH = "policy.onnx"
Outcome = Literal["same", "different", "not checked"]


@dataclass(frozen=True)
class Check:
    """One thing that was made again.

    Attributes:
        what: for a reader.
        outcome: ``not checked`` is no statement about the release; ``notes`` say why.
        released, rebuilt: SHA-256 of both; ``None``: there is none.
        notes: what differs, or what was and was not compared.
    """

    what: str
    outcome: Outcome
    released: str | None
    rebuilt: str | None
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """For a person."""
        lines = [f"  {self.outcome:<11}  {self.what:<12}  {(self.released or 'none')[:16]}"]
        if self.outcome == "different" and self.rebuilt:
            lines[0] += f", made again: {self.rebuilt[:16]}"
        return "\n".join([*lines, *(f"{'':<15}{note}" for note in self.notes)])


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found.

    Attributes:
        release: id.
        place: where its files lie.
        signed_by: keys whose signature was verified; empty: none was.
        checks: checkpoint, graph, engine.
    """

    release: str
    place: str
    signed_by: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def same(self) -> bool:
        """Whether nothing that was made again differs."""
        return all(check.outcome != "different" for check in self.checks)

    @property
    def exit_code(self) -> int:
        return 0 if self.same else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "same": self.same, "text": self.line()}

    def line(self) -> str:
        """For a person."""
        signed = f"signed by {', '.join(key[:12] for key in self.signed_by)}"
        head = f"{self.release} in {self.place}, {signed if self.signed_by else 'signature NOT VERIFIED'}"
        unchecked = [check.what for check in self.checks if check.outcome == "not checked"]
        rest = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
        end = f"The same{rest}." if self.same else f"Not the same{rest}."
        return "\n".join([head, *(check.line() for check in self.checks), end])


def rebuild(files: ReleaseFiles, own: ReleaseConfig, checkpoint: str | None = None) -> Rebuilt:
    """Export and build again from what a release was made of.

    The graph is made from the checkpoint, the engine from the release's own graph; where both are the same, so is the
    whole way from the checkpoint to the engine.

    Args:
        files: of the release.
        own: this machine's configuration; it alone says whether a pickle is trusted.
        checkpoint: where the checkpoint lies; ``None``: where the release says that it lay.

    Raises:
        CheckpointError: ``checkpoint`` cannot be read.
        ConfigError: torch or the engine's library, which are needed to make it again, are not installed.
        EngineError, ExportError: something broke.
        IntegrityError: a file of the release is not what was signed.
    """
    config = ReleaseConfig.parse(loads(files.read("config.json")), f"config.json of {files.release.id}")
    return Rebuilt(
        files.release.id,
        files.place,
        files.release.signed_by if files.verified else (),
        (*_graph(files, config, own, checkpoint), _engine(files, config)),
    )


def _graph(files: ReleaseFiles, config: ReleaseConfig, own: ReleaseConfig, given: str | None) -> tuple[Check, Check]:
    """The checkpoint, and the graph that is exported from it."""
    said = files.release.provenance.get("checkpoint") or {}
    onnx = files.read(GRAPH)
    digest, policy = sha256(onnx), said.get("policy_sha256")

    def unknown(why: str) -> tuple[Check, Check]:
        without = "exported from no checkpoint; give it with --checkpoint"
        return Check("checkpoint", "not checked", policy, None, (why,)), Check(
            GRAPH, "not checked", digest, None, (without,)
        )

    if given is None and not files.verified:
        return unknown("who signed is not known, so that nothing is fetched from where the release says")
    try:
        found = _read(given or str(said.get("uri")), config, own)
    except Gate5Error as error:
        if given is not None:
            raise
        return unknown(str(error))
    is_it = (found.policy_sha256, found.vecnormalize_sha256) == (policy, said.get("vecnormalize_sha256"))
    if not is_it and given is None:
        return unknown(f"at {said.get('uri')} lies another checkpoint by now ({found.policy_sha256[:16]})")
    if importlib.util.find_spec("torch") is None:
        if given is not None:
            raise ConfigError("A checkpoint is exported with PyTorch, which is not there: pip install torch.")
        return unknown("PyTorch, which exports it, is not there")
    made = ONNXExporter(config.export).trace(found)
    notes = [] if is_it else _parts(found, said)
    first = Check("checkpoint", "same" if is_it else "different", policy, found.policy_sha256, tuple(notes))
    if made == onnx:
        return first, Check(GRAPH, "same", digest, sha256(made))
    notes = [f"then and now: {text}" for text in graph_differences(onnx, made)]
    return first, Check(
        GRAPH, "different", digest, sha256(made), (*notes, *_versions(files, ("gate5", "torch", "onnx")))
    )


def _read(source: str, config: ReleaseConfig, own: ReleaseConfig) -> Checkpoint:
    """The checkpoint, read as the release read it; nothing of the release can make this machine trust a pickle."""
    statistics = own.checkpoint.vecnormalize or config.checkpoint.vecnormalize
    files = fetch(source, vecnormalize=statistics)
    return read(files, **{**config.checkpoint.reading(), "trust_pickle": own.checkpoint.trust_pickle})


def _parts(found: Checkpoint, said: dict[str, Any]) -> list[str]:
    pairs = {
        "the policy": (said.get("policy_sha256"), found.policy_sha256),
        "VecNormalize's statistics": (said.get("vecnormalize_sha256"), found.vecnormalize_sha256),
    }
    return [f"{name}: {a or 'none'} then, {b or 'none'} now" for name, (a, b) in pairs.items() if a != b]


def _engine(files: ReleaseFiles, config: ReleaseConfig) -> Check:
    """The engine, made again from the release's own graph."""
    metadata, onnx = files.read_json(METADATA), files.read(GRAPH)
    blob = files.read(ENGINE)
    digest = sha256(blob)
    wrong = _contradictions(metadata, onnx, digest)
    if wrong:
        return Check("engine", "different", digest, None, tuple(wrong))
    kind = backend(str(metadata["backend"]))
    settings = config.engine.model_copy(update={"backend": kind.name})
    if kind.other_bytes is not None:
        return _by_graph(metadata, onnx, digest, settings.precision, kind.other_bytes)
    lacks = kind.lacking_to_build()
    if lacks is not None:
        raise ConfigError(f"The engine of {files.release.id} cannot be made again here: {lacks}.")
    made = engine.build(onnx, settings)
    now = sha256(made.blob)
    if made.blob == blob:
        versions = ", ".join(f"{name} {version}" for name, version in made.metadata["versions"].items())
        return Check("engine", "same", digest, now, (f"made again by {versions}",))
    differing = _fields(metadata, made.metadata)
    return Check("engine", "different", digest, now, (*differing, f"{len(blob):,} bytes then, {len(made.blob):,} now"))


def _contradictions(metadata: dict[str, Any], onnx: bytes, digest: str) -> list[str]:
    """Where an engine's own description does not fit the files that it is signed with."""
    pairs = {"onnx_sha256": sha256(onnx), "blob_sha256": digest}
    if metadata.get("backend") not in BACKENDS:
        raise IntegrityError(f"The engine's backend is {metadata.get('backend')!r}, which this gate5 does not know.")
    return [
        f"{METADATA} says {name} {str(metadata.get(name))[:16]}, the file has {value[:16]}"
        for name, value in pairs.items()
        if metadata.get(name) != value
    ]


def _by_graph(metadata: dict[str, Any], onnx: bytes, digest: str, precision: str, why: str) -> Check:
    """Of an engine whose bytes no second build has: the graph that the builder was given, and what it was told."""
    rows = as_rows(onnx)
    graph = sha256(rows if precision == "fp32" else lower_body(rows, precision))
    said = (metadata.get("build") or {}).get("graph_sha256")
    notes = (f"the bytes are not compared: {why}", "compared: the graph that the builder was given, and the precision")
    if (said, metadata.get("precision")) == (graph, precision):
        return Check("engine graph", "same", said, graph, notes)
    wrong = f"graph {str(said)[:16]}, precision {metadata.get('precision')} then; {graph[:16]}, {precision} now"
    return Check("engine graph", "different", said, graph, (wrong, *notes))


def _fields(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    keys = ("precision", "batch_max", "versions", "hardware", "build")
    return [f"{key} was {then.get(key)} and is {now.get(key)}" for key in keys if then.get(key) != now.get(key)]


def _versions(files: ReleaseFiles, names: tuple[str, ...]) -> list[str]:
    """Libraries that shape the bytes and are others here than where the release was made."""
    then = files.release.provenance.get("built_with") or {}
    was = {**(then.get("libraries") or {}), "gate5": then.get("gate5")}
    here: dict[str, Any] = {**provenance.library_versions(names), "gate5": __version__}
    return [f"{name} {was.get(name)} then, {here.get(name)} now" for name in names if was.get(name) != here.get(name)]
