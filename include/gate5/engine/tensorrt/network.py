"""From an ONNX graph to a network with optimisation profiles: what every TensorRT and TensorRT-RTX do alike."""

from __future__ import annotations

from typing import Any

from gate5.engine.tensorrt import compat
from gate5.errors import EngineError

Profile = tuple[int, int, int]


def parse(trt: Any, builder: Any, logger: Any, graph: bytes, messages: list[str]) -> tuple[Any, Any]:
    """The network of a graph, and the parser, which has to live as long as the network.

    Args:
        trt: the module, TensorRT's or TensorRT-RTX's.
        builder, logger: of that module.
        graph: ONNX.
        messages: what the logger keeps.

    Raises:
        EngineError: the parser refuses the graph; the text has its own words for each error, with the node.
    """
    network = compat.create_network(trt, builder)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        problems = [compat.parser_error(trt, parser.get_error(index)) for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT's ONNX parser refuses the graph: {'; '.join(problems) or last(messages)}")
    return network, parser


def add_profiles(builder: Any, config: Any, network: Any, profiles: list[Profile], messages: list[str]) -> None:
    """Give the builder each optimisation profile: smallest, best and largest batch.

    Raises:
        EngineError: it refuses one.
    """
    tensor = network.get_input(0)
    width = tensor.shape[1]
    for low, best, high in profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape("obs", (low, width), (best, width), (high, width))
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT refuses the profile {low} to {high}: {last(messages)}")


def last(messages: list[str]) -> str:
    """The last errors that the logger kept."""
    errors = [message for message in messages if message.startswith("error")]
    return " / ".join(errors[-3:]) or "it gives no reason"
