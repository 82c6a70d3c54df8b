"""``train``: from a plant to a checkpoint (policy.zip, vecnormalize.pkl, train.json)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from gate5.config import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.control.pid import PIDBaseline
from gate5.errors import ConfigError
from gate5.plant.base import Plant
from gate5.train.imitation import ImitationConfig
from gate5.train.polish import PolishConfig
from gate5.train.run import Run
from gate5.train.settings import FROM_NOTHING, PPOConfig


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
    polish: PolishConfig | None = None,
    validation_episodes: int = 16,
    report_episodes: int = 200,
) -> Path:
    """Train a policy and write it as a checkpoint.

    The plant's baseline is imitated first (DAgger); PPO then improves on it in small steps. After every chunk of PPO
    the policy drives validation episodes of every scenario; the best one so far is kept: fewest violations first, then
    the largest gain over the baseline. A chunk that violates is undone. An evolution strategy on the output layer then
    takes what PPO's noise leaves (see ``gate5.train.polish``). Without imitation there is PPO alone.

    Args:
        plant: what to train on; it must be able to mix scenarios in a batch.
        out: the folder that policy.zip, vecnormalize.pkl and train.json are written to.
        steps: environment steps of PPO; 0: none.
        seed: of the weights, the exploration and the scenarios drawn.
        imitation: start from the baseline rather than from random weights.
        progress: show a progress bar.
        device: torch's.
        baseline, ppo, imitate, polish, validation_episodes, report_episodes: how, in detail.

    Returns:
        ``out``.

    Raises:
        ConfigError: imitation is asked for and there is no baseline.
        PlantError: the plant cannot mix scenarios in one batch.
    """
    run = Run(plant, seed, ppo or (PPOConfig() if imitation else FROM_NOTHING), device, validation_episodes)
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
        search = polish or PolishConfig()
        if imitation and search.generations > 0:
            run.polish(search, bar)
    out.mkdir(parents=True, exist_ok=True)
    run.save(out, report_episodes)
    return out


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
