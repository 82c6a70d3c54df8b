"""gate5 releases reinforcement-learning control policies to plants.

    from gate5 import EvaluationReporter, LatencyBenchmark, ONNXExporter

The names below are the public ones. Each is imported when it is first asked for, so that ``import gate5`` needs nothing
but NumPy, pydantic and PyYAML: a worker, a plant's computer and a DAG parser have only part of the libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate5.control.controller import PIDController
    from gate5.control.pid import PIDBaseline
    from gate5.engine.tensorrt.builder import TensorRTExporter
    from gate5.evaluation.report import EvaluationReport
    from gate5.evaluation.reporter import EvaluationReporter
    from gate5.export.exporter import ONNXExporter
    from gate5.latency.benchmark import LatencyBenchmark

__version__ = "0.2.0"

__all__ = [
    "EvaluationReport",
    "EvaluationReporter",
    "LatencyBenchmark",
    "ONNXExporter",
    "PIDBaseline",
    "PIDController",
    "TensorRTExporter",
]

_MODULES = {
    "EvaluationReport": "gate5.evaluation.report",
    "EvaluationReporter": "gate5.evaluation.reporter",
    "LatencyBenchmark": "gate5.latency.benchmark",
    "ONNXExporter": "gate5.export.exporter",
    "PIDBaseline": "gate5.control.pid",
    "PIDController": "gate5.control.controller",
    "TensorRTExporter": "gate5.engine.tensorrt.builder",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gate5' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
