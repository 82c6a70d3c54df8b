"""An engine process that answers what the file ``$GATE5_TEST_FAULT`` says: nothing, ``sleep``, ``nan``, ``corner``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gate5.edge.runtime import answering

FAULT = Path(os.environ["GATE5_TEST_FAULT"])


class Faulty:
    """The released engine, except while the file says otherwise."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def reset(self, batch: int) -> None:
        self.inner.reset(batch)

    def predict(self, obs: Any) -> Any:
        action, state = self.inner.predict(obs)
        fault = FAULT.read_text() if FAULT.exists() else ""
        if fault == "sleep":
            time.sleep(0.3)
        elif fault == "nan":
            action = action * np.nan
        elif fault == "corner":
            action = np.where(action > 0, -1.0, 1.0).astype(np.float32)
        elif fault == "outside":
            action = action + 5.0
        return action, state


if __name__ == "__main__":
    plain = answering._prove
    answering._prove = lambda folder, order: Faulty(plain(folder, order))  # type: ignore[assignment, return-value]
    os._exit(answering.main(sys.argv[1:]))
