"""What an export gave, and how far it is from the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate5.io.plain import from_plain, to_plain
from gate5.parity.difference import WorstSample


@dataclass(frozen=True)
class ExportReport:
    """The exported graph and its comparison with the policy.

    Attributes:
        onnx_sha256, onnx_bytes, opset, ir_version: of the graph.
        policy_sha256, vecnormalize_sha256, algorithm, obs_dim, act_dim: of the checkpoint.
        reference: what the graph was compared with.
        compared: on how many observations; 0 is a failure.
        nonfinite: numbers of the graph or the reference that are NaN or infinite; above 0 is a failure.
        max_abs_error: largest difference of an action over rollout, interior and corners, relative to half the width
            of the action space (``gate5.parity.difference``); ``None`` where nothing was compared or something is not
            finite.
        by_kind: compared and max_abs_error for rollout, interior, corners and far.
        worst: where it happened.
        verified: at least 1,000 observations were compared and every number is finite. Not a verdict on the size of the
            error: that is Gate 5's.
        versions: torch, onnx, onnxruntime, gate5.
        far_spread: on observations far outside the space, the largest difference between the reference at batch 1 and
            the reference at a large batch, which no export can be better than.
        ties: observations on which the choices differ and the scores are tied.
        float64: the largest difference where the policy is given the observations as float64, as its environment gives
            them, and the graph the same as float32; ``None`` where the environment's are float32.
        warnings: what a reader should look at.
    """

    onnx_sha256: str
    onnx_bytes: int
    opset: int
    ir_version: int
    policy_sha256: str
    vecnormalize_sha256: str | None
    algorithm: str
    obs_dim: int
    act_dim: int
    reference: str
    compared: int
    nonfinite: int
    max_abs_error: float | None
    by_kind: dict[str, dict[str, float | int | None]]
    worst: WorstSample | None
    verified: bool
    versions: dict[str, str]
    far_spread: float | None = None
    ties: int = 0
    float64: float | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExportReport:
        return from_plain(cls, data)

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for Gate 5; not finite counts as infinite, not measured as missing."""
        error = self.max_abs_error
        if error is None and self.nonfinite:
            error = math.inf
        far = self.by_kind.get("far", {}).get("max_abs_error")
        return {
            "parity.onnx.far.max_abs_error": far,
            "parity.onnx.far.beyond_reference": None
            if far is None or self.far_spread is None
            else max(0.0, far - self.far_spread),
            "parity.onnx.ties": float(self.ties),
            "parity.onnx.max_abs_error": error if self.verified or self.nonfinite else None,
            "parity.onnx.compared": float(self.compared),
            "parity.onnx.nonfinite": float(self.nonfinite),
        }
