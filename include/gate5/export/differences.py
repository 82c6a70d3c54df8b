"""What differs between two ONNX graphs, in words: for who rebuilds a release and gets other bytes."""

from __future__ import annotations

from typing import Any

MOST = 8


def graph_differences(one: bytes, other: bytes) -> list[str]:
    """Half sentences, the most telling first; at most ``MOST`` and a count of the rest.

    Args:
        one, other: ONNX models that are not the same bytes; what is said of ``one`` comes first.
    """
    try:
        import onnx

        first, second = onnx.load_from_string(one), onnx.load_from_string(other)
    except ImportError:
        return ["what differs cannot be told without onnx: pip install onnx"]
    except Exception as error:  # noqa: BLE001 - protobuf raises whatever it meets
        return [f"one of them is no ONNX model ({type(error).__name__})"]
    found = [*_weights(first, second), *_nodes(first, second), *_metadata(first, second), *_versions(first, second)]
    found = found or ["the same content in another encoding"]
    return found if len(found) <= MOST else [*found[:MOST], f"and {len(found) - MOST} more differences"]


def _weights(first: Any, second: Any) -> list[str]:
    import numpy as np
    from onnx import numpy_helper

    ours, theirs = ({item.name: numpy_helper.to_array(item) for item in m.graph.initializer} for m in (first, second))
    found = [f"the weight {name} is in one of them only" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        a, b = ours[name], theirs[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            found.append(f"the weight {name} is {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        elif a.tobytes() != b.tobytes():
            same = np.equal(a, b) | ((a != a) & (b != b))  # NaN is NaN
            count, place = int((~same).sum()), np.unravel_index(int(np.argmax(~same)), a.shape)
            numbers = "another encoding of a NaN or a zero" if count == 0 else f"{a[place]:.9g} and {b[place]:.9g}"
            where = "" if count == 0 else f" at {[int(i) for i in place]}"
            found.append(f"the weight {name} differs in {max(count, 1)} of {a.size} numbers{where}: {numbers}")
    return found


def _nodes(first: Any, second: Any) -> list[str]:
    ours, theirs = list(first.graph.node), list(second.graph.node)
    if len(ours) != len(theirs):
        return [f"{len(ours)} nodes and {len(theirs)} nodes"]
    return [
        f"the node {a.name or a.op_type} is {a.op_type} and {b.op_type}"
        if a.op_type != b.op_type
        else f"the node {a.name or a.op_type} has other inputs, outputs or attributes"
        for a, b in zip(ours, theirs, strict=True)
        if a.SerializeToString(deterministic=True) != b.SerializeToString(deterministic=True)
    ]


def _metadata(first: Any, second: Any) -> list[str]:
    ours, theirs = ({item.key: item.value for item in model.metadata_props} for model in (first, second))
    return [
        f"{key} is {_short(ours.get(key))} and {_short(theirs.get(key))}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _versions(first: Any, second: Any) -> list[str]:
    def of(model: Any) -> dict[str, object]:
        opset = sorted((item.domain, item.version) for item in model.opset_import)
        return {"opset": opset, "IR version": model.ir_version, "exporter": model.producer_version}

    ours, theirs = of(first), of(second)
    return [f"the {name} is {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def _short(value: str | None) -> str:
    if value is None:
        return "missing"
    return value if len(value) <= 40 else f"{value[:40]}…"
