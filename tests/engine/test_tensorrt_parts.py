"""The parts of the TensorRT engine that need neither TensorRT nor a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from gate5.engine.tensorrt import available, isolated
from gate5.engine.tensorrt.graph import CudaGraph
from gate5.engine.tensorrt.inspector import built_precision, parse, precision_of
from gate5.engine.tensorrt.runtime import check_hardware
from gate5.errors import EngineError

BUILT = {
    "hardware": {"gpu": "NVIDIA H200", "compute_capability": "9.0", "driver": "570.1"},
    "versions": {"tensorrt": "8.5.3.1"},
}
HERE = {"gpu": "NVIDIA H200", "compute_capability": "9.0", "driver": "570.1", "memory_mib": 1}


def test_same_hardware_is_fine() -> None:
    check_hardware(BUILT, HERE, "8.5.3.1")


@pytest.mark.parametrize(
    ("change", "version", "text"),
    [
        ({"gpu": "Orin"}, "8.5.3.1", "gpu NVIDIA H200, here Orin"),
        ({"compute_capability": "8.7"}, "8.5.3.1", "compute capability 9.0, here 8.7"),
        ({"driver": "580.2"}, "8.5.3.1", "driver 570.1, here 580.2"),
        ({}, "10.16.1.11", r"TensorRT 8\.5\.3\.1, here 10\.16\.1\.11"),
    ],
)
def test_mismatch_names_both_sides(change: dict[str, str], version: str, text: str) -> None:
    with pytest.raises(EngineError, match=text):
        check_hardware(BUILT, {**HERE, **change}, version)


def test_metadata_without_hardware_does_not_fit() -> None:
    with pytest.raises(EngineError, match="gpu None, here NVIDIA H200"):
        check_hardware({"versions": {"tensorrt": "8.5.3.1"}}, HERE, "8.5.3.1")


def _layers(*rows: tuple[str, str, str]) -> str:
    return json.dumps(
        {
            "Layers": [
                {
                    "Name": name,
                    "LayerType": "x",
                    "Inputs": [],
                    "Outputs": [{"Format/Datatype": kind}],
                    "TacticName": tactic,
                }
                for name, kind, tactic in rows
            ]
        }
    )


HALF = _layers(
    ("/normaliser/Sub", "Row major linear FP32", ""),
    ("/body/body.0/Gemm", "Row major linear FP16 format", "sm80_xmma_gemm_f16f16_f16f16"),
    ("/head/Clip", "Row major linear FP32", ""),
)
SINGLE = _layers(
    ("/normaliser/Sub", "Float", ""),
    ("/body/body.0/Gemm", "Float", "sm80_xmma_gemm_f32f32"),
    ("/cast/enter_0", "Half", ""),
)
FUSED = _layers(("{ForeignNode[/normaliser/Sub.../head/Clip]}", "Float", ""))


def test_precision_is_read_back() -> None:
    assert built_precision(parse(HALF), "fp16", typed=False) == ("fp16", "inspector")
    assert built_precision(parse(SINGLE), "fp32", typed=False) == ("fp32", "inspector")


@pytest.mark.parametrize("typed", [False, True])
def test_fp16_that_became_fp32_fails(typed: bool) -> None:
    """What happens silently where a removed flag is asked for; a half cast beside the body does not hide it."""
    with pytest.raises(EngineError, match="FP16 was asked for, but the engine shows no fp16 layer"):
        built_precision(parse(SINGLE), "fp16", typed=typed)


def test_one_layer_of_the_body_in_fp32_fails() -> None:
    """Seen on an H200 with TensorRT 8.5: allowed to use FP16, it ran some of the layers in FP32."""
    rows = parse(
        _layers(
            ("/body/body.0/Gemm", "Half", "sm80_xmma_gemm_f16f16_f16f16_f16_tn_n"),
            ("/body/body.2/Gemm", "N/A due to dynamic shapes", "sm50_xmma_cublas_gemvx_f32f32_f32_f32_tn_n"),
        )
    )
    with pytest.raises(EngineError, match=r"built 1 layers of the policy's body in FP32: /body/body\.2/Gemm"):
        built_precision(rows, "fp16", typed=False)


def test_fp32_that_became_fp16_fails() -> None:
    with pytest.raises(EngineError, match="FP32 was asked for, but TensorRT built fp16"):
        built_precision(parse(HALF), "fp32", typed=False)


def test_one_fused_kernel_is_known_only_where_the_graph_decides() -> None:
    assert built_precision(parse(FUSED), "fp16", typed=True) == ("fp16", "strongly typed network")
    with pytest.raises(EngineError):
        built_precision(parse(FUSED), "fp16", typed=False)


LINEAR = ["/body/body.0/Gemm", "/body/body.2/Gemm"]


def judged(text: str, wanted: str, stored: str | None, asked: list[str] | None = None, typed: bool = False) -> Any:
    """``precision_of`` where the plan holds weights as ``stored``; ``asked`` takes the layers that it was asked for."""

    def found(names: list[str]) -> str | None:
        if asked is not None:
            asked.extend(names)
        return stored

    return precision_of(parse(text), wanted, LINEAR, found, typed=typed)


def test_what_is_compiled_is_known_by_its_weights() -> None:
    for kind in ("fp16", "fp32"):
        assert judged(FUSED, kind, kind) == (kind, "weights in the plan")
    assert judged(FUSED, "fp16", None, typed=True) == ("fp16", "strongly typed network")
    for stored, text in (("fp32", "in fp32"), (None, "in no precision that can be told")):
        with pytest.raises(EngineError, match=f"FP16 was asked for, but .* holds the weights {text}: .ForeignNode"):
            judged(FUSED, "fp16", stored)
    with pytest.raises(EngineError, match="FP32 was asked for"):
        judged(FUSED, "fp32", "fp16")


def test_half_at_the_ends_of_a_compiled_piece_proves_nothing() -> None:
    """It may compute in FP32 between them."""
    ends = _layers(("{ForeignNode[/body/body.0/Gemm.../body/Add]}", "Row major linear FP16 format", ""))
    with pytest.raises(EngineError, match="no precision that can be told"):
        judged(ends, "fp16", None)


def test_of_a_piece_beside_ordinary_layers_only_the_hidden_ones_are_asked_for() -> None:
    """A reformat that is called after a layer is not the layer."""
    rows = [
        ("/body/body.0/Gemm + PWN(/body/body.1/Tanh)", "Half", "sm80_xmma_gemm_f16f16_f16f16"),
        ("reshape_before_/body/body.2/Gemm", "Half", ""),
        ("{ForeignNode[/body/body.2/Gemm.../head/Tanh]}", "Float", ""),
    ]
    asked: list[str] = []
    assert judged(_layers(*rows), "fp16", "fp16", asked) == ("fp16", "inspector and weights in the plan")
    assert asked == ["/body/body.2/Gemm"]
    rows[0] = ("/body/body.0/Gemm", "Float", "sm80_xmma_gemm_f32f32_f32f32")
    with pytest.raises(EngineError, match="FP16 was asked for"):
        judged(_layers(*rows), "fp16", "fp16")


def test_a_compiled_head_hides_no_layer() -> None:
    """The squash of a SAC policy, for one: the inspector shows the body, which decides as where nothing is compiled."""
    rows = [(name, "Half", "sm80_xmma_gemm_f16f16_f16f16") for name in LINEAR]
    text = _layers(*rows, ("{ForeignNode[/head/Tanh.../head/Add_1]}", "Float", ""))
    assert judged(text, "fp16", None) == ("fp16", "inspector")
    with pytest.raises(EngineError, match="FP32 was asked for, but TensorRT built fp16"):
        judged(text, "fp32", None)


def test_inspector_without_details() -> None:
    assert parse('{"Layers": ["/body/body.0/Gemm"]}') == [{"name": "/body/body.0/Gemm", "types": ""}]
    assert parse("not json") == []
    with pytest.raises(EngineError, match="no layer is listed"):
        built_precision([], "fp16", typed=False)


def test_bf16_is_not_taken_for_fp16() -> None:
    rows = parse(_layers(("/body/body.0/Gemm", "BFloat16", "gemm_bf16bf16")))
    assert built_precision(rows, "bf16", typed=True)[0] == "bf16"


def test_child_that_dies_does_not_take_us_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged plan can end the process that deserialises it."""
    real = subprocess.run

    def crash(command: Any, **kwargs: Any) -> Any:
        return real([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"], **kwargs)

    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(EngineError, match="ended by signal 11"):
        isolated.deserialise(b"plan", "0" * 64)


@pytest.mark.skipif(available.missing() is None, reason="this machine has TensorRT and a GPU")
def test_child_without_tensorrt_says_so() -> None:
    with pytest.raises(EngineError, match=r"cannot be deserialised.*(tensorrt|pycuda|CUDA)"):
        isolated.deserialise(b"plan", "1" * 64)


class Driver:
    """An imitation of cuda-bindings' driver module: no GPU, so that each call can be made to fail."""

    class CUresult:
        CUDA_SUCCESS = 0

    class CUstreamCaptureMode:
        CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1

    def __init__(self, fails: str = "") -> None:
        self.fails, self.calls = fails, list[str]()

    @staticmethod
    def CUstream(handle: int) -> int:  # noqa: N802
        return handle

    def cuGetErrorString(self, code: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"operation not permitted"

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu") or name == "cuGraphInstantiateWithFlags":
            raise AttributeError(name)

        def call(*_: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            failed = 900 if name == self.fails else 0
            return (failed, object()) if name in ("cuStreamEndCapture", "cuGraphInstantiate") else (failed,)

        return call


def test_graph_runs_with_one_launch_and_one_synchronise() -> None:
    driver = Driver()
    recorded: list[int] = []
    graph = CudaGraph(driver, 7, lambda: recorded.append(1))
    driver.calls.clear()
    graph.run()
    assert driver.calls == ["cuGraphLaunch", "cuStreamSynchronize"]
    assert recorded == [1]
    driver.calls.clear()
    graph.close()
    assert driver.calls == ["cuGraphExecDestroy", "cuGraphDestroy"]


@pytest.mark.parametrize("name", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_failed_capture_is_an_error_with_the_drivers_words(name: str) -> None:
    with pytest.raises(EngineError, match=f"{name} failed: operation not permitted"):
        CudaGraph(Driver(name), 7, lambda: None)


@pytest.mark.parametrize("name", ["cuGraphLaunch", "cuStreamSynchronize"])
def test_failed_run_is_an_error(name: str) -> None:
    graph = CudaGraph(Driver(name), 7, lambda: None)
    with pytest.raises(EngineError, match=f"{name} failed"):
        graph.run()


def test_capture_ends_even_if_the_work_raises() -> None:
    """A stream left in capture mode is lost for everything else."""
    driver = Driver()

    def broken() -> None:
        raise EngineError("TensorRT did not run the engine")

    with pytest.raises(EngineError, match="cannot be captured"):
        CudaGraph(driver, 7, broken)
    assert driver.calls[-1] == "cuStreamEndCapture"
