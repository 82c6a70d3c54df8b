"""One plan: the network, the builder's settings, the timing cache, and what came out, read back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from gate5.config.engine import EngineConfig
from gate5.engine.tensorrt import compat
from gate5.engine.tensorrt.before_10.weights import linear_layers, stored_precision
from gate5.engine.tensorrt.inspector import layers, precision_of
from gate5.engine.tensorrt.network import Profile, add_profiles, last, parse
from gate5.errors import EngineError

_LOG = logging.getLogger("gate5.engine.tensorrt")


@dataclass(frozen=True)
class Plan:
    """A serialised engine and what is known of it.

    Attributes:
        blob: the plan.
        timing_cache: the builder's, after this build.
        timing_cache_reused: whether the one that was given was taken.
        rows: the engine inspector's layers.
        precision, evidence: of the body, see ``precision_of``.
        obs_dim, act_dim: sizes of the tensors.
    """

    blob: bytes
    timing_cache: bytes | None
    timing_cache_reused: bool
    rows: list[dict[str, str]]
    precision: str
    evidence: str
    obs_dim: int
    act_dim: int


class PlanBuilder:
    """Builds plans on the current GPU context.

    Attributes:
        messages: TensorRT's warnings and errors so far.
        optimization_level: what the builder was told; ``None``: this version has no such setting.
    """

    def __init__(self, trt: Any, settings: EngineConfig) -> None:
        self.trt, self.settings = trt, settings
        self.messages: list[str] = []
        self.optimization_level: int | None = None

    def build(self, graph: bytes, profiles: list[Profile], timing_cache: bytes | None) -> Plan:
        """Build one plan.

        Args:
            graph: ONNX, lowered to the precision.
            profiles: smallest, best and largest batch of each optimisation profile.
            timing_cache: of an earlier build; TensorRT takes it on the same GPU and version only.

        Raises:
            ConfigError: this TensorRT or GPU cannot do the precision.
            EngineError: the parser or the builder refused, or what came out is not what was asked for.
        """
        trt = self.trt
        logger = compat.logger(trt, self.messages)
        builder = trt.Builder(logger)
        network, parser = parse(trt, builder, logger, graph, self.messages)
        config = builder.create_builder_config()
        self._configure(builder, config, network, profiles)
        reused = self._attach_cache(config, timing_cache)
        plan = builder.build_serialized_network(network, config)
        del parser  # the network needed it until here
        if plan is None:
            raise EngineError(f"TensorRT could not build the engine: {self._last()}")
        cache = config.get_timing_cache()
        saved = None if cache is None else bytes(memoryview(cache.serialize()))
        return self._described(bytes(memoryview(plan)), graph, profiles, saved, reused)

    def _configure(self, builder: Any, config: Any, network: Any, profiles: list[Profile]) -> None:
        trt, settings = self.trt, self.settings
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if compat.set_optimization_level(trt, config, settings.optimization_level):
            self.optimization_level = settings.optimization_level
        compat.set_precision(trt, builder, config, network, settings.precision)
        compat.set_progress(trt, config, _LOG.info)
        if settings.tactic_sources is not None and not config.set_tactic_sources(settings.tactic_sources):
            raise EngineError(
                f"TensorRT refuses engine.tactic_sources: {settings.tactic_sources} ({self._last()}); "
                "it is a bit mask of TacticSource."
            )
        add_profiles(builder, config, network, profiles, self.messages)

    def _attach_cache(self, config: Any, timing_cache: bytes | None) -> bool:
        """Give the builder a timing cache; one of another GPU or version is replaced by an empty one."""
        for content in (timing_cache, b""):
            if content is None:
                continue
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return bool(content)
        self.messages.append("warning: TensorRT takes no timing cache")
        return False

    def _described(self, blob: bytes, graph: bytes, profiles: list[Profile], cache: bytes | None, reused: bool) -> Plan:
        """Open the plan once and read back what it is."""
        trt, wanted = self.trt, self.settings.precision
        logger = compat.logger(trt, self.messages)
        runtime = trt.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(blob)
        if engine is None:
            raise EngineError(f"TensorRT does not read the engine that it has just built: {self._last()}")
        typed = compat.strongly_typed(trt)
        rows, linear = layers(trt, engine), {} if typed else linear_layers(graph)
        precision, evidence = precision_of(
            rows,
            wanted,
            list(linear),
            lambda names: stored_precision([linear[name] for name in names], blob),
            typed=typed,
        )
        built = [engine.get_tensor_profile_shape("obs", index) for index in range(engine.num_optimization_profiles)]
        found = [tuple(int(shape[0]) for shape in shapes) for shapes in built]
        if found != profiles:
            raise EngineError(f"The engine has the profiles {found}, but {profiles} were asked for.")
        obs_dim, act_dim = (int(engine.get_tensor_shape(name)[1]) for name in ("obs", "action"))
        return Plan(blob, cache, reused, rows, precision, evidence, obs_dim, act_dim)

    def _last(self) -> str:
        return last(self.messages)
