"""An exported policy as plain arrays, for programs that have neither onnx nor gate5."""

from __future__ import annotations

from typing import Any


def extract(model: bytes) -> dict[str, Any]:
    """Weights, normaliser and bounds of a graph that ``ONNXExporter`` wrote, as arrays for ``np.savez``.

    Keys: ``w0``, ``b0``, …; ``activation`` (ONNX's name); ``mean_hi``, ``mean_lo``, ``std``, ``clip`` where there is a
    normaliser; ``low``, ``high``; ``squash``.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    found: dict[str, Any] = {"activation": "", "squash": any(node.name.startswith("/head/Tanh") for node in graph.node)}
    body = [node for node in graph.node if node.name.startswith("/body/")]
    for number, node in enumerate(node for node in body if node.op_type == "Gemm"):
        found[f"w{number}"], found[f"b{number}"] = arrays[node.input[1]], arrays[node.input[2]]
    found["activation"] = next((node.op_type for node in body if node.op_type != "Gemm"), "")
    for node in graph.node:
        if node.name.startswith("/normaliser/") and node.op_type == "Clip":
            found |= {name: arrays[f"normaliser.{name}"] for name in ("mean_hi", "mean_lo", "std")}
            found["clip"] = arrays[node.input[2]]
        if node.name.startswith("/head/") and node.op_type == "Clip":
            found |= {"low": arrays[node.input[1]], "high": arrays[node.input[2]]}
    for name in ("low", "high"):
        found.setdefault(name, arrays.get(f"head.{name}"))
    return found
