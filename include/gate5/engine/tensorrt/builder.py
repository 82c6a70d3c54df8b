"""``TensorRTExporter``: from the ONNX graph to a serialised TensorRT engine."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

import numpy as np

from gate5.config import EngineConfig, ProfileConfig
from gate5.engine.base import BuiltEngine
from gate5.engine.precision import lower_body
from gate5.engine.tensorrt import compat, frames
from gate5.engine.tensorrt.gpu import Gpu
from gate5.engine.tensorrt.inspector import built_precision, layers
from gate5.engine.tensorrt.runtime import TensorRTEngine
from gate5.errors import EngineError

_LOG = logging.getLogger("gate5.engine.tensorrt")


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
            ConfigError: this TensorRT or GPU cannot do what the configuration asks for.
            EngineError: the parser or the builder refused, or the precision is not the one that was asked for.
            ExportError: a weight does not fit into the precision.
        """
        import tensorrt as trt

        settings = self.settings
        compat.check_settings(trt, settings)
        graph = onnx if settings.precision == "fp32" else lower_body(onnx, settings.precision)
        messages: list[str] = []
        gpu = Gpu()
        try:
            started = time.perf_counter()
            blob, cache, metadata, facts = self._quickest(trt, gpu, graph, timing_cache, messages)
            seconds = time.perf_counter() - started
        finally:
            gpu.release()
        metadata["onnx_sha256"] = _sha256(onnx)
        metadata["device"] = metadata["hardware"]["gpu"]
        metadata["build"] = {
            **facts,
            "seconds": seconds,
            "graph_sha256": _sha256(graph),
            "profile": settings.profile.model_dump(),
            "workspace_mib": settings.workspace_mib,
            "tactic_sources": settings.tactic_sources,
            "timing_cache_sha256": None if cache is None else _sha256(cache),
            "warnings": [message for message in messages if message.startswith("warning")][:20],
        }
        return BuiltEngine(blob, metadata, cache)

    def _quickest(
        self, trt: Any, gpu: Gpu, graph: bytes, timing_cache: bytes | None, messages: list[str]
    ) -> tuple[bytes, bytes | None, dict[str, Any], dict[str, Any]]:
        """Build several engines and keep the one that the GPU runs in the least time at batch 1.

        The builder times each kernel for itself, launch included, which for a policy's small layers is mostly launch
        and noise: engines of the same graph differ by a third. A timing cache holds the times of the engine that was
        kept, so one is enough then.

        Returns:
            Plan, timing cache, metadata and facts about the build.
        """
        made, times = [], list[float]()
        for number in range(self.settings.candidates):
            with gpu:
                blob, cache, facts = self._build(trt, graph, timing_cache, messages)
                metadata = {**self._describe(trt, blob, messages), "hardware": gpu.identity()}
                frames.clear_finished()
            made.append((blob, cache, metadata, facts))
            if facts["timing_cache_reused"] or self.settings.candidates == 1:
                return made[0]
            times.append(gpu_time(trt, blob, metadata))
            _LOG.info("engine %d of %d: %.4f ms of the GPU at batch 1", number + 1, self.settings.candidates, times[-1])
        best = made[int(np.argmin(times))]
        best[3]["candidates_ms"] = times
        return best

    def _build(
        self, trt: Any, graph: bytes, timing_cache: bytes | None, messages: list[str]
    ) -> tuple[bytes, bytes | None, dict[str, Any]]:
        logger = compat.logger(trt, messages)
        builder = trt.Builder(logger)
        network = compat.create_network(trt, builder)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            problems = [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
            raise EngineError(f"TensorRT's ONNX parser refuses the graph: {'; '.join(problems) or _last(messages)}")
        config = builder.create_builder_config()
        facts = self._configure(trt, builder, config, network, messages)
        reused = self._attach_cache(config, timing_cache, messages)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise EngineError(f"TensorRT could not build the engine: {_last(messages)}")
        cache = config.get_timing_cache()
        saved = None if cache is None else bytes(memoryview(cache.serialize()))
        return bytes(memoryview(plan)), saved, {**facts, "timing_cache_reused": reused}

    def _configure(self, trt: Any, builder: Any, config: Any, network: Any, messages: list[str]) -> dict[str, Any]:
        settings = self.settings
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        level = compat.set_optimization_level(trt, config, settings.optimization_level)
        compat.set_precision(trt, builder, config, network, settings.precision)
        compat.set_progress(trt, config, _LOG.info)
        if settings.tactic_sources is not None and not config.set_tactic_sources(settings.tactic_sources):
            raise EngineError(
                f"TensorRT refuses engine.tactic_sources: {settings.tactic_sources} ({_last(messages)}); "
                "it is a bit mask of TacticSource."
            )
        tensor = network.get_input(0)
        width = tensor.shape[1]
        profiles = batch_profiles(settings.profile)
        for low, best, high in profiles:
            profile = builder.create_optimization_profile()
            profile.set_shape("obs", (low, width), (best, width), (high, width))
            if config.add_optimization_profile(profile) < 0:
                raise EngineError(f"TensorRT refuses the profile {low} to {high}: {_last(messages)}")
        return {
            "profiles": [list(sizes) for sizes in profiles],
            "optimization_level": settings.optimization_level if level else None,
            "strongly_typed": compat.strongly_typed(trt),
        }

    def _attach_cache(self, config: Any, timing_cache: bytes | None, messages: list[str]) -> bool:
        """Give the builder a timing cache; one of another GPU or version is replaced by an empty one."""
        for content in (timing_cache, b""):
            if content is None:
                continue
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return bool(content)
        messages.append("warning: TensorRT takes no timing cache")
        return False

    def _describe(self, trt: Any, blob: bytes, messages: list[str]) -> dict[str, Any]:
        """Open the plan once and read back what it is."""
        logger = compat.logger(trt, messages)
        runtime = trt.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(blob)
        if engine is None:
            raise EngineError(f"TensorRT does not read the engine that it has just built: {_last(messages)}")
        rows = layers(trt, engine)
        precision, evidence = built_precision(rows, self.settings.precision, typed=compat.strongly_typed(trt))
        built = [engine.get_tensor_profile_shape("obs", index) for index in range(engine.num_optimization_profiles)]
        found = [tuple(int(shape[0]) for shape in shapes) for shapes in built]
        wanted = batch_profiles(self.settings.profile)
        if found != wanted:
            raise EngineError(f"The engine has the profiles {found}, but {wanted} were asked for.")
        return {
            "backend": "tensorrt",
            "precision": precision,
            "precision_evidence": evidence,
            "obs_dim": int(engine.get_tensor_shape("obs")[1]),
            "act_dim": int(engine.get_tensor_shape("action")[1]),
            "batch_max": found[-1][-1],
            "blob_sha256": _sha256(blob),
            "versions": {"tensorrt": str(trt.__version__)},
            "layers": rows,
        }


def gpu_time(trt: Any, blob: bytes, metadata: dict[str, Any]) -> float:
    """Milliseconds of the GPU per inference at batch 1, the engine run as it will be run.

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
        return opened.gpu_ms()


def batch_profiles(sizes: ProfileConfig) -> list[tuple[int, int, int]]:
    """Smallest, best and largest batch of each optimisation profile.

    Batch 1, which the plant asks for, has a profile of its own whose kernels need not fit anything else. Besides,
    TensorRT 8.5 gives each profile to one execution context only.
    """
    single = (1, 1, 1)
    if sizes.max_batch == 1:
        return [single]
    best = sizes.opt_batch if sizes.opt_batch > 1 else sizes.max_batch
    return [single, (sizes.min_batch, best, sizes.max_batch)]


def _parser_error(problem: Any) -> str:
    return f"{problem.desc()} (node {problem.node()})"


def _last(messages: list[str]) -> str:
    errors = [message for message in messages if message.startswith("error")]
    return " / ".join(errors[-3:]) or "it gives no reason"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
