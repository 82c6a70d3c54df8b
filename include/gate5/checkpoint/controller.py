"""``TorchController``: a checkpoint's module drives a plant."""

from __future__ import annotations

from typing import Any

import numpy as np

from gate5.checkpoint.signature import Signature, StatefulRows
from gate5.checkpoint.spec import Float32


class TorchController:
    """Drives a plant with a torch module (raw observation to action); the reference that engines are compared with.

    It runs on one thread: a policy is far too small to share out, and idle worker threads cost more than it does.

    Args:
        module: of a checkpoint.
        signature: of the same checkpoint where the policy is not plain: it has a state, several inputs or scores.
    """

    def __init__(self, module: Any, signature: Signature | None = None) -> None:
        self.module, self.rows = module, None
        if signature is not None and not signature.plain:
            from gate5.checkpoint.module_parts import FlatRows

            self.module, self.rows = FlatRows(module, signature), StatefulRows(signature)

    def reset(self, batch: int) -> None:
        """Episodes start: a state is zero again."""
        if self.rows is not None:
            self.rows.reset()

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """Actions float32 ``[B, act_dim]`` for raw observations float32 ``[B, obs_dim]``."""
        obs = np.ascontiguousarray(obs, dtype=np.float32)
        if self.rows is None:
            return self._run(obs), None
        return self.rows.actions(self._run(self.rows.inputs(obs))), None

    def _run(self, rows: Float32) -> Float32:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                action = self.module(torch.from_numpy(rows))
        finally:
            torch.set_num_threads(threads)
        return np.asarray(action.numpy(), dtype=np.float32)
