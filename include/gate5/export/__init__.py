"""From a checkpoint to an ONNX graph of the whole policy function, compared with the policy before anyone uses it."""

from __future__ import annotations

from gate5.engine.precision import to_fp16_body
from gate5.export.exporter import ONNXExporter
from gate5.export.report import ExportReport
from gate5.parity.difference import WorstSample

__all__ = ["ExportReport", "ONNXExporter", "WorstSample", "to_fp16_body"]
