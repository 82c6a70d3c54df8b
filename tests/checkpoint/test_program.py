"""TorchScript and torch.export files with declared spaces: exported, compared with themselves, or one sentence."""

# mypy: disable-error-code="operator"

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from gate5.checkpoint import CheckpointFiles, fetch, read
from gate5.checkpoint.inspection import inspect
from gate5.checkpoint.program import kind_of
from gate5.cli.main import main
from gate5.config.candidate import ExportConfig
from gate5.engine.precision import to_fp16_body
from gate5.errors import CheckpointError, ConfigError
from gate5.export import ONNXExporter
from scripts.hostile_checkpoints import bomb

SPACES = {"observation": {"shape": [4], "low": [-1.0, 0.0, -5.0, 1e6], "high": [1.0, 40.0, 5.0, 2e7]},
          "action": {"shape": [2], "low": [-1.0, 0.0], "high": [1.0, 20.0]}}  # fmt: skip


class Plain(nn.Module):
    """Its normaliser is inside, and it gives more than the action space has: it has to be clipped."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, outputs))
        self.register_buffer("mean", torch.tensor([0.0, 20.0, 0.0, 1e7]))
        self.register_buffer("std", torch.tensor([1.0, 9.0, 2.0, 4e6]))

    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(5.0 * self.net((obs - self.mean) / self.std))


class Branches(Plain):
    """Data decides which way it goes: tracing would lose one."""

    def forward(self, obs: Tensor) -> Tensor:
        scaled = (obs - self.mean) / self.std
        if scaled.dim() == 2:
            scaled = torch.clamp(scaled, -3.0, 3.0)
        return torch.clone(torch.where(scaled[:, :1] > 0.0, 5.0 * self.net(scaled), -9.0 * self.net(scaled)))


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(self.look(obs / 255.0))


class Random(Plain):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(self.net(obs / self.std) + torch.rand(1))


class Mixes(Plain):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(self.net(obs / self.std - (obs / self.std).mean(dim=0)))


class Two(nn.Module):
    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return obs, obs


class Infinite(Plain):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(self.net(obs) / 0.0)


class Whole(Plain):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.clone(self.net(obs).to(torch.int64))


class Raises(Plain):
    def forward(self, obs: Tensor) -> Tensor:
        assert obs.shape[1] == 5, "five\nnumbers"
        return torch.clone(self.net(obs))


class Writes(Plain):
    """An operator of TorchScript that makes a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, obs: Tensor) -> Tensor:
        torch.save(obs, self.path)
        return torch.clone(self.net(obs))


def script(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def trace(module: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(module.eval(), torch.zeros(1, 4)), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def program(module: nn.Module, shape: tuple[int, ...] = (4,), *, fixed: bool = False) -> bytes:
    buffer = io.BytesIO()
    sizes = None if fixed else {"obs": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(module.eval(), (torch.zeros(2, *shape),), dynamic_shapes=sizes), buffer)
    return buffer.getvalue()


def _read(content: bytes, spaces: dict[str, Any] | None = None, **more: Any) -> Any:
    return read(CheckpointFiles(content, None, "policy.pt"), trust_pickle=True, spaces=spaces or SPACES, **more)


def _refused(content: bytes, spaces: dict[str, Any] | None = None, **more: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        _read(content, spaces, **more)
    text = str(caught.value)
    assert len(text) < 800
    assert text.isprintable()
    assert text.endswith(".")
    return text


FILES: dict[str, tuple[Callable[[], bytes], Callable[[], nn.Module]]] = {
    "script": (lambda: script(Plain()), Plain),
    "script with branches": (lambda: script(Branches()), Branches),
    "trace": (lambda: trace(Plain()), Plain),
    "export": (lambda: program(Plain()), Plain),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_graph_is_the_program(name: str) -> None:
    make, module = FILES[name]
    content = make()
    checkpoint = _read(content)
    low, high = (np.array(SPACES["observation"][side], np.float32) for side in ("low", "high"))
    rows = np.random.default_rng(0).uniform(low, high, (300, 4)).astype(np.float32)
    with torch.no_grad():
        right = module()(torch.from_numpy(rows)).numpy().clip(SPACES["action"]["low"], SPACES["action"]["high"])
    assert (right == 1.0).any(), "the clip is reached"
    np.testing.assert_allclose(checkpoint.reference(rows)[0], right, atol=1e-6)
    graph, report = ONNXExporter(ExportConfig(samples=1000)).export(checkpoint, rows)
    assert report.max_abs_error is not None
    assert report.max_abs_error < 1e-4
    assert report.verified
    assert report.reference.startswith("the file itself, PyTorch")
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}
    assert metadata["gate5.normaliser"] == f"inside the {checkpoint.algorithm} file, if it has one"
    again = _read(content)
    again.reference(rows)
    assert ONNXExporter(ExportConfig(samples=1000)).export(again, rows)[0] == graph, "the same file, the same bytes"
    with pytest.raises(ConfigError, match=r"engine\.precision: fp32"):
        to_fp16_body(graph)


@pytest.mark.parametrize("make", [script, program], ids=["script", "export"])
@pytest.mark.filterwarnings("ignore")
def test_choices_of_pictures(make: Callable[..., bytes]) -> None:
    torch.manual_seed(0)
    module = Pictures().eval()
    content = make(module, (1, 8, 8)) if make is program else make(module)
    spaces = {"observation": {"shape": [1, 8, 8], "low": 0, "high": 255}, "action": {"choices": 3}}
    checkpoint = _read(content, spaces)
    rows = np.random.default_rng(0).uniform(0, 255, (200, 64)).astype(np.float32)
    with torch.no_grad():
        right = module(torch.from_numpy(rows.reshape(-1, 1, 8, 8))).argmax(dim=1).numpy()
    np.testing.assert_array_equal(checkpoint.reference(rows)[0][:, 0], right)
    assert ONNXExporter(ExportConfig(samples=1000)).export(checkpoint, rows)[1].max_abs_error == 0.0


def test_what_it_computes_has_a_hash_of_its_own() -> None:
    """By which a policy that was refused is held, whatever it is called: of the same spaces, other weights differ."""
    torch.manual_seed(9)
    other = Plain()
    with torch.no_grad():
        next(other.parameters())[0, 0] += 1.0
    hashes = [_read(content).function_sha256 for content in (_SCRIPT, _SCRIPT, script(other), trace(Plain()))]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_a_fault_in_the_graph_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is the file, not what is exported."""
    checkpoint = _read(script(Plain()))
    other = _read(script(Plain().eval()))
    with torch.no_grad():
        next(iter(other.module.parameters())).add_(0.1)
    object.__setattr__(checkpoint, "module", other.module)
    rows = np.full((10, 4), 0.5, np.float32)
    error = ONNXExporter(ExportConfig(samples=1000)).export(checkpoint, rows)[1].max_abs_error
    assert error is not None
    assert error > 1e-3


def test_it_runs_code_and_so_has_to_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "written"
    content = script(Writes(str(path)))
    files = CheckpointFiles(content, None, "policy.pt")
    for spaces, said in ((None, ("checkpoint.spaces", "trust_pickle")), (SPACES, ("trust_pickle",))):
        with pytest.raises(CheckpointError) as caught:
            read(files, spaces=spaces)
        assert all(word in str(caught.value) for word in said)
        assert not path.exists()
    with pytest.raises(CheckpointError, match=r"checkpoint\.spaces"):
        read(files, trust_pickle=True)
    assert not path.exists()
    read(files, trust_pickle=True, spaces=SPACES)
    assert path.exists(), "that is why"


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "at random": (lambda: script(Random()), "at random"),
    "mixes a batch": (lambda: script(Mixes()), "mixes a batch"),
    "two tensors": (lambda: script(Two()), "tuple of 2"),
    "infinite": (lambda: script(Infinite()), "NaN or infinite"),
    "whole numbers": (lambda: script(Whole()), "int64"),
    "raises": (lambda: script(Raises()), "does not run"),
    "three actions": (lambda: script(Plain(3)), r"\(6, 3\)"),
    "one size of batch": (lambda: program(Plain(), fixed=True), "dynamic_shapes"),
    "damaged": (lambda: script(Plain()).replace(b"torch.nn.modules", b"torch.nn.mXdules"), "policy.pt"),
}


@pytest.mark.parametrize("name", BAD)
def test_program_that_is_no_policy(name: str) -> None:
    import re

    make, said = BAD[name]
    assert re.search(said, _refused(make()))


def test_bombs() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/constants.pkl", b"x")
        with file.open("archive/data/0", "w", force_zip64=True) as record:
            for _ in range(200):
                record.write(bytes(1 << 20))
    assert "unpacks to more than" in _refused(content.getvalue())
    assert kind_of(bomb(1 << 20, 10)) is None
    good = script(Plain())
    for part in (0.3, 0.9):
        assert kind_of(good[: int(part * len(good))]) is None


def _changed(path: str, value: Any) -> dict[str, Any]:
    spaces = json.loads(json.dumps(SPACES))
    *parents, last = path.split(".")
    place = spaces
    for name in parents:
        place = place[name]
    place[last] = value
    return dict(spaces)


@pytest.mark.parametrize(("path", "value"), [
    ("action", None), ("action", {"choices": 1}), ("action", {"choices": "3"}), ("action", {"choices": True}),
    ("action", {"shape": [2]}), ("action", {"choices": 3, "shape": [2]}), ("observation", [4]), ("other", {}),
    ("observation.shape", []), ("observation.shape", 4), ("observation.shape", [4.0]), ("observation.shape", [-4]),
    ("observation.shape", [10**6, 10**6]), ("observation.shape", [1] * 9), ("observation.shape", [[4]]),
    ("observation.low", [0.0]), ("observation.low", "0"), ("observation.low", [0, 0, 0, True]), ("action.low", 1e39),
    ("action.low", 10**400), ("action.low", [5.0, 5.0]), ("action.low", float("nan")), ("action.high", None),
    ("observation.shape", ["4"]), ("observation.mean", 0.0),
])  # fmt: skip
def test_spaces_that_cannot_be(path: str, value: Any) -> None:
    assert "checkpoint.spaces" in _refused(_SCRIPT, _changed(path, value))


_SCRIPT = script(Plain())


def test_without_bounds_on_the_observation() -> None:
    checkpoint = _read(_SCRIPT, _changed("observation", {"shape": [4]}))
    assert np.isinf(checkpoint.policy.observation_low).all()


def test_what_belongs_to_stable_baselines3_alone() -> None:
    good = Path(__file__).parents[2] / "examples/checkpoints/good"
    with pytest.raises(CheckpointError, match=r"no TorchScript or torch\.export file"):
        read(fetch(good), spaces=SPACES)
    assert "frame_stack" in _refused(_SCRIPT, frame_stack=2)
    files = CheckpointFiles(_SCRIPT, (good / "vecnormalize.pkl").read_bytes(), "policy.pt")
    with pytest.raises(CheckpointError, match="normaliser"):
        read(files, trust_pickle=True, spaces=SPACES)


def test_statistics_beside_it_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "policy.pt").write_bytes(_SCRIPT)
    (tmp_path / "vecnormalize.pkl").write_bytes(b"of another")
    files = fetch(tmp_path / "policy.pt")
    assert (files.vecnormalize, files.missing) == (None, None)


@pytest.mark.filterwarnings("ignore")
def test_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("a.pt", _SCRIPT), ("b.pt2", program(Plain()))):
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["inspect", str(path)]) == 2
        assert "checkpoint.spaces" in capsys.readouterr().out
        more = ["--set", f"checkpoint.spaces={json.dumps(SPACES)}", "--set", "checkpoint.trust_pickle=true"]
        assert main(["inspect", str(path), *more]) == 0
        text = capsys.readouterr().out
        for word in ("PyTorch, a ", "Box(4,) float32", "Box(2,) float32, clipped", "114", "compared with itself"):
            assert word in text
    assert inspect(CheckpointFiles(_SCRIPT, None, "x"), trust_pickle=True, spaces=SPACES).releasable
