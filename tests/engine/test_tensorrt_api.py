"""Our source against the real bindings of TensorRT 10.16 and 11.4.

The wheels come from the package index into ``var/cache``. They import on a CPU once stand-ins for three libraries, with
the nine C functions that the binding leaves undefined, lie on LD_LIBRARY_PATH; nothing of TensorRT can run that way, so
only names and signatures are tested here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "include" / "gate5" / "engine" / "tensorrt"
SURFACE = Path(__file__).with_name("tensorrt_surface.py")
CACHE = ROOT / "var" / "cache" / "tensorrt"
VERSIONS = ("10.16.1.11", "11.4.0.106")
#: Its bindings are whole: nothing has to stand in for a library.
RTX = "1.7.1.116"
FUNCTIONS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip


@pytest.fixture(scope="session", params=(*VERSIONS, RTX))
def surface(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any]:
    """``surface(folder)``: what the checker says about the source in a folder, against one real binding."""
    version: str = request.param
    added: dict[str, str] = {}
    if version == RTX:
        pytest.importorskip("tensorrt_rtx", reason="pip install 'gate5[rtx]' (Linux on x86-64 or aarch64)")
    else:
        stubs = _stubs(version.split(".")[0], tmp_path_factory.mktemp("stubs"))
        added = {"PYTHONPATH": str(_binding(version)), "LD_LIBRARY_PATH": str(stubs)}

    def check(folder: Path) -> Any:
        environment = {**os.environ, **added}
        done = subprocess.run(
            [sys.executable, str(SURFACE), str(folder)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["version"] == version
        return found

    return check


def _binding(version: str) -> Path:
    folder = CACHE / version
    if not (folder / "tensorrt_bindings").is_dir():
        if sys.version_info[:2] < (3, 8) or sys.platform != "linux":
            pytest.skip("TensorRT's bindings are published for Linux only")
        wheels = CACHE / "wheels"
        name = f"tensorrt-cu13-bindings=={version}"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr[-200:])
            pytest.skip(f"{name} cannot be had from the package index: {reason}")
        wheel = next(wheels.glob(f"*-{version}-*.whl"))
        beside = folder.with_name(f".{version}.{os.getpid()}")
        with zipfile.ZipFile(wheel) as file:
            file.extractall(beside)
        if folder.exists():
            shutil.rmtree(beside)
        else:
            beside.rename(folder)
    return folder


def _stubs(major: str, folder: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in libraries")
    source = folder / "stub.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in FUNCTIONS))
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        name = f"lib{library}.so.{major}"
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)], check=True
        )
    return folder


def test_everything_that_we_use_is_there(surface: Callable[[Path], Any]) -> None:
    found = surface(SOURCE)
    assert found["problems"] == []
    # the walk has really seen the source: the heart of builder and runtime is among the uses
    assert {
        "Builder.build_serialized_network",
        "OnnxParser.parse",
        "IOptimizationProfile.set_shape",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.get_tensor_profile_shape",
        "EngineInspector.get_engine_information",
        "BuilderFlag.FP16",
    } <= set(found["uses"])


def test_what_only_tensorrt_rtx_has_is_there(surface: Callable[[Path], Any]) -> None:
    found = surface(SOURCE.with_name("tensorrt_rtx"))
    if found["version"] != RTX:
        assert found["problems"], "these names are TensorRT-RTX's own; the walk sees them"
        return
    assert found["problems"] == []
    assert {"IBuilderConfig.set_compute_capability", "Runtime.get_engine_validity"} <= set(found["uses"])


FAULTS = {
    "unguarded FP16": ("config.set_flag(trt.BuilderFlag.FP16)", "BuilderFlag.FP16", ("11.4.0.106", RTX)),
    "unguarded explicit batch": (
        "network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))",
        "EXPLICIT_BATCH",
        ("11.4.0.106", RTX),
    ),
    "guard of another name": (
        'if has(trt, "BuilderFlag.TF32"):\n        config.set_flag(trt.BuilderFlag.FP16)',
        "BuilderFlag.FP16",
        ("11.4.0.106", RTX),
    ),
    "old bindings": ("context.execute_async_v2([1], stream)", "execute_async_v2", (*VERSIONS, RTX)),
    "old sizes": ("print(engine.num_bindings)", "num_bindings", (*VERSIONS, RTX)),
    "wrong keyword": ('profile.set_shape("obs", minimum=(1,), opt=(1,), max=(1,))', "set_shape", (*VERSIONS, RTX)),
    "too many arguments": ("builder.create_network(0, 1)", "create_network", (*VERSIONS, RTX)),
    "an argument too few": ('context.set_tensor_address("obs")', "set_tensor_address", (*VERSIONS, RTX)),
    "result without a name": ("print(network.get_input(0).colour)", "VARIABLES", (*VERSIONS, RTX)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_new_use_without_a_check_fails(surface: Callable[[Path], Any], tmp_path: Path, fault: str) -> None:
    """The checker itself: each of these would ship unnoticed, ``BuilderFlag.FP16`` as a silent FP32 engine."""
    line, word, versions = FAULTS[fault]
    for file in SOURCE.rglob("*.py"):
        shutil.copy(file, tmp_path)
    names = "trt, builder, config, network, profile, context, engine, stream"
    (tmp_path / "new.py").write_text(f"def use({names}):\n    {line}\n")
    found = surface(tmp_path)
    problems = [problem for problem in found["problems"] if problem.startswith("new.py")]
    assert bool(problems) == (found["version"] in versions)
    assert all(word in problem for problem in problems)


def test_only_compat_asks_for_versions() -> None:
    """Names that differ by version are in one file."""
    for file in SOURCE.rglob("*.py"):
        if file.name != "compat.py":
            text = file.read_text(encoding="utf-8")
            assert "has(trt" not in text, file.name
            assert "hasattr(trt" not in text, file.name
            assert "hasattr(config" not in text, file.name
