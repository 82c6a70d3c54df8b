"""The same graph in the operators that make TensorRT 8.5 compile its layers instead of looking kernels up for them.

Given linear layers, 8.5 picks a finished kernel for each and puts others between them that change the memory's format,
about as many again. What it knows as ``Einsum`` goes to its compiler with all that is around it, which makes one kernel
of each layer with its bias and its activation. The compiler does not know ``Clip``, so after the body that becomes
``Max`` and ``Min``. The normaliser's stays, and with it a kernel of its own: it reads the observation from the host's
memory once, where each of the first layer's many threads would.

It makes such code for batch 1 only; larger batches would need cuBLAS. From TensorRT 10 on the graph is built as it was
exported.
"""

from __future__ import annotations

from typing import Any

from gate5.engine.precision import BODY

_NORMALISER = "/normaliser/"


def fused(onnx: bytes) -> bytes | None:
    """The graph with ``Einsum`` for the body's linear layers and ``Max``, ``Min`` for the clips after it.

    It computes the same: a product and a sum instead of both in one. ``None``: there is nothing to be rewritten.

    Args:
        onnx: a graph that ``ONNXExporter`` wrote, lowered or not.
    """
    import onnx as onnx_module

    model = onnx_module.load_from_string(onnx)
    graph = model.graph
    linear = [node for node in graph.node if node.name.startswith(BODY) and _is_linear(node)]
    if not linear:
        return None
    for node in linear:
        _replace(graph, node, _product_and_sum(node))
    for node in [node for node in graph.node if node.op_type == "Clip" and not node.name.startswith(_NORMALISER)]:
        if len(node.input) == 3 and all(node.input):
            _replace(graph, node, _largest_and_smallest(node))
    del graph.value_info[:]
    onnx_module.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _is_linear(node: Any) -> bool:
    """Whether it is ``x @ W.T + b``, which PyTorch's exporter writes for a linear layer."""
    from onnx import helper

    wanted = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    given |= {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return node.op_type == "Gemm" and len(node.input) == 3 and given == wanted


def _product_and_sum(node: Any) -> list[Any]:
    from onnx import helper

    obs, weight, bias = node.input
    product = f"{node.name}/product"
    return [
        helper.make_node("Einsum", [obs, weight], [product], name=f"{node.name}/Einsum", equation="bi,oi->bo"),
        helper.make_node("Add", [product, bias], list(node.output), name=f"{node.name}/Add"),
    ]


def _largest_and_smallest(node: Any) -> list[Any]:
    from onnx import helper

    value, low, high = node.input
    raised = f"{node.name}/raised"
    return [
        helper.make_node("Max", [value, low], [raised], name=f"{node.name}/Max"),
        helper.make_node("Min", [raised, high], list(node.output), name=f"{node.name}/Min"),
    ]


def _replace(graph: Any, node: Any, others: list[Any]) -> None:
    position = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, other in enumerate(others):
        graph.node.insert(position + offset, other)
