"""The numbers of training that are not the command's."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gate5.config.evaluation import BaselineConfig
from gate5.seeds import seeds_of
from gate5.train.ascent import AscentConfig
from gate5.train.gradient import GradientConfig
from gate5.train.half import HalfConfig
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig

# The first seeds of the episodes that choose the policy, and of those that judge it in the end.
VALIDATION_SEED, REPORT_SEED = seeds_of("validation").start, seeds_of("report").start

# Distance from a limit, by constraint or by unit, at which training's cost begins.
BUFFERS = {
    "C": 0.25,
    "MPa": 0.05,
    "MW": 0.3,
    "C/min": 0.4,
    "1": 0.03,
    "turbine_inlet_low": 6.0,
    "turbine_inlet_high": 6.0,
}


@dataclass(frozen=True)
class PPOConfig:
    """PPO's numbers; large batches, little exploration and small steps, because it starts from a policy that works."""

    envs: int = 256
    n_steps: int = 256
    batch_size: int = 8192
    n_epochs: int = 6
    learning_rate: float = 2e-4
    gamma: float = 0.99
    gae_lambda: float = 0.9
    clip_range: float = 0.1
    target_kl: float | None = 0.01
    log_std: float = -3.5
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    chunk: int = 262_144
    cost_weight: float = 0.3


# From random weights: Stable-Baselines3's usual numbers.
FROM_NOTHING = PPOConfig(
    envs=64, batch_size=2048, n_epochs=10, learning_rate=3e-4, gae_lambda=0.95, clip_range=0.2, target_kl=None,
    log_std=-0.7, activation="tanh", chunk=65_536,
)  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        steps: environment steps of PPO; 0: none.
        seed: of the weights, the exploration and the scenarios drawn.
        imitation: start from the baseline rather than from random weights.
        device: torch's.
        baseline: what is imitated.
        ppo: PPO's numbers; ``None``: those for the start that ``imitation`` says.
        imitate, gradient, half, ascent, polish: the numbers of the other steps; without imitation there are none.
        validation_episodes: of each scenario, after every chunk of PPO; they choose the policy.
        report_episodes: of each scenario, in the end; ``train.json`` tells them.
    """

    steps: int
    seed: int
    imitation: bool = True
    device: str = "cpu"
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    ppo: PPOConfig | None = None
    imitate: ImitationConfig = field(default_factory=ImitationConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    half: HalfConfig = field(default_factory=HalfConfig)
    ascent: AscentConfig = field(default_factory=AscentConfig)
    polish: PolishConfig = field(default_factory=PolishConfig)
    validation_episodes: int = 16
    report_episodes: int = 200

    @property
    def numbers(self) -> PPOConfig:
        """PPO's numbers."""
        return self.ppo or (PPOConfig() if self.imitation else FROM_NOTHING)

    def asked(self) -> dict[str, Any]:
        """What makes this training another one than a training of other settings, plain JSON types."""
        asked: dict[str, Any] = {
            "seed": self.seed,
            "steps": self.steps,
            "validation": self.validation_episodes,
            "ppo": asdict(self.numbers),
        }
        if self.imitation:
            ascent = {name: value for name, value in asdict(self.ascent).items() if name != "iterations"}
            asked |= {"imitation": asdict(self.imitate), "ascent": ascent}
            asked |= {"polish": asdict(self.polish)}
            if self.gradient.iterations:  # its steps depend on how many there are to be
                asked |= {"gradient": asdict(self.gradient), "half": asdict(self.half)}
        return asked
