#!/usr/bin/env python3
"""PyTorch's ways to run the same policy, timed as the engine is: eager, CUDA graph, torch.compile.

python -m benchmarks.gpu.peers --policy policy_arrays.npz --observations observations.npz [--device cuda] > peers.json

For a machine whose PyTorch lives in another Python than TensorRT: needs torch and numpy alone. FP16 body, FP32
normaliser and head, as the engine; host array to host array; the peers take turns within each round.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.gpu.series import distribution, interleave

Runner = Callable[[Any], Any]
ACTIVATIONS = {"Tanh": nn.Tanh, "Relu": nn.ReLU, "Elu": nn.ELU, "": nn.Identity}


class Policy(nn.Module):
    """The exported function from its arrays."""

    mean_hi: torch.Tensor
    mean_lo: torch.Tensor
    std: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, arrays: Any, half: bool) -> None:
        super().__init__()
        count = sum(name.startswith("w") for name in arrays)
        layers: list[nn.Module] = []
        for index in range(count):
            weight, bias = (torch.from_numpy(arrays[f"{kind}{index}"].copy()) for kind in "wb")
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight.data, layer.bias.data = weight, bias
            layers += [layer, ACTIVATIONS[str(arrays["activation"])]()]
        self.body = nn.Sequential(*layers[:-1])
        self.half_body = half
        if half:
            self.body.half()
        self.squash, self.normalised = bool(arrays["squash"]), "std" in arrays
        self.clip = float(arrays["clip"]) if self.normalised else 0.0
        for name in ("mean_hi", "mean_lo", "std", "low", "high"):
            if name in arrays:
                self.register_buffer(name, torch.from_numpy(np.asarray(arrays[name], np.float32).copy()))
        bounds = [np.unique(arrays[name]) for name in ("low", "high")]
        # one number for all actions where it is one, as in the exported graph
        self.bounds = [float(values[0]) for values in bounds] if all(len(values) == 1 for values in bounds) else None

    def forward(self, x: Any) -> Any:
        if self.normalised:
            x = torch.clamp(((x - self.mean_hi) - self.mean_lo) / self.std, -self.clip, self.clip)
        x = self.body(x.half() if self.half_body else x).float()
        if self.squash:
            return self.low + 0.5 * (torch.tanh(x) + 1.0) * (self.high - self.low)
        if self.bounds is not None:
            return torch.clamp(x, *self.bounds)
        return torch.minimum(torch.maximum(x, self.low), self.high)


def plain(module: nn.Module, device: str) -> Runner:
    """As most people write it."""

    def run(obs: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(obs).to(device)).cpu().numpy()

    return run


def compiled(module: nn.Module, device: str) -> Runner:
    """``torch.compile`` in the mode made for small batches."""
    return plain(torch.compile(module, mode="reduce-overhead"), device)  # type: ignore[arg-type]


def cuda_graph(module: nn.Module, batch: int, width: int) -> Runner:
    """A captured graph with its copies, over pinned memory."""
    host_in = torch.zeros(batch, width).pin_memory()
    device_in = host_in.cuda()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.inference_mode(), torch.cuda.stream(side):
        for _ in range(5):
            host_out = module(device_in).cpu().pin_memory()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        device_in.copy_(host_in, non_blocking=True)
        host_out.copy_(module(device_in), non_blocking=True)
    view_in, view_out = host_in.numpy(), host_out.numpy()

    def run(obs: Any) -> Any:
        view_in[...] = obs
        graph.replay()
        torch.cuda.current_stream().synchronize()
        return view_out.copy()

    return run


def runners_for(arrays: Any, device: str, batch: int, width: int) -> dict[str, Runner]:
    """Every peer that this machine can run."""
    found = {"PyTorch eager, FP32": plain(Policy(arrays, False).to(device).eval(), device)}
    if device != "cpu":
        half = Policy(arrays, True).to(device).eval()
        found["PyTorch eager, FP16"] = plain(half, device)
        found["PyTorch CUDA graph, FP16"] = cuda_graph(half, batch, width)
        found["torch.compile, FP16"] = compiled(half, device)
    return found


def measure(runners: dict[str, Runner], obs: Any, rounds: int) -> dict[str, Any]:
    """Milliseconds per inference by runner; they take turns."""

    def call(run: Runner) -> Callable[[], Any]:
        return lambda: run(obs)

    spent = interleave({name: call(run) for name, run in runners.items()}, rounds, 500, "PyTorch CUDA graph, FP16")
    return {name: distribution(values) for name, values in spent.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", required=True)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    arrays = dict(np.load(options.policy))
    obs = np.ascontiguousarray(np.load(options.observations)["obs"], dtype=np.float32)
    with torch.inference_mode():
        expected = Policy({**arrays}, False).double()(torch.from_numpy(obs).double()).float().numpy()
    result: dict[str, Any] = {"torch": torch.__version__, "device": options.device, "errors": {}}
    for batch in (1, 8, 64):
        runners = runners_for(arrays, options.device, batch, obs.shape[1])
        for name, run in runners.items():
            error = max(
                float(np.abs(run(obs[at : at + batch]) - expected[at : at + batch]).max())
                for at in range(0, len(obs) - batch, max(len(obs) // 50, batch))
            )
            result["errors"][f"{name}, batch {batch}"] = error
            if not error < 1e-2:
                sys.exit(f"{name} is not the same policy (error {error:g}): nothing is timed.")
        result[f"batch {batch}"] = measure(runners, obs[:batch], options.rounds)
    print(json.dumps(result, indent=1, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
