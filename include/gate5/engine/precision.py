"""Puts the precision into the graph: a low-precision body between an FP32 normaliser and an FP32 head.

TensorRT 10 and 11 build what the graph says (strongly typed), so the graph has to say it. The normaliser stays in FP32
because its inputs are raw physical units, whose squares and differences FP16 cannot hold; the head (squash, unscale,
clip) because it costs nothing and rounds the action last. One part of the head goes with the body: a clip that follows
it at once, at bounds that the low precision holds exactly. Rounding keeps the order of numbers and leaves such bounds
as they are, so to clip before the cast gives the same bits as after it, and TensorRT makes one kernel of the last
layer and its clip.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.errors import ConfigError, ExportError
from gate5.io.excerpt import excerpt

BODY = "/body/"
_FP16_MAX = 65504.0


def to_fp16_body(onnx: bytes) -> bytes:
    """The graph with its body in FP16; input, output, normaliser and head stay FP32.

    Raises:
        ConfigError: the graph has no part named body.
        ExportError: a weight is larger than FP16 can hold, or an operator has no form in the precision.
    """
    return lower_body(onnx, "fp16")


def lower_body(onnx: bytes, precision: str) -> bytes:
    """As ``to_fp16_body``, for ``fp16`` or ``bf16``."""
    import onnx as onnx_module
    from onnx import TensorProto

    target = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[precision]
    model = onnx_module.load_from_string(onnx)
    graph = model.graph
    if not any(node.name.startswith(BODY) for node in graph.node):
        raise ConfigError(
            f"The graph has no node below {BODY!r}, as one of a TorchScript or torch.export file has none, so that "
            f"nothing says what may run in {precision}: set engine.precision: fp32."
        )
    _take_clip(graph, target)
    body = [node for node in graph.node if node.name.startswith(BODY)]
    initialisers = {item.name: item for item in graph.initializer}
    made = {name for node in body for name in node.output}
    shared = {name for node in graph.node if not node.name.startswith(BODY) for name in node.input}
    for node in body:
        if node.op_type == "Constant":
            _lower_constant(node, target)
        for name in node.input:
            if name in initialisers and name not in shared:
                _lower(initialisers[name], target)
    entering = [name for node in body for name in node.input if name and name not in made and name not in initialisers]
    leaving = [name for name in made if name in shared or name in {item.name for item in graph.output}]
    _cast_in(graph, body, list(dict.fromkeys(entering)), target)
    _cast_out(graph, body, sorted(leaving))
    del graph.value_info[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = "gate5.body_precision", precision
    try:  # ONNX gives Conv no BF16 before operator set 22, TensorRT does
        onnx_module.checker.check_model(model, full_check=precision == "fp16")
    except Exception as error:  # onnx's classes have no common root
        raise ExportError(
            f"The graph has no form with its body in {precision} ({excerpt(error, 200)}); set engine.precision: fp32."
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def _take_clip(graph: Any, target: int) -> None:
    """Make a clip that alone uses the body's result, at bounds that ``target`` holds exactly, a part of the body."""
    from onnx import helper, numpy_helper

    last = [node for node in graph.node if node.name.startswith(BODY)][-1]
    users = [node for node in graph.node if last.output[0] in node.input]
    if len(users) != 1 or users[0].op_type != "Clip" or users[0].name.startswith(BODY):
        return
    clip = users[0]
    constants = {item.name: item for item in graph.initializer}
    constants |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    bounds = [numpy_helper.to_array(constants[name]) for name in clip.input[1:] if name in constants]
    if len(bounds) != 2 or not all(_exact(bound, target) for bound in bounds):
        return
    own = [f"{BODY}clip_{side}" for side in ("low", "high")]
    graph.initializer.extend(numpy_helper.from_array(bound, name) for name, bound in zip(own, bounds, strict=True))
    position = list(graph.node).index(clip)
    moved = helper.make_node("Clip", [clip.input[0], *own], list(clip.output), name=f"{BODY}Clip")
    graph.node.remove(clip)
    graph.node.insert(position, moved)
    used = {name for node in graph.node for name in node.input}
    for tensor in [item for item in graph.initializer if item.name in clip.input[1:] and item.name not in used]:
        graph.initializer.remove(tensor)


def _exact(value: Any, target: int) -> bool:
    """Whether every number survives the way into ``target`` and back."""
    from onnx import TensorProto

    array = np.ascontiguousarray(value, np.float32)
    if target == TensorProto.FLOAT16:
        with np.errstate(over="ignore"):
            return bool(np.array_equal(array.astype(np.float16).astype(np.float32), array))
    return not np.any(array.view(np.uint32) & 0xFFFF)


def _lower(tensor: Any, target: int) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    if target == TensorProto.FLOAT16:
        largest = float(np.abs(values).max(initial=0.0))
        if largest > _FP16_MAX:
            raise ExportError(
                f"{tensor.name} holds {largest:g}, more than FP16's {_FP16_MAX:g}; set engine.precision: bf16 or fp32."
            )
        lowered = numpy_helper.from_array(values.astype(np.float16), tensor.name)
    else:
        lowered = _bfloat16(values.astype(np.float32), tensor.name)
    tensor.CopyFrom(lowered)


def _bfloat16(values: Any, name: str) -> Any:
    """Round to nearest even: the upper 16 bits of the float32."""
    from onnx import TensorProto

    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    tensor = TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=list(values.shape))
    tensor.raw_data = rounded.tobytes()
    return tensor


def _lower_constant(node: Any, target: int) -> None:
    for attribute in node.attribute:
        if attribute.name == "value":
            _lower(attribute.t, target)


def _cast_in(graph: Any, body: list[Any], names: list[str], target: int) -> None:
    from onnx import helper

    for number, name in enumerate(names):
        lowered = f"{BODY}enter_{number}"
        cast = helper.make_node("Cast", [name], [lowered], name=f"/cast/enter_{number}", to=target)
        for node in body:
            for index, used in enumerate(node.input):
                if used == name:
                    node.input[index] = lowered
        position = min(index for index, node in enumerate(graph.node) if lowered in node.input)
        graph.node.insert(position, cast)


def _cast_out(graph: Any, body: list[Any], names: list[str]) -> None:
    from onnx import TensorProto, helper

    for number, name in enumerate(names):
        low = f"{BODY}leave_{number}"
        for node in graph.node:
            if node.name.startswith(BODY):
                node.output[:] = [low if output == name else output for output in node.output]
                node.input[:] = [low if used == name else used for used in node.input]
        position = max(index for index, node in enumerate(graph.node) if low in node.output) + 1
        cast = helper.make_node("Cast", [low], [name], name=f"/cast/leave_{number}", to=TensorProto.FLOAT)
        graph.node.insert(position, cast)
