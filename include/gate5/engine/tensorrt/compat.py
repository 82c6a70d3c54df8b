"""Every name of TensorRT that differs between 8.5, 10 and 11, and nothing else.

A name that one version lacks is used only below ``if has(trt, "Class.NAME")``; the conformance test holds the source to
it against real bindings. Variables are called after the class that they hold (``builder``, ``config``, ``network``,
``parser``, ``layer``, …), which is how the test knows what an attribute belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gate5.config.engine import EngineConfig
from gate5.engine.precision import BODY
from gate5.errors import ConfigError


def has(trt: Any, path: str) -> bool:
    """Whether this TensorRT has ``Class.NAME``."""
    found = trt
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            return False
    return True


def strongly_typed(trt: Any) -> bool:
    """Whether the network takes its precision from the graph (10 on; the only way in 11)."""
    return has(trt, "NetworkDefinitionCreationFlag.STRONGLY_TYPED")


def create_network(trt: Any, builder: Any) -> Any:
    """A network with explicit batch, strongly typed where the version has it."""
    flags = 0
    if has(trt, "NetworkDefinitionCreationFlag.STRONGLY_TYPED"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    elif has(trt, "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    return builder.create_network(flags)


def set_precision(trt: Any, builder: Any, config: Any, network: Any, precision: str) -> None:
    """Tell the builder the precision where it does not take it from the graph, and switch TF32 off.

    TF32 is on by default and alone costs an FP32 engine 6e-4 on Hopper.

    Raises:
        ConfigError: this TensorRT or GPU cannot do the precision.
    """
    config.clear_flag(trt.BuilderFlag.TF32)
    if strongly_typed(trt) or precision == "fp32":
        return
    if precision == "bf16":
        raise ConfigError(
            f"engine.precision is 'bf16', which TensorRT {trt.__version__} cannot take from the graph (10.0 can); "
            "set fp16 or fp32."
        )
    if has(trt, "Builder.platform_has_fast_fp16") and not builder.platform_has_fast_fp16:
        raise ConfigError("engine.precision is 'fp16', but this GPU has no fast FP16; set fp32.")
    if has(trt, "BuilderFlag.FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    _bind_layers(trt, config, network)


def _bind_layers(trt: Any, config: Any, network: Any) -> None:
    """Without strong typing FP16 is a permission, and TensorRT 8.5 does run such small layers in FP32 where it may.

    So every layer is bound: the body to FP16, the normaliser and the head, whose numbers FP16 cannot hold, to FP32.
    """
    if has(trt, "BuilderFlag.OBEY_PRECISION_CONSTRAINTS"):
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type in (trt.LayerType.CONSTANT, trt.LayerType.SHUFFLE) or layer.num_outputs != 1:
            continue
        wanted = _precision_of(trt, layer)
        if wanted is not None and has(trt, "ILayer.precision"):
            layer.precision = wanted


def _precision_of(trt: Any, layer: Any) -> Any:
    """What a layer of the exported graph is bound to; ``None`` for the parser's own layers, casts and integers."""
    if layer.name.startswith(BODY):
        return trt.DataType.HALF
    tensor = layer.get_output(0)
    if layer.name.startswith("/") and not layer.name.startswith("/cast/") and tensor.dtype == trt.DataType.FLOAT:
        return trt.DataType.FLOAT
    return None


def profile_is_shared(trt: Any) -> bool:
    """Whether several execution contexts may use one optimisation profile (10 on)."""
    return strongly_typed(trt)


def separate_plans(trt: Any) -> bool:
    """Whether batch 1 needs a plan of its own to be compiled as one piece (before 10), see ``fused.py``."""
    return not strongly_typed(trt)


def set_optimization_level(trt: Any, config: Any, level: int) -> bool:
    """How long the builder searches, 0 to 5; returns whether this version has the setting (8.6 on)."""
    if has(trt, "IBuilderConfig.builder_optimization_level"):
        config.builder_optimization_level = level
        return True
    return False


def set_progress(trt: Any, config: Any, show: Callable[[str], None]) -> bool:
    """Report the builder's phases to ``show``; returns whether this version has a progress monitor (10 on)."""
    if has(trt, "IBuilderConfig.progress_monitor"):
        config.progress_monitor = _monitor(trt, show)
        return True
    return False


def _monitor(trt: Any, show: Callable[[str], None]) -> Any:
    if not has(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            show(f"{phase_name}: {num_steps} steps")

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

        def phase_finish(self, phase_name: str) -> None:
            show(f"{phase_name}: done")

    return Monitor()


def logger(trt: Any, messages: list[str]) -> Any:
    """A logger that keeps warnings and errors in ``messages`` and prints nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.append(f"error: {msg}")
            elif severity == trt.ILogger.WARNING:
                messages.append(f"warning: {msg}")

    return Logger()


def parser_error(trt: Any, problem: Any) -> str:
    """The parser's own words for an error, with the node's name and operator where the version tells them (10 on)."""
    where = f"node {problem.node()}"
    if has(trt, "ParserError.node_operator") and has(trt, "ParserError.node_name"):
        where += f", {problem.node_operator()} {problem.node_name()}"
    return f"{problem.desc()} ({where})"


def check_settings(trt: Any, settings: EngineConfig) -> None:
    """Refuse what this version cannot do, before anything is built.

    Raises:
        ConfigError: the version is older than 8.5, which has no name-based interface.
    """
    if not has(trt, "ICudaEngine.num_io_tensors"):
        raise ConfigError(f"TensorRT {trt.__version__} is too old; gate5 needs 8.5 or newer.")
    if settings.precision == "bf16" and not strongly_typed(trt):
        raise ConfigError(f"engine.precision is 'bf16', which needs TensorRT 10; this is {trt.__version__}.")
