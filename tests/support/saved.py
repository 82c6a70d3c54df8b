"""A policy that Stable-Baselines3 trained and saved in this test run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Saved:
    """A trained model with its files."""

    model: Any
    normalise: Any
    policy: bytes
    vecnormalize: bytes
    observations: NDArray[np.float32]

    def predict(self, obs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The reference semantics, by Stable-Baselines3 itself."""
        actions, _ = self.model.predict(self.normalise.normalize_obs(obs), deterministic=True)
        return np.asarray(actions, dtype=np.float32)
