"""``TensorRTExporter``: from the ONNX graph to a serialised TensorRT engine."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gate5.config.engine import EngineConfig, ProfileConfig
from gate5.engine.base import BuiltEngine
from gate5.engine.precision import lower_body
from gate5.engine.tensorrt import compat
from gate5.engine.tensorrt.before_10 import frames, plans
from gate5.engine.tensorrt.before_10.fused import fused
from gate5.engine.tensorrt.gpu import Gpu
from gate5.engine.tensorrt.network import Profile
from gate5.engine.tensorrt.plan_builder import Plan, PlanBuilder
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import ConfigError, EngineError

_LOG = logging.getLogger("gate5.engine.tensorrt")


@dataclass
class Part:
    """One plan of an engine: what it is for, the forms of the graph that it may be built of, and what came of it.

    Attributes:
        name: ``all batches``, ``batch 1`` or ``batches``.
        profiles: smallest, best and largest batch of each optimisation profile.
        forms: graphs that compute the same, by name; the first is expected to be the quickest.
        timed_at: the batch at which builds are compared.
        builds: the form of each plan that was built, and milliseconds of the GPU; ``None``: not timed.
        refused: forms that could not be built or run, and why.
        form: of the plan that was kept.
    """

    name: str
    profiles: list[Profile]
    forms: dict[str, bytes]
    timed_at: int
    builds: list[tuple[str, float | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    form: str = ""

    def facts(self) -> dict[str, Any]:
        """For the engine's metadata."""
        return {
            "name": self.name,
            "profiles": [list(profile) for profile in self.profiles],
            "form": self.form,
            "graph_sha256": _sha256(self.forms[self.form]),
            "builds": [{"form": form, "gpu_ms": gpu_ms} for form, gpu_ms in self.builds],
            "refused": self.refused,
        }


class TensorRTExporter:
    """Builds engines on the GPU of this machine."""

    def __init__(self, config: EngineConfig) -> None:
        self.settings = config

    def build(self, onnx: bytes, *, timing_cache: bytes | None = None) -> BuiltEngine:
        """Build an engine.

        Args:
            onnx: the exported graph, FP32; its body is lowered here as ``precision`` says.
            timing_cache: of an earlier build on the same GPU and TensorRT version; another one is not used.

        Raises:
            ConfigError: this TensorRT or GPU cannot do what the configuration asks for, or ``onnx`` is missing.
            EngineError: the parser or the builder refused, or the precision is not the one that was asked for.
            ExportError: a weight does not fit into the precision.
        """
        import tensorrt as trt

        settings = self.settings
        compat.check_settings(trt, settings)
        try:
            graph = onnx if settings.precision == "fp32" else lower_body(onnx, settings.precision)
            parts = parts_of(graph, settings.profile, separate=compat.separate_plans(trt))
        except ImportError as error:
            raise ConfigError(
                f"To build an engine its graph is rewritten with onnx, which is not there ({error}); pip install onnx."
            ) from None
        builds = PlanBuilder(trt, settings)
        gpu = Gpu()
        try:
            started = time.perf_counter()
            made = [self._quickest(builds, gpu, parts[0], timing_cache)]
            reused = made[0].timing_cache_reused
            for part in parts[1:]:
                made.append(self._quickest(builds, gpu, part, made[0].timing_cache, made[0], reused))
            seconds = time.perf_counter() - started
            hardware = gpu.identity()
        finally:
            gpu.release()
        blob = plans.pack(*(plan.blob for plan in made))
        metadata = {**_metadata(trt, blob, made, settings.profile.max_batch, hardware), "onnx_sha256": _sha256(onnx)}
        cache = made[-1].timing_cache
        metadata["build"] = {
            "plans": [part.facts() for part in parts],
            "profiles": [list(profile) for part in parts for profile in part.profiles],
            "optimization_level": builds.optimization_level,
            "strongly_typed": compat.strongly_typed(trt),
            "timing_cache_reused": reused,
            "timing_cache_sha256": None if cache is None else _sha256(cache),
            "seconds": seconds,
            "graph_sha256": _sha256(graph),
            "profile": settings.profile.model_dump(),
            "workspace_mib": settings.workspace_mib,
            "tactic_sources": settings.tactic_sources,
            "warnings": list(dict.fromkeys(text for text in builds.messages if text.startswith("warning")))[:20],
        }
        return BuiltEngine(blob, metadata, cache)

    def _quickest(
        self,
        builds: PlanBuilder,
        gpu: Gpu,
        part: Part,
        cache: bytes | None,
        first: Plan | None = None,
        known: bool | None = None,
    ) -> Plan:
        """Build several plans of a part and keep the one that the GPU runs in the least time.

        The builder times each kernel for itself, launch included, which for a policy's small layers is mostly launch
        and noise: plans of the same graph differ by a third. A timing cache holds the times of the plan that was kept,
        so one of each form is enough then. Where there is but one to be made, there is nothing to be timed.

        Args:
            first: the plan for batch 1, where this part is for larger ones.
            known: whether the cache is an earlier engine's; ``None``: the builder tells.
        """
        forms, made = dict(part.forms), list[Plan]()
        wanted = len(forms) if known else max(self.settings.builds, len(forms))
        while forms and len(made) < wanted:
            form = list(forms)[len(made) % len(forms)]
            try:
                plan = self._build(builds, gpu, part, form, cache)
                if known is None and plan.timing_cache_reused:
                    known, wanted = True, len(part.forms)
                gpu_ms = _gpu_ms(builds.trt, gpu, plan, first, part) if wanted > 1 else None
            except EngineError as error:
                del forms[form]
                if not forms and not made:
                    raise
                part.refused.append(f"{form}: {error}")
                _LOG.warning("%s: the form %s is not used: %s", part.name, form, error)
                continue
            made.append(plan)
            part.builds.append((form, gpu_ms))
            if gpu_ms is not None:
                _LOG.info("%s, %s: %.4f ms of the GPU at batch %d", part.name, form, gpu_ms, part.timed_at)
        best = int(np.argmin([gpu_ms or 0.0 for _, gpu_ms in part.builds]))
        part.form = part.builds[best][0]
        return made[best]

    def _build(self, builds: PlanBuilder, gpu: Gpu, part: Part, form: str, cache: bytes | None) -> Plan:
        with gpu:
            try:
                return builds.build(part.forms[form], part.profiles, cache)
            finally:
                frames.clear_finished()


def parts_of(graph: bytes, sizes: ProfileConfig, *, separate: bool) -> list[Part]:
    """The plans that make up an engine.

    Batch 1, which the plant asks for, has a profile of its own whose kernels need not fit anything else; besides,
    TensorRT 8.5 gives each profile to one execution context only. With ``separate`` it has a plan of its own.

    Args:
        graph: ONNX, lowered to the precision.
        sizes: the configuration's.
        separate: see ``compat.separate_plans``.
    """
    given = {"as exported": graph}
    single = (1, 1, 1)
    best = sizes.opt_batch if sizes.opt_batch > 1 else sizes.max_batch
    wide = [] if sizes.max_batch == 1 else [(sizes.min_batch, best, sizes.max_batch)]
    if not separate:
        return [Part("all batches", [single, *wide], given, 1)]
    compiled = fused(graph)
    forms = given if compiled is None else {"fused": compiled, **given}
    parts = [Part("batch 1", [single], forms, 1)]
    return [*parts, Part("batches", wide, given, best)] if wide else parts


def gpu_time(trt: Any, blob: bytes, metadata: dict[str, Any], batch: int) -> float:
    """Milliseconds of the GPU per inference of ``batch`` observations, the engine run as it will be run.

    No context of the GPU may be current: PyCUDA takes the current one off its stack when the engine lets go of its own.

    Raises:
        EngineError: the engine does not run.
    """
    hold = Gpu()
    try:
        with hold:
            opened = TensorRTEngine(trt, hold, blob, metadata, "graph")
    except BaseException:
        hold.release()
        raise
    with opened:
        return opened.gpu_ms(batch)


def _gpu_ms(trt: Any, gpu: Gpu, plan: Plan, first: Plan | None, part: Part) -> float:
    """A candidate's time, as the engine that it would make with the plan for batch 1, or alone."""
    made = [plan] if first is None else [first, plan]
    blob = plans.pack(*(one.blob for one in made))
    largest = part.profiles[-1][-1]
    return gpu_time(trt, blob, _metadata(trt, blob, made, largest, gpu.identity()), part.timed_at)


def _metadata(trt: Any, blob: bytes, made: list[Plan], batch_max: int, hardware: dict[str, Any]) -> dict[str, Any]:
    return {
        "backend": "tensorrt",
        "precision": made[0].precision,
        "precision_evidence": ", ".join(dict.fromkeys(plan.evidence for plan in made)),
        "obs_dim": made[0].obs_dim,
        "act_dim": made[0].act_dim,
        "batch_max": batch_max,
        "blob_sha256": _sha256(blob),
        "versions": {"tensorrt": str(trt.__version__)},
        "layers": [row for plan in made for row in plan.rows],
        "hardware": hardware,
        "device": hardware["gpu"],
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
