"""``SavedTraining``: a training's state between two pieces of work; a training that was killed goes on from there.

The state is written whole or not at all after the imitation, after every chunk of PPO and after every few generations
of the search. Read back, it gives the weights, the optimiser, the normaliser, the random generators and what has been
logged; episodes that were under way are not in it and begin anew. It holds tensors and JSON, no code: it is read with
``weights_only``.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gate5.errors import CheckpointError, ConfigError
from gate5.io import canonical
from gate5.workspace.artifacts import DirectoryWorkspace, S3Workspace, Workspace

if TYPE_CHECKING:
    from gate5.control.search import Search
    from gate5.train.run import Run

STATE = "training.pt"
RECORD = "train.json"
RESULTS = ("policy.zip", "vecnormalize.pkl", RECORD)


class SavedTraining:
    """The saved state of one training.

    Args:
        workspace: where it lies; a directory, or S3 where another machine may have to go on.
        asked: what the training was asked for, plain JSON types; another training does not go on from it.
    """

    def __init__(self, workspace: Workspace, asked: Mapping[str, Any]) -> None:
        self.workspace, self.asked = workspace, canonical.digest(dict(asked))

    def done(self) -> bool:
        """Whether this same training has come to its end here."""
        record = self.workspace.find(RECORD)
        if record is None or self.workspace.exists(STATE):
            return False
        try:
            return bool(canonical.loads(record).get("asked") == self.asked)
        except (ValueError, AttributeError):
            return False

    def load(self, run: Run) -> bool:
        """Put the saved state, if there is one, into a run that was just made; returns whether there was.

        Raises:
            ConfigError: it is of a training that was asked for something else.
            CheckpointError: it is damaged.
        """
        import torch

        data = self.workspace.find(STATE)
        if data is None:
            return False
        try:
            saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            facts = canonical.loads(saved["facts"])
            if facts["asked"] == self.asked:
                _restore(run, facts, saved)
                return True
        except Exception as error:  # noqa: BLE001 (whatever a damaged file makes torch raise, the way out is the same)
            raise CheckpointError(
                f"The saved state {STATE} in {self.workspace.uri} is damaged ({type(error).__name__}): remove it, or "
                "train without --resume, which starts anew."
            ) from None
        raise ConfigError(
            f"The training that was begun in {self.workspace.uri} had another plant, seed, number of steps or other "
            "settings: resume it with those, or train without --resume, which starts anew."
        )

    def save(self, run: Run) -> None:
        """Replace the saved state by the run's present one."""
        self.workspace.write(STATE, _snapshot(run, self.asked))

    def forget(self) -> None:
        """Remove the saved state."""
        if isinstance(self.workspace, DirectoryWorkspace):
            (self.workspace.path / STATE).unlink(missing_ok=True)
        elif isinstance(self.workspace, S3Workspace):
            self.workspace.remove(STATE)

    def finish(self, out: Path) -> None:
        """Bring the results from ``out`` to where the state lies, the record last, and remove the state."""
        if not (isinstance(self.workspace, DirectoryWorkspace) and self.workspace.path.samefile(out)):
            for name in RESULTS:
                self.workspace.write(name, (out / name).read_bytes())
        self.forget()


def search_state(search: Search) -> dict[str, Any]:
    """All that moves in a search, as plain JSON types."""
    arrays = {name: getattr(search, name).tolist() for name in ("mean", "_variance", "_path_c", "_path_s")}
    return {**arrays, "sigma": search.sigma, "random": search._random.bit_generator.state}


def restore_search(search: Search, state: Mapping[str, Any]) -> None:
    """The inverse of ``search_state``, on a search of the same size."""
    for name in ("mean", "_variance", "_path_c", "_path_s"):
        setattr(search, name, np.array(state[name]))
    search.sigma, search._random.bit_generator.state = state["sigma"], state["random"]


def _snapshot(run: Run, asked: str) -> bytes:
    import torch

    model, venv = run.model, run.venv
    kind, keys, *rest = np.random.get_state(legacy=True)
    facts = {
        "asked": asked,
        "steps": run.steps,
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "log": run.log,
        "imitation": run.imitation,
        "reference": run.reference,
        "resumed_at": run.resumed_at,
        "searching": run.searching,
        "ascending": run.ascending,
        "climbing": run.climbing,
        "half": run.half,
        "obs_rms": _moments(venv.obs_rms),
        "ret_rms": _moments(venv.ret_rms),
        "training": venv.training,
        "curriculum": {"random": run.curriculum._random.bit_generator.state, "next": run.curriculum._next},
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }
    buffer = io.BytesIO()
    torch.save(
        {
            "facts": canonical.dumps(facts).decode(),
            "policy": model.policy.state_dict(),
            "optimizer": model.policy.optimizer.state_dict(),
            "best": run.best,
            "moments": run.moments,
            "torch": torch.get_rng_state(),
        },
        buffer,
    )
    return buffer.getvalue()


def _restore(run: Run, facts: dict[str, Any], saved: Mapping[str, Any]) -> None:
    import torch

    model, venv = run.model, run.venv
    model.policy.load_state_dict(saved["policy"])
    model.policy.optimizer.load_state_dict(saved["optimizer"])
    model.num_timesteps, model._n_updates = facts["timesteps"], facts["updates"]
    _set_moments(venv.obs_rms, facts["obs_rms"])
    _set_moments(venv.ret_rms, facts["ret_rms"])
    venv.training = facts["training"]
    run.steps, run.log, run.imitation = facts["steps"], facts["log"], facts["imitation"]
    run.reference, run.searching, run.best = facts["reference"], facts["searching"], saved["best"]
    run.resumed_at = [*facts["resumed_at"], facts["steps"]]
    run.half = facts["half"]
    run.ascending, run.climbing, run.moments = facts["ascending"], facts["climbing"], saved["moments"]
    run.curriculum._random.bit_generator.state = facts["curriculum"]["random"]
    run.curriculum._next = facts["curriculum"]["next"]
    kind, keys, *rest = facts["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    version, words, gauss = facts["python"]
    random.setstate((version, tuple(words), gauss))
    torch.set_rng_state(saved["torch"])


def _moments(rms: Any) -> list[Any]:
    return [np.asarray(rms.mean).tolist(), np.asarray(rms.var).tolist(), float(rms.count)]


def _set_moments(rms: Any, values: list[Any]) -> None:
    rms.mean, rms.var, rms.count = np.array(values[0]), np.array(values[1]), values[2]
