"""Evaluation: a controller drives the plant, and is compared with the baseline on the same seeds."""

from gate5.evaluation.engine_effect import Reference
from gate5.evaluation.evaluator import Evaluator
from gate5.evaluation.report import EvaluationReport
from gate5.evaluation.reporter import EvaluationReporter
from gate5.evaluation.results import (
    ConstraintResult,
    ControllerResult,
    Difference,
    EngineEffect,
    ScenarioComparison,
    TrackingResult,
)
from gate5.evaluation.step_response import StepResponse

__all__ = [
    "ConstraintResult",
    "ControllerResult",
    "Difference",
    "EngineEffect",
    "EvaluationReport",
    "EvaluationReporter",
    "Evaluator",
    "Reference",
    "ScenarioComparison",
    "StepResponse",
    "TrackingResult",
]
