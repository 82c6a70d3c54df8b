"""Which engine is opened on which device. The devices are descriptions: no GPU here is supported by TensorRT-RTX."""

from __future__ import annotations

from typing import Any

import pytest

from gate5.engine.tensorrt_rtx.runtime import check_target, check_version
from gate5.errors import EngineError

SPARK = {"gpu": "NVIDIA GB10", "compute_capability": "12.1"}
BUILT: dict[str, Any] = {"hardware": {"targets": ["sm121", "sm89"]}, "versions": {"tensorrt_rtx": "1.7.1.116"}}


def test_one_of_its_targets_is_fine() -> None:
    check_target(BUILT, SPARK)
    check_version(BUILT, "1.7.1.116")


def test_another_gpu_names_both_sides() -> None:
    with pytest.raises(
        EngineError, match=r"built for sm121, sm89, but this is NVIDIA H200 \(sm90\): TensorRT-RTX does not"
    ):
        check_target(BUILT, {"gpu": "NVIDIA H200", "compute_capability": "9.0"})
    with pytest.raises(EngineError, match=r"this is an RTX 5090 \(sm120\): build it with engine.targets: \[sm120\]"):
        check_target(BUILT, {"gpu": "an RTX 5090", "compute_capability": "12.0"})


def test_another_version_names_both_sides() -> None:
    with pytest.raises(EngineError, match=r"TensorRT-RTX 1\.7\.1\.116, here is 1\.8\.0"):
        check_version(BUILT, "1.8.0")


@pytest.mark.parametrize("metadata", [{}, {"hardware": {}}, {"hardware": {"targets": []}}])
def test_an_engine_that_says_no_target_is_opened_nowhere(metadata: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="no GPU at all"):
        check_target(metadata, SPARK)
