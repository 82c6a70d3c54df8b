"""``ONNXExporter``: writes the whole policy function as ONNX on the CPU and compares it with the policy."""

from __future__ import annotations

import copy
import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5 import __version__
from gate5.checkpoint.signature import METADATA
from gate5.config.candidate import ExportConfig
from gate5.errors import ExportError
from gate5.export.compare import MINIMUM, compare_graph
from gate5.export.report import ExportReport

if TYPE_CHECKING:
    from gate5.checkpoint import Checkpoint

Float32 = NDArray[np.float32]


class ONNXExporter:
    """Exports a checkpoint's module; the module itself is copied, never moved or changed."""

    def __init__(self, config: ExportConfig) -> None:
        self.config = config

    def export(self, checkpoint: Checkpoint, observations: Float32) -> tuple[bytes, ExportReport]:
        """Write the graph and compare it.

        Args:
            checkpoint: what ``gate5.checkpoint.read`` gave.
            observations: input rows (``checkpoint.signature``; of a plain policy raw observations) from closed-loop
                runs, float32 ``[N, n]``, N >= 1.

        Returns:
            The ONNX model (of a plain policy input ``obs`` float32 [batch, obs_dim], output ``action`` float32 [batch,
            act_dim]; else what the signature says; batch dynamic) and the report.

        Raises:
            CheckpointError: the policy's environment gives float64, and float32 cannot carry what the policy reads.
            ExportError: the observations do not fit, or torch, onnx or onnxruntime refuse.
        """
        observations = _checked(observations, sum(port.size for port in checkpoint.signature.inputs))
        model = self.trace(checkpoint)
        return model, compare_graph(checkpoint, model, observations, max(self.config.samples, MINIMUM))

    def trace(self, checkpoint: Checkpoint) -> bytes:
        """Write the graph without comparing it: the same checkpoint and settings give the same bytes anywhere.

        Raises:
            ExportError: torch or onnx refuse.
        """
        import onnx
        import torch

        module = copy.deepcopy(checkpoint.module).cpu().eval()
        signature = checkpoint.signature
        inputs = [port.name for port in signature.inputs]
        outputs = [port.name for port in signature.outputs]
        buffer = io.BytesIO()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # The TorchScript exporter announces its own end on every call; nothing else is silenced, and only here.
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    module,
                    tuple(torch.zeros(2, *port.shape, dtype=torch.float32) for port in signature.inputs),
                    buffer,  # type: ignore[arg-type]
                    dynamo=False,
                    opset_version=self.config.opset,
                    input_names=inputs,
                    output_names=outputs,
                    dynamic_axes={name: {0: "batch"} for name in (*inputs, *outputs)},
                    do_constant_folding=True,
                )
            model = onnx.load_from_string(buffer.getvalue())
            _unshare_initialisers(model)
            for key, value in _metadata(checkpoint).items():
                entry = model.metadata_props.add()
                entry.key, entry.value = key, value
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # torch and onnx raise classes of their own, without a common root
            raise ExportError(
                f"The policy of {checkpoint.uri} could not be exported to ONNX opset {self.config.opset} "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})."
            ) from error
        return bytes(model.SerializeToString(deterministic=True))


def _checked(observations: Float32, width: int) -> Float32:
    array = np.ascontiguousarray(observations, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != width or len(array) == 0:
        raise ExportError(
            f"The observations for the comparison have the shape {array.shape}; "
            f"the policy takes [N, {width}] with at least one row."
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ExportError(
            f"Observation {int(bad[0])} of {len(array)} from the plant is NaN or infinite: repair the plant."
        )
    return array


def _unshare_initialisers(model: Any) -> None:
    """Undo the exporter's sharing of equal tensors (``Identity`` nodes), so that each layer owns its weights."""
    graph = model.graph
    tensors = {item.name: item for item in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Identity" and node.input[0] in tensors]:
        copied = graph.initializer.add()
        copied.CopyFrom(tensors[node.input[0]])
        copied.name = node.output[0]
        graph.node.remove(node)


def _normaliser(checkpoint: Checkpoint) -> str:
    if checkpoint.program is not None:
        return f"inside the {checkpoint.algorithm} file, if it has one"
    return "in the graph" if checkpoint.normaliser is not None else "none"


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "gate5.version": __version__,
        "gate5.algorithm": checkpoint.algorithm,
        "gate5.policy_sha256": checkpoint.policy_sha256,
        "gate5.vecnormalize_sha256": checkpoint.vecnormalize_sha256 or "",
        "gate5.obs_dim": str(checkpoint.obs_dim),
        "gate5.act_dim": str(checkpoint.act_dim),
        "gate5.inputs": json.dumps({port.name: list(port.shape) for port in checkpoint.signature.inputs}),
        "gate5.frames": str(checkpoint.policy.frames),
        METADATA: json.dumps(checkpoint.signature.to_dict()),
        "gate5.normaliser": _normaliser(checkpoint),
    }
