"""How the engine is compared and timed: the sections `parity` and `latency`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gate5.config.section import Section


class ParityConfig(Section):
    """How the engine is compared with the ONNX graph."""

    samples: int = Field(2000, ge=100, description="observations of each kind: rollout, interior, corners, far outside")
    seed: int = Field(5, ge=0, description="of the drawn observations")


class LatencyConfig(Section):
    """How latency is measured: host to host, one observation at a time, on real observations."""

    iterations: int = Field(20_000, ge=1000, description="timed inferences back to back")
    warmup: int = Field(2_000, ge=0, description="inferences before the first timed one")
    gaps_ms: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 5.0), description="idle gaps before an inference that are measured beside the largest one"
    )
    cadence_ms: float | None = Field(
        None, gt=0, description="the largest idle gap; null: the plant's own control period, up to `cadence_cap_ms`"
    )
    cadence_cap_ms: float = Field(20.0, gt=0, description="the largest idle gap that a run can afford")
    cadence_seconds: float = Field(10.0, gt=0, description="how long one gap may be measured, in seconds")
    cadence_iterations: int = Field(
        1_000,
        ge=0,
        description="timed inferences of each gap at most; with too few for a bound of p99 that rule is not met",
    )
    keep_warm_ms: float | None = Field(
        None, gt=0, description="measure the largest gap again with an inference this often in between; null: do not"
    )
    blocks: int = Field(10, ge=1, description="the back-to-back series is taken in this many blocks")
    confidence: float = Field(0.99, gt=0.5, lt=1, description="of the upper bound of p99")
    cpu: int | None = Field(None, ge=0, description="pin the measuring thread to this CPU; null: the calmest one")
