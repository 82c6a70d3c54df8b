"""``ONNXExporter``: writes the whole policy function as ONNX on the CPU and compares it with the policy."""

from __future__ import annotations

import copy
import hashlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gate5 import __version__
from gate5.config.models import ExportConfig
from gate5.errors import ExportError
from gate5.export.report import ExportReport
from gate5.io.canonical import number
from gate5.parity.difference import WorstSample, difference
from gate5.parity.probes import probes

if TYPE_CHECKING:
    from gate5.checkpoint import Checkpoint

Float32 = NDArray[np.float32]
_MINIMUM = 1000
_SEED = 11


class ONNXExporter:
    """Exports a checkpoint's module; the module itself is copied, never moved or changed."""

    def __init__(self, config: ExportConfig) -> None:
        self.config = config

    def export(self, checkpoint: Checkpoint, observations: Float32) -> tuple[bytes, ExportReport]:
        """Write the graph and compare it.

        Args:
            checkpoint: what ``gate5.checkpoint.read`` gave.
            observations: raw observations from closed-loop runs, float32 ``[N, obs_dim]``, N >= 1.

        Returns:
            The ONNX model (input ``obs`` float32 [batch, obs_dim], output ``action`` float32 [batch, act_dim], batch
            dynamic) and the report.

        Raises:
            ExportError: the observations do not fit, or torch, onnx or onnxruntime refuse.
        """
        observations = _checked(observations, checkpoint.obs_dim)
        model = self._trace(checkpoint)
        report = self._compare(checkpoint, model, observations)
        return model, report

    def _trace(self, checkpoint: Checkpoint) -> bytes:
        import onnx
        import torch

        module = copy.deepcopy(checkpoint.module).cpu().eval()
        buffer = io.BytesIO()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # The TorchScript exporter announces its own end on every call; nothing else is silenced, and only here.
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    module,
                    (torch.zeros(2, checkpoint.obs_dim, dtype=torch.float32),),
                    buffer,  # type: ignore[arg-type]
                    dynamo=False,
                    opset_version=self.config.opset,
                    input_names=["obs"],
                    output_names=["action"],
                    dynamic_axes={"obs": {0: "batch"}, "action": {0: "batch"}},
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

    def _compare(self, checkpoint: Checkpoint, model: bytes, rollout: Float32) -> ExportReport:
        import onnx
        import onnxruntime

        policy = checkpoint.policy
        low, high = policy.observation_low, policy.observation_high
        inputs = probes(rollout, low, high, max(self.config.samples, _MINIMUM), _SEED)
        names = list(inputs)
        stacked = np.concatenate([inputs[name] for name in names])
        expected, reference = checkpoint.reference(stacked)
        actual = _run(model, stacked)
        found = difference(expected, actual)
        by_kind: dict[str, dict[str, float | int | None]] = {}
        start = 0
        worst_kind = ""
        for name in names:
            part = slice(start, start + len(inputs[name]))
            one = difference(expected[part], actual[part])
            by_kind[name] = {
                "compared": one.compared,
                "nonfinite": one.nonfinite,
                "max_abs_error": number(one.max_abs_error),
            }
            if found.worst is not None and part.start <= found.worst < part.stop:
                worst_kind = name
            start = part.stop
        proto = onnx.load_from_string(model)
        return ExportReport(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            onnx_bytes=len(model),
            opset=int(proto.opset_import[0].version),
            ir_version=int(proto.ir_version),
            policy_sha256=checkpoint.policy_sha256,
            vecnormalize_sha256=checkpoint.vecnormalize_sha256,
            algorithm=checkpoint.algorithm,
            obs_dim=checkpoint.obs_dim,
            act_dim=checkpoint.act_dim,
            reference=reference,
            compared=found.compared,
            nonfinite=found.nonfinite,
            max_abs_error=number(found.max_abs_error),
            by_kind=by_kind,
            worst=None
            if found.worst is None
            else WorstSample.of(worst_kind, stacked[found.worst], expected[found.worst], actual[found.worst]),
            verified=found.compared >= _MINIMUM and found.nonfinite == 0,
            versions={
                "gate5": __version__,
                "torch": _version("torch"),
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
            },
        )


def _checked(observations: Float32, obs_dim: int) -> Float32:
    array = np.ascontiguousarray(observations, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != obs_dim or len(array) == 0:
        raise ExportError(
            f"The observations for the comparison have the shape {array.shape}; "
            f"the policy takes [N, {obs_dim}] with at least one row."
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


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "gate5.version": __version__,
        "gate5.algorithm": checkpoint.algorithm,
        "gate5.policy_sha256": checkpoint.policy_sha256,
        "gate5.vecnormalize_sha256": checkpoint.vecnormalize_sha256 or "",
        "gate5.obs_dim": str(checkpoint.obs_dim),
        "gate5.act_dim": str(checkpoint.act_dim),
        "gate5.normaliser": "in the graph" if checkpoint.normaliser is not None else "none",
    }


def _run(model: bytes, obs: Float32) -> Float32:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["action"], {"obs": obs})[0], dtype=np.float32)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
