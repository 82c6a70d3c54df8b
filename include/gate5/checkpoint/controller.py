"""``TorchController``: a checkpoint's module drives a plant."""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.checkpoint.spec import Float32


class TorchController:
    """Drives a plant with a torch module (raw observation to action); the reference that engines are compared with.

    It runs on one thread: a policy is far too small to share out, and idle worker threads cost more than it does.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    def reset(self, batch: int) -> None:
        """A feed-forward policy has no past."""

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for raw observations float32 ``[B, obs_dim]``."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                action = self.module(torch.from_numpy(np.ascontiguousarray(obs, dtype=np.float32)))
        finally:
            torch.set_num_threads(threads)
        return action.numpy().astype(np.float32, copy=False), None
