"""``train``: from a plant to a checkpoint (policy.zip, vecnormalize.pkl, train.json)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gate5 import _json
from gate5.config import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.control.closed_loop import QuickScore, pairs, quick, worst_margins
from gate5.control.pid import PIDBaseline
from gate5.errors import ConfigError
from gate5.plant.base import Controller, Float32, Plant
from gate5.train.imitation import Demonstrations, ImitationConfig, demonstrate, fit, scale_of
from gate5.train.vec_env import Curriculum, Shaping, mixed, plant_vec_env
from gate5.workspace import write_atomically

VALIDATION_SEED, REPORT_SEED = 5_000_000, 6_000_000

# Where the training's cost begins, by unit, before a limit; and how far above its set-point a variable costs nothing.
BUFFERS = {"C": 0.25, "MPa": 0.05, "MW": 0.3, "C/min": 0.3, "1": 0.03}
CEILINGS = {"turbine_inlet_temperature": 10.0}


@dataclass(frozen=True)
class PPOConfig:
    """PPO's numbers; small steps, because it starts from a policy that already works."""

    envs: int = 64
    n_steps: int = 256
    batch_size: int = 2048
    n_epochs: int = 4
    learning_rate: float = 1e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.1
    target_kl: float = 0.01
    log_std: float = -3.0
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "tanh"
    chunk: int = 131_072
    cost_weight: float = 0.3


def train(
    plant: Plant,
    out: Path,
    *,
    steps: int,
    seed: int,
    imitation: bool = True,
    progress: bool = True,
    device: str = "cpu",
    baseline: BaselineConfig | None = None,
    ppo: PPOConfig | None = None,
    imitate: ImitationConfig | None = None,
    validation_episodes: int = 16,
) -> Path:
    """Train a policy and write it as a checkpoint.

    The plant's baseline is imitated first (DAgger); PPO then improves on it in small steps. After every chunk of PPO
    the policy drives validation episodes of every scenario; the best one so far is kept: fewest violations first, then
    the largest mean return. A chunk that violates is undone.

    Args:
        plant: what to train on; it must be able to mix scenarios in a batch.
        out: the folder that policy.zip, vecnormalize.pkl and train.json are written to.
        steps: environment steps of PPO; 0: imitation alone.
        seed: of the weights, the exploration and the scenarios drawn.
        imitation: start from the baseline rather than from random weights.
        progress: show a progress bar.
        device: torch's.
        baseline, ppo, imitate, validation_episodes: how, in detail.

    Returns:
        ``out``.

    Raises:
        ConfigError: imitation is asked for and there is no baseline.
        PlantError: the plant cannot mix scenarios in one batch.
    """
    run = _Run(plant, seed, ppo or PPOConfig(), device, validation_episodes)
    expert = open_baseline(baseline or BaselineConfig(), plant) if imitation else None
    if imitation and not isinstance(expert, PIDBaseline):
        raise ConfigError(f"There is no PID baseline for {plant.name} to imitate: train with --no-imitation.")
    with _bar(progress) as bar:
        if isinstance(expert, PIDBaseline):
            run.compare_with(expert)
            run.imitate(expert, imitate or ImitationConfig(), bar)
        else:
            run.measure_scale()
        run.improve(steps, bar, guarded=imitation)
    out.mkdir(parents=True, exist_ok=True)
    run.save(out)
    return out


class _Run:
    """The model, its normaliser and the best state seen so far."""

    def __init__(self, plant: Plant, seed: int, ppo: PPOConfig, device: str, validation: int) -> None:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import VecNormalize

        self.plant, self.seed, self.ppo, self.validation = plant, seed, ppo, validation
        mixed(plant)
        known = {variable.name for variable in plant.variables}
        ceilings = {name: room for name, room in CEILINGS.items() if name in known}
        self.venv: Any = VecNormalize(
            plant_vec_env(
                plant, Curriculum(plant, seed, 4_000_000 + 100_000 * seed), ppo.envs,
                Shaping(plant.constraints, BUFFERS, ppo.cost_weight, ceilings),
            ),
            gamma=ppo.gamma,
        )  # fmt: skip
        activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[ppo.activation]
        hidden = list(ppo.hidden)
        self.model: Any = PPO(
            "MlpPolicy", self.venv, n_steps=ppo.n_steps, batch_size=ppo.batch_size, n_epochs=ppo.n_epochs,
            learning_rate=ppo.learning_rate, gamma=ppo.gamma, gae_lambda=ppo.gae_lambda, clip_range=ppo.clip_range,
            target_kl=ppo.target_kl, seed=seed, device=device,
            policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": activation,
                           "log_std_init": ppo.log_std},
        )  # fmt: skip
        self.log: list[dict[str, Any]] = []
        self.imitation: dict[str, Any] | None = None
        self.steps = 0
        self.reference = {name: float(scenario.steps) for name, scenario in plant.scenarios.items()}

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """The deterministic policy on raw observations, so that a ``_Run`` is a ``Controller``."""
        action, _ = self.model.predict(self.venv.normalize_obs(obs), deterministic=True)
        return np.asarray(action, dtype=np.float32), None

    def compare_with(self, controller: Controller) -> None:
        """Take a controller's returns on the validation episodes as the reference that gains are measured from."""
        score = quick(self.plant, controller, *pairs(self.plant, self.validation, VALIDATION_SEED))
        self.reference = {name: float(r.mean()) for name, r in score.by_scenario(score.returns).items()}

    def reset(self, batch: int) -> None:
        """A feed-forward policy has no past."""

    def freeze_scale(self, obs: Float32) -> None:
        """Set the observation's normaliser; the huge count keeps PPO from moving it: the policy stays itself."""
        rms = self.venv.obs_rms
        rms.mean, rms.var = scale_of(self.plant, obs)
        rms.count = 1e12

    def measure_scale(self) -> None:
        """Set the normaliser from random actions, where there is no expert."""
        self.venv.training = False
        obs, seen = self.venv.venv.reset(), []
        random = np.random.default_rng(self.seed)
        space = self.plant.action_space
        for _ in range(400):
            action = random.uniform(space.low, space.high, (self.ppo.envs, space.size)).astype(np.float32)
            obs, *_ = self.venv.venv.step(action)
            seen.append(obs)
        self.freeze_scale(np.concatenate(seen))

    def imitate(self, expert: PIDBaseline, config: ImitationConfig, bar: Callable[[str, float], None]) -> None:
        """DAgger: the expert drives once, then the student, corrected by the expert."""
        data = Demonstrations()
        error = 0.0
        for round_ in range(config.rounds):
            bar(f"imitation, round {round_ + 1} of {config.rounds}", round_ / config.rounds)
            demonstrate(self.plant, expert, None if round_ == 0 else self, config, round_, data)
            if round_ == 0:
                self.freeze_scale(data.arrays()[0])
            last = round_ == config.rounds - 1
            epochs = config.final_epochs if last else config.epochs
            error = fit(self.model, self.venv.normalize_obs, data, config, epochs, config.learning_rate)
        self.imitation = {**asdict(config), "samples": len(data.arrays()[0]), "rmse": error}

    def improve(self, steps: int, bar: Callable[[str, float], None], *, guarded: bool) -> None:
        """PPO in chunks, the best state kept; where ``guarded``, a chunk that violates is undone."""
        best, state = self.validate(), self.state()
        self._note(best, kept=True)
        if guarded and steps > 0:
            self._learn_values(min(self.ppo.chunk, steps))
        while self.steps < steps:
            chunk = min(self.ppo.chunk, steps - self.steps)
            bar(f"PPO, best so far {_say(best)}", self.steps / steps)
            before = self.model.num_timesteps
            self.model.learn(chunk, reset_num_timesteps=False)
            self.steps += self.model.num_timesteps - before
            found = self.validate()
            better = _rank(found, self.reference) > _rank(best, self.reference)
            self._note(found, kept=better)
            if better:
                best, state = found, self.state()
            elif guarded and found.violations.sum() > best.violations.sum():
                self.restore(state)
        self.restore(state)

    def _learn_values(self, steps: int) -> None:
        """One chunk in which only the value function learns: PPO on a value function that knows nothing would ruin an
        imitated policy at once."""
        policy = self.model.policy
        actor = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters(), policy.log_std]
        for parameter in actor:
            parameter.requires_grad_(False)
        self.model.learn(steps, reset_num_timesteps=False)
        for parameter in actor:
            parameter.requires_grad_(True)

    def validate(self) -> QuickScore:
        """Validation episodes of every scenario, on seeds of their own."""
        return quick(self.plant, self, *pairs(self.plant, self.validation, VALIDATION_SEED))

    def state(self) -> dict[str, Any]:
        """The policy's weights, copied."""
        return {name: value.detach().clone() for name, value in self.model.policy.state_dict().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put weights back."""
        self.model.policy.load_state_dict(state)

    def _note(self, score: QuickScore, *, kept: bool) -> None:
        returns = {name: float(r.mean()) for name, r in score.by_scenario(score.returns).items()}
        self.log.append(
            {
                "steps": self.steps,
                "violations": int(score.violations.sum()),
                "returns": returns,
                "kept": kept,
                "gain": _rank(score, self.reference)[1],
            }
        )

    def save(self, out: Path) -> None:
        """Write the checkpoint and how it was made."""
        self.venv.training = False
        self.model.save(out / "policy.zip")
        self.venv.save(str(out / "vecnormalize.pkl"))
        score = quick(self.plant, self, *pairs(self.plant, self.validation, REPORT_SEED))
        record = {
            "command": shlex.join(["gate5", *sys.argv[1:]]),
            "plant": self.plant.name,
            "seed": self.seed,
            "steps": self.steps,
            "ppo": {**asdict(self.ppo), "hidden": list(self.ppo.hidden)},
            "imitation": self.imitation,
            "log": self.log,
            "held_out": {
                "first_seed": REPORT_SEED,
                "episodes": self.validation,
                "violations": {n: int(v.sum()) for n, v in score.by_scenario(score.violations).items()},
                "returns": {n: float(r.mean()) for n, r in score.by_scenario(score.returns).items()},
                "smallest_margins": worst_margins(self.plant, score),
            },
            "versions": {
                "python": platform.python_version(),
                **{n: importlib.metadata.version(n) for n in ("stable-baselines3", "torch", "numpy", "gymnasium")},
            },
        }
        write_atomically(out / "train.json", _json.dumps(record))


def _rank(score: QuickScore, reference: Mapping[str, float]) -> tuple[float, float]:
    """Fewer violations first, then the gain over the reference return: the mean over scenarios and the worst one."""
    gains = [
        float(returns.mean()) / reference[name] - 1.0 for name, returns in score.by_scenario(score.returns).items()
    ]
    return -float(score.violations.sum()), float(np.mean(gains)) + min(gains)


def _say(score: QuickScore) -> str:
    return f"{int(score.violations.sum())} violations, mean return {score.returns.mean():.1f}"


@contextlib.contextmanager
def _bar(show: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar that is told what is done and the share of it."""
    if not show:
        yield lambda text, share: None
        return
    from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

    with tqdm(total=100, unit="%", bar_format="{desc} |{bar}| {percentage:3.0f} % {elapsed}") as line:

        def say(text: str, share: float) -> None:
            line.set_description_str(text)
            line.n = round(100 * share)
            line.refresh()

        yield say
