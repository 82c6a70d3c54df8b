"""``Run``: a model in training, its normaliser, and what it was judged on the way."""

from __future__ import annotations

import importlib.metadata
import io
import pickle
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from gate5.control.closed_loop import QuickScore, pairs, quick, worst_margins
from gate5.control.gains import Gains
from gate5.control.pid import PIDBaseline
from gate5.control.randomised import randomised
from gate5.control.search import Search
from gate5.io import canonical
from gate5.io.files import write_atomically
from gate5.plant.base import Controller, Float32, Plant
from gate5.seeds import seeds_of
from gate5.train.ascent import AscentConfig, ascend
from gate5.train.construct import ramps_of, write_into
from gate5.train.gradient import GradientAscent, GradientConfig
from gate5.train.half import HalfConfig, bear_half
from gate5.train.imitation import Demonstrations, ImitationConfig, demonstrate, fit, scale_of
from gate5.train.polish import PolishConfig, polish
from gate5.train.resume import restore_search, search_state
from gate5.train.settings import BUFFERS, REPORT_SEED, VALIDATION_SEED, PPOConfig
from gate5.train.vec_env import Curriculum, Shaping, mixed, plant_vec_env

SAVE_EVERY = 5  # generations of the search
HALF = "half precision"


class Run:
    """The model, its normaliser and the best state seen so far."""

    def __init__(self, plant: Plant, seed: int, ppo: PPOConfig, device: str, validation: int) -> None:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import VecNormalize

        self.plant, self.seed, self.ppo, self.validation = plant, seed, ppo, validation
        mixed(plant)
        self.disturbed = randomised(plant)  # what every episode of training and validation is driven on
        self.shaping = Shaping(plant.constraints, BUFFERS, ppo.cost_weight)
        self.curriculum = Curriculum(plant, seed, seeds_of("training", seed).start)
        venv = plant_vec_env(self.disturbed, self.curriculum, ppo.envs, self.shaping)
        self.venv: Any = VecNormalize(venv, gamma=ppo.gamma)
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
        self.polishing: dict[str, Any] | None = None
        self.ascent: dict[str, Any] | None = None
        self.ascending: list[float] = []  # the values of the ascent's iterations so far
        self.gradient: dict[str, Any] | None = None
        self.half: dict[str, Any] | None = None
        self.climbing: list[float] = []  # the values of the gradient's iterations so far
        self.moments: dict[str, Any] | None = None  # Adam's, while the gradient is followed
        self.expert: PIDBaseline | None = None
        self.steps = 0
        self.best: dict[str, Any] | None = None  # the best weights so far; None before PPO
        self.searching: dict[str, Any] | None = None  # the search over the output layer, where it is under way
        self.asked: str | None = None
        self.resumed_at: list[int] = []
        self.reference = {name: float(scenario.steps) for name, scenario in plant.scenarios.items()}

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        """The deterministic policy on raw observations, so that a ``_Run`` is a ``Controller``."""
        action, _ = self.model.predict(self.venv.normalize_obs(obs), deterministic=True)
        return np.asarray(action, dtype=np.float32), None

    def compare_with(self, controller: PIDBaseline) -> None:
        """Take the baseline's returns on the validation episodes as the reference that gains are measured from."""
        self.expert = controller
        score = quick(self.disturbed, controller, *pairs(self.plant, self.validation, VALIDATION_SEED))
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

    def construct(self, gains: Gains, config: ImitationConfig) -> None:
        """Begin with loops without memory, written into the weights; they drive once, for the size of their ramps."""
        space, actions = self.plant.observation_space, self.plant.action_space
        ramps = ramps_of(gains, space, actions, self.plant.errors, self.plant.rates)  # type: ignore[attr-defined]
        data = Demonstrations()
        loops = PIDBaseline(gains, space.names, actions.low, actions.high, actions.names)
        demonstrate(self.disturbed, loops, None, config, 0, data)
        write_into(self.model, self.venv, ramps, data.arrays()[0])
        self.imitation = {"constructed": True, "ramps": len(ramps.direction), "samples": len(data.arrays()[0])}

    def imitate(self, expert: PIDBaseline, config: ImitationConfig, bar: Callable[[str, float], None]) -> None:
        """DAgger: the expert drives once, then the student, corrected by the expert."""
        data = Demonstrations()
        error = 0.0
        for round_ in range(config.rounds):
            bar(f"imitation, round {round_ + 1} of {config.rounds}", round_ / config.rounds)
            demonstrate(self.disturbed, expert, None if round_ == 0 else self, config, round_, data)
            if round_ == 0:
                self.freeze_scale(data.arrays()[0])
            last = round_ == config.rounds - 1
            epochs = config.final_epochs if last else config.epochs
            error = fit(self.model, self.venv.normalize_obs, data, config, epochs, config.learning_rate)
        self.imitation = {**asdict(config), "samples": len(data.arrays()[0]), "rmse": error}

    def improve(
        self, steps: int, bar: Callable[[str, float], None], *, guarded: bool, save: Callable[[Run], None]
    ) -> None:
        """PPO in chunks, the best state kept; where ``guarded``, a chunk that violates is undone.

        ``save`` is called after every chunk. Where ``self.best`` is known, an earlier training is gone on with.
        """
        if self.best is None:
            best, state = self._begin(steps, guarded)
            self.best = state
            save(self)
        else:
            best, state = self._validate_state(self.best), self.best
        while self.steps < steps:
            chunk = min(self.ppo.chunk, steps - self.steps)
            bar(f"PPO, best so far {_say(best)}", self.steps / steps)
            before = self.model.num_timesteps
            self.model.learn(chunk, reset_num_timesteps=False)
            self.steps += self.model.num_timesteps - before
            found = self.validate()
            better = rank(found, self.reference) > rank(best, self.reference)
            self._note(found, kept=better)
            if better:
                best, state = found, self.state()
                self.best = state
            elif guarded and found.violations.sum() > best.violations.sum():
                self.restore(state)
            save(self)
        self.restore(state)

    def _begin(self, steps: int, guarded: bool) -> tuple[QuickScore, dict[str, Any]]:
        best, state = self.validate(), self.state()
        self._note(best, kept=True)
        if guarded and steps > 0:
            self._learn_values(min(self.ppo.chunk, steps))
        return best, state

    def _validate_state(self, state: dict[str, Any]) -> QuickScore:
        present = self.state()
        self.restore(state)
        score = self.validate()
        self.restore(present)
        return score

    def polish(self, config: PolishConfig, bar: Callable[[str, float], None], save: Callable[[Run], None]) -> None:
        """Search over the output layer; kept if the validation episodes agree that it is better.

        ``save`` is called after every few generations. Where ``self.searching`` is known, that search is gone on with.
        """
        before, state = self.validate(), self.state()
        found = self.searching or {"values": [], "search": None}
        values: list[float] = found["values"]

        def say(generation: int, value: float) -> None:
            values.append(value)
            bar(f"output layer, gain {value:.3f} %", generation / config.generations)

        def keep(search: Search) -> None:
            if len(values) % SAVE_EVERY == 0:
                self.searching = {"values": values, "search": search_state(search)}
                save(self)

        def begin(search: Search) -> int:
            if found["search"] is not None:
                restore_search(search, found["search"])
            return len(values)

        polish(
            self.disturbed,
            self.model.policy,
            self.venv.normalize_obs,
            self.expert,
            self.shaping,
            config,
            say,
            begin,
            keep,
        )
        self.searching = None
        after = self.validate()
        better = rank(after, self.reference) > rank(before, self.reference)
        self._note(after, kept=better, by="search")
        if not better:
            self.restore(state)
        self.polishing = {**asdict(config), "values": values}

    def ascend(self, config: AscentConfig, bar: Callable[[str, float], None], save: Callable[[Run], None]) -> None:
        """Ascend on the output layer; the last of its validations that is better than all before is kept.

        ``save`` is called after every iteration; a training that is gone on with ascends the iterations that are left,
        which may be more or fewer than were asked for at first.
        """
        done, judge = len(self.ascending), self._judging("ascent", going_on=bool(self.ascending))

        def keep(iteration: int, value: float) -> None:
            self.ascending.append(value)
            judge()
            bar(f"ascent, worth {value:.3f} %", iteration / config.iterations)
            save(self)

        left = replace(config, iterations=config.iterations - done)
        if left.iterations > 0:
            ascend(self.disturbed, self.model.policy, self.venv.normalize_obs, self.expert, self.shaping, left, keep)
        self.restore(self.best or self.state())
        self.ascent = {**asdict(config), "values": self.ascending}

    def follow_gradient(
        self, config: GradientConfig, bar: Callable[[str, float], None], save: Callable[[Run], None]
    ) -> None:
        """Move all weights along gradients through the plant; the best of its validations is kept.

        ``save`` is called after every validation; a training that is gone on with goes on from the last one.
        """
        judge = self._judging("gradient", going_on=bool(self.climbing))
        ascent = GradientAscent(self.disturbed, self.model.policy, self.venv, self.expert, self.shaping, config)
        if self.moments is not None:
            ascent.optimiser.load_state_dict(self.moments)
        for iteration in range(len(self.climbing), config.iterations):
            value = ascent.iterate(iteration)
            self.climbing.append(value)
            bar(f"gradient through the plant, worth {value:.3f} %", iteration / config.iterations)
            if (iteration + 1) % config.validate == 0 or iteration + 1 == config.iterations:
                judge()
                self.moments = ascent.optimiser.state_dict()
                save(self)
        self.moments = None
        self.restore(self.best or self.state())
        self.gradient = {**asdict(config), "values": self.climbing}

    def bear_half(self, config: HalfConfig, bar: Callable[[str, float], None], save: Callable[[Run], None]) -> None:
        """Weights of which half precision takes little; kept unless they break limits that the policy kept."""
        if not config.steps or self.half is not None:
            return
        bar("weights that half precision hardly changes", 0.0)
        before, state = self.validate(), self.state()
        found = bear_half(self.disturbed, self.plant.observation_space, self.model.policy, self.venv, config)
        after = self.validate()
        kept = bool(after.violations.sum() <= before.violations.sum())
        self._note(after, kept=kept, by=HALF)
        self.half = {**asdict(config), **found}
        if not kept:
            self.restore(state)
        self.best = self.state()
        save(self)

    def _judging(self, by: str, *, going_on: bool) -> Callable[[], None]:
        """What validates the policy as it is, notes it, and keeps it if it is better than all before."""
        if going_on and self.best is not None:
            best = self._validate_state(self.best)
        else:
            best, self.best = self.validate(), self.state()
        if not self.log:
            self._note(best, kept=True)

        def judge() -> None:
            nonlocal best
            found = self.validate()
            better = rank(found, self.reference) > rank(best, self.reference)
            self._note(found, kept=better, by=by)
            if better:
                best, self.best = found, self.state()

        return judge

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
        return quick(self.disturbed, self, *pairs(self.plant, self.validation, VALIDATION_SEED))

    def state(self) -> dict[str, Any]:
        """The policy's weights, copied."""
        return {name: value.detach().clone() for name, value in self.model.policy.state_dict().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put weights back."""
        self.model.policy.load_state_dict(state)

    def _note(self, score: QuickScore, *, kept: bool, by: str = "PPO") -> None:
        returns = {name: float(r.mean()) for name, r in score.by_scenario(score.returns).items()}
        self.log.append(
            {
                "steps": self.steps,
                "by": by,
                "violations": int(score.violations.sum()),
                "returns": returns,
                "kept": kept,
                "gain": rank(score, self.reference)[1],
            }
        )

    def save(self, out: Path, episodes: int) -> None:
        """Write the checkpoint and how it was made, with ``episodes`` of each scenario on seeds of their own."""
        self.venv.training = False
        archive = io.BytesIO()
        self.model.save(archive)
        write_atomically(out / "policy.zip", archive.getvalue())
        write_atomically(out / "vecnormalize.pkl", pickle.dumps(self.venv))
        record = {
            "command": shlex.join(["gate5", *sys.argv[1:]]),
            "plant": self.plant.name,
            "seed": self.seed,
            "steps": self.steps,
            "asked": self.asked,
            "resumed_at": self.resumed_at,
            "ppo": {**asdict(self.ppo), "hidden": list(self.ppo.hidden)},
            "imitation": self.imitation,
            "gradient": self.gradient,
            "half": self.half,
            "ascent": self.ascent,
            "polish": self.polishing,
            "log": self.log,
            "held_out": {
                "first_seed": REPORT_SEED,
                "episodes": episodes,
                "policy": self._judge(self, episodes),
                "baseline": None if self.expert is None else self._judge(self.expert, episodes),
            },
            "versions": {
                "python": platform.python_version(),
                **{n: importlib.metadata.version(n) for n in ("stable-baselines3", "torch", "numpy", "gymnasium")},
            },
        }
        write_atomically(out / "train.json", canonical.dumps(record))

    def _judge(self, controller: Controller, episodes: int) -> dict[str, Any]:
        score = quick(self.plant, controller, *pairs(self.plant, episodes, REPORT_SEED))
        violations, returns = score.by_scenario(score.violations), score.by_scenario(score.returns)
        margins = worst_margins(self.plant, score)
        return {
            name: {
                "return_mean": float(returns[name].mean()),
                "violations": int(violations[name].sum()),
                "violating_episodes": int((violations[name] > 0).sum()),
                "smallest_margins": {c: canonical.number(m) for c, m in margins[name].items()},
            }
            for name in returns
        }


def rank(score: QuickScore, reference: Mapping[str, float]) -> tuple[float, float]:
    """Fewer violations first, then the gain over the reference return: the mean over scenarios and the worst one.

    Gains are in percent of the size of the reference return, whose sign may be either.
    """
    gains = [
        (float(returns.mean()) - reference[name]) / max(abs(reference[name]), 1e-9)
        for name, returns in score.by_scenario(score.returns).items()
    ]
    return -float(score.violations.sum()), float(np.mean(gains)) + min(gains)


def _say(score: QuickScore) -> str:
    return f"{int(score.violations.sum())} violations, mean return {score.returns.mean():.1f}"
