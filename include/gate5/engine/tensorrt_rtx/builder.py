"""From the exported graph to a TensorRT-RTX engine, on any machine: no GPU, no driver.

The precision stands in the graph (a strongly typed network), so it is what was asked for or the build fails. The same
graph and settings give the same bytes on every machine, which is what lets anyone rebuild a release and compare.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from gate5.config.engine import EngineConfig
from gate5.engine.base import BuiltEngine
from gate5.engine.precision import lower_body
from gate5.engine.tensorrt import compat
from gate5.engine.tensorrt.network import Profile, add_profiles, last, parse
from gate5.engine.tensorrt_rtx.targets import capability_of
from gate5.errors import ConfigError, EngineError

_LOG = logging.getLogger("gate5.engine.tensorrt_rtx")


def build(onnx: bytes, settings: EngineConfig) -> BuiltEngine:
    """Build an engine ahead of time for ``settings.targets``.

    Args:
        onnx: the exported graph, FP32; its body is lowered here as ``precision`` says.
        settings: precision, profile, targets.

    Raises:
        ConfigError: TensorRT-RTX or ``onnx`` is not there, or a target is none of TensorRT-RTX's.
        EngineError: the parser or the builder refused; the text has its own words.
        ExportError: a weight does not fit into the precision.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise ConfigError(
            f"engine.backend is 'tensorrt_rtx', but TensorRT-RTX is not there ({error}); pip install 'gate5[rtx]'."
        ) from None
    capabilities = [capability_of(trt, target) for target in settings.targets]
    try:
        graph = onnx if settings.precision == "fp32" else lower_body(onnx, settings.precision)
    except ImportError as error:
        raise ConfigError(
            f"The graph is rewritten with onnx, which is not there ({error}); pip install onnx."
        ) from None
    profiles = profiles_of(settings)
    blob, sizes = _serialise(trt, graph, capabilities, profiles)
    return BuiltEngine(
        blob,
        {
            "backend": "tensorrt_rtx",
            "precision": settings.precision,
            "precision_evidence": "strongly typed network",
            "obs_dim": sizes["obs"],
            "act_dim": sizes["action"],
            "batch_max": settings.profile.max_batch,
            "blob_sha256": hashlib.sha256(blob).hexdigest(),
            "onnx_sha256": hashlib.sha256(onnx).hexdigest(),
            "versions": {"tensorrt_rtx": str(trt.__version__)},
            "hardware": {"targets": list(settings.targets)},
            "device": "built for " + ", ".join(settings.targets),
            "build": {
                "graph_sha256": hashlib.sha256(graph).hexdigest(),
                "profiles": [list(profile) for profile in profiles],
                "strongly_typed": True,
                "reproducible": True,
            },
        },
    )


def profiles_of(settings: EngineConfig) -> list[Profile]:
    """Batch 1, which the plant asks for, and one for all larger batches."""
    sizes = settings.profile
    if sizes.max_batch == 1:
        return [(1, 1, 1)]
    return [(1, 1, 1), (sizes.min_batch, max(sizes.opt_batch, 2), sizes.max_batch)]


def _serialise(
    trt: Any, graph: bytes, capabilities: list[Any], profiles: list[Profile]
) -> tuple[bytes, dict[str, int]]:
    messages: list[str] = []
    logger = compat.logger(trt, messages)
    builder = trt.Builder(logger)
    network, parser = parse(trt, builder, logger, graph, messages)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    compat.set_progress(trt, config, _LOG.info)
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        if not config.set_compute_capability(capability, index):
            raise EngineError(f"TensorRT-RTX refuses the target {capability}: {last(messages)}")
    add_profiles(builder, config, network, profiles, messages)
    tensors = [network.get_input(0), network.get_output(0)]
    sizes = {str(tensor.name): int(tensor.shape[1]) for tensor in tensors}
    plan = builder.build_serialized_network(network, config)
    del parser  # the network needed it until here
    if plan is None:
        raise EngineError(f"TensorRT-RTX could not build the engine: {last(messages)}")
    return bytes(memoryview(plan)), sizes
