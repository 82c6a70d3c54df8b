"""A graph with many inputs and outputs as one of rows: what every engine runs.

The exported graph has an input per key of a ``Dict``, a mask, states. An engine has one buffer in and one out, whatever
runs it; the graph that it is built from therefore begins by splitting a row and ends by joining one.
"""

from __future__ import annotations

from typing import Any

from gate5.checkpoint.signature import METADATA, Port, Signature
from gate5.errors import ConfigError, EngineError


def signature_of_graph(onnx: bytes) -> Signature | None:
    """What the exporter wrote into a graph's metadata; ``None``: a graph from elsewhere.

    Read without the library ``onnx``, which a machine that runs engines need not have: the entry is a key and, after a
    tag and a length (protobuf's varint), its text.

    Raises:
        EngineError: the metadata is damaged.
    """
    start = onnx.rfind(METADATA.encode())
    if start < 0:
        return None
    place = start + len(METADATA) + 1  # after the value's tag
    length = shift = 0
    while place < len(onnx):
        byte = onnx[place]
        length |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            break
    try:
        return Signature.from_metadata(onnx[place : place + length].decode())
    except ValueError as error:
        raise EngineError(f"The exported graph cannot be read: {error}; export it again.") from None


def as_rows(onnx: bytes) -> bytes:
    """The same graph with one input ``obs`` [batch, n] and one output ``action`` [batch, m]; a plain one as it is."""
    signature = signature_of_graph(onnx)
    if signature is None or signature.plain:
        return onnx
    try:
        import onnx as onnx_module
    except ImportError:
        raise ConfigError("A policy with several inputs is rewritten before it is built: pip install onnx.") from None

    model = onnx_module.load_from_string(onnx)
    graph = model.graph
    ports = {port.name for port in (*signature.inputs, *signature.outputs)}
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in ports:
                    names[place] = f"port.{name}"
    nodes = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend([*_split(graph, signature.inputs), *nodes, *_join(graph, signature.outputs)])
    width = sum(port.size for port in signature.inputs)
    make = onnx_module.helper.make_tensor_value_info
    graph.input.append(make("obs", onnx_module.TensorProto.FLOAT, ["batch", width]))
    graph.output.append(make("action", onnx_module.TensorProto.FLOAT, ["batch", signature.given]))
    del graph.value_info[:]
    kept = [(item.key, item.value) for item in model.metadata_props if item.key != METADATA]
    del model.metadata_props[:]
    for key, value in kept:  # what it says is no longer so: rows of rows are rows
        model.metadata_props.add(key=key, value=value)
    onnx_module.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _constant(graph: Any, name: str, values: list[int]) -> str:
    from onnx import TensorProto, helper

    graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    return name


def _split(graph: Any, ports: tuple[Port, ...]) -> list[Any]:
    from onnx import helper

    parts = [f"row.{port.name}" for port in ports]
    if len(ports) == 1:
        nodes = [helper.make_node("Identity", ["obs"], parts, name="/head/split")]
    else:
        sizes = _constant(graph, "row.sizes", [port.size for port in ports])
        nodes = [helper.make_node("Split", ["obs", sizes], parts, name="/head/split", axis=1)]
    for part, port in zip(parts, ports, strict=True):
        shape = _constant(graph, f"row.{port.name}.shape", [-1, *port.shape])
        nodes.append(helper.make_node("Reshape", [part, shape], [f"port.{port.name}"], name=f"/head/in/{port.name}"))
    return nodes


def _join(graph: Any, ports: tuple[Port, ...]) -> list[Any]:
    from onnx import helper

    nodes, parts = [], []
    for port in ports:
        shape = _constant(graph, f"row.out.{port.name}.shape", [-1, port.size])
        parts.append(f"row.out.{port.name}")
        nodes.append(
            helper.make_node("Reshape", [f"port.{port.name}", shape], [parts[-1]], name=f"/head/out/{port.name}")
        )
    if len(parts) == 1:
        nodes.append(helper.make_node("Identity", parts, ["action"], name="/head/join"))
    else:
        nodes.append(helper.make_node("Concat", parts, ["action"], name="/head/join", axis=1))
    return nodes
