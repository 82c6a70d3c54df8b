"""The same function in the form that TensorRT 8 runs fastest.

TensorRT 8's parser puts a reshape before and after every ``Gemm``, each a kernel of its own, and a policy's layers are
so small that the number of kernels is what an inference costs. As 1x1 convolutions on ``[B, C, 1, 1]`` the layers need
one reshape before the first and one after the last. From 10 on ``Gemm`` becomes a plain matrix product, and the graph
stays as it was exported. Parity is measured on the engine that was built, so it proves this step too.
"""

from __future__ import annotations

from typing import Any

from gate5.engine.precision import BODY

_INTO, _OUT_OF = f"{BODY}into_4d", f"{BODY}out_of_4d"


def to_convolutions(onnx: bytes) -> bytes:
    """The graph with its body's ``Gemm`` nodes as 1x1 ``Conv``; unchanged where the body is not a chain of them."""
    import numpy as np
    import onnx as onnx_module
    from onnx import helper, numpy_helper

    model = onnx_module.load_from_string(onnx)
    graph = model.graph
    initialisers = {item.name: item for item in graph.initializer}
    layers = [node for node in graph.node if node.op_type == "Gemm"]
    if not layers or not all(_is_layer(node, initialisers) for node in layers) or not _is_chain(graph, layers):
        return onnx
    for name, shape in ((_INTO, [0, -1, 1, 1]), (_OUT_OF, [0, -1])):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, dtype=np.int64), f"{name}_shape"))
    nodes = []
    for node in graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        _add_two_dimensions(initialisers[node.input[1]])
        source, target = node.input[0], node.output[0]
        if node is layers[0]:
            nodes.append(helper.make_node("Reshape", [source, f"{_INTO}_shape"], [_INTO], name=_INTO))
            source = _INTO
        last = node is layers[-1]
        inputs = [source, *node.input[1:]]
        nodes.append(helper.make_node("Conv", inputs, [_OUT_OF if last else target], name=node.name))
        if last:
            nodes.append(helper.make_node("Reshape", [_OUT_OF, f"{_OUT_OF}_shape"], [target], name=_OUT_OF))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx_module.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _is_layer(node: Any, initialisers: dict[str, Any]) -> bool:
    """``weight @ x + bias`` of the body, the weight stored as ``[out, in]``."""
    attributes = {item.name: item.i if item.name.startswith("trans") else item.f for item in node.attribute}
    plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0
    stored = attributes.get("transB", 0) == 1 and attributes.get("transA", 0) == 0
    constant = all(name in initialisers for name in node.input[1:])
    return plain and stored and constant and node.name.startswith(BODY)


def _is_chain(graph: Any, layers: list[Any]) -> bool:
    """From the first layer to the last each node feeds the next and nothing else, so all may be four-dimensional."""
    nodes = list(graph.node)
    current = layers[0]
    for _ in nodes:
        if current is layers[-1]:
            return True
        users = [node for node in nodes if current.output[0] in node.input]
        if len(users) != 1 or len(current.output) != 1 or not users[0].name.startswith(BODY):
            return False
        current = users[0]
    return False


def _add_two_dimensions(weight: Any) -> None:
    """``[out, in]`` to ``[out, in, 1, 1]``; the numbers stay where they are."""
    if len(weight.dims) == 2:
        weight.dims.extend([1, 1])
