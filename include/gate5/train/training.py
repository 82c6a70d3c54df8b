"""``train``: from a plant to a checkpoint (policy.zip, vecnormalize.pkl, train.json)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gate5.control.baseline import open_baseline
from gate5.control.memoryless import memoryless
from gate5.control.pid import PIDBaseline
from gate5.errors import ConfigError
from gate5.plant.base import Controller, Plant
from gate5.train.gradient import differentiable
from gate5.train.imitation import ImitationConfig
from gate5.train.resume import SavedTraining
from gate5.train.run import Run
from gate5.train.settings import TrainingSettings
from gate5.workspace.artifacts import Workspace, open_workspace


def train(
    plant: Plant,
    out: Path,
    settings: TrainingSettings,
    *,
    progress: bool | Callable[[str, float], None] = True,
    resume: bool = False,
    state: Workspace | None = None,
) -> Path:
    """Train a policy and write it as a checkpoint.

    The plant's baseline is imitated first (DAgger); PPO then improves on it in small steps. After every chunk of PPO
    the policy drives validation episodes of every scenario; the best one so far is kept: fewest violations first, then
    the largest gain over the baseline. A chunk that violates is undone. Where they are asked for, gradients through the
    plant then move all weights (``gate5.train.gradient``), which are made to bear half precision
    (``gate5.train.half``), and an ascent and an evolution strategy the output layer (``gate5.train.ascent``,
    ``gate5.train.polish``). Without imitation there is PPO alone.

    Args:
        plant: what to train on; it must be able to mix scenarios in a batch.
        out: the folder that policy.zip, vecnormalize.pkl and train.json are written to.
        settings: how.
        progress: show a progress bar, or what to call with what is done and the share of it.
        resume: go on where this same training was killed, and return at once where it came to its end; else a
            training that was begun in ``out`` is begun anew.
        state: where the saved state lies while the training goes on, and a copy of the results in the end; ``None``:
            ``out``.

    Returns:
        ``out``.

    Raises:
        ConfigError: imitation is asked for and there is no baseline, it is not and what begins there is, or ``resume``
            and what was begun is another training.
        CheckpointError: ``resume``, and the saved state is damaged.
        PlantError: the plant cannot mix scenarios in one batch, or gradients are asked for and it has none.
    """
    if not settings.imitation and (settings.gradient.iterations or settings.ascent.iterations):
        raise ConfigError(
            "Gradients and the ascent begin at the imitated policy: leave out --no-imitation, or both of them."
        )
    run = Run(plant, settings.seed, settings.numbers, settings.device, settings.validation_episodes)
    if settings.imitation and settings.gradient.iterations > 0:
        differentiable(run.disturbed)  # refused now, and not after the imitation
    expert = open_baseline(settings.baseline, plant) if settings.imitation else None
    if settings.imitation and not isinstance(expert, PIDBaseline):
        raise ConfigError(f"There is no PID baseline for {plant.name} to imitate: train with --no-imitation.")
    saved = SavedTraining(state or open_workspace(out.absolute()), settings.asked() | _plant_facts(plant))
    if resume and saved.done():
        return out
    run.asked = saved.asked
    with _bar(progress) as bar:
        if not (resume and saved.load(run)):
            saved.forget()
            _start(run, expert, settings.imitate, bar)
            saved.save(run)
        elif isinstance(expert, PIDBaseline):
            run.expert = expert
        run.improve(settings.steps, bar, guarded=settings.imitation, save=saved.save)
        if settings.imitation and settings.gradient.iterations > 0:
            run.follow_gradient(settings.gradient, bar, saved.save)
            run.bear_half(settings.half, bar, saved.save)
        if settings.imitation and settings.ascent.iterations > 0:
            run.ascend(settings.ascent, bar, saved.save)
        if settings.imitation and settings.polish.generations > 0:
            run.polish(settings.polish, bar, saved.save)
    out.mkdir(parents=True, exist_ok=True)
    run.save(out, settings.report_episodes)
    saved.finish(out)
    return out


def _start(run: Run, expert: Controller | None, imitate: ImitationConfig, bar: Callable[[str, float], None]) -> None:
    """Loops without memory where the plant has some, written into the weights; else the baseline, imitated."""
    integrals = getattr(run.plant, "integrals", {})
    if not isinstance(expert, PIDBaseline):
        run.measure_scale()
        return
    run.compare_with(expert)
    if not integrals:
        run.imitate(expert, imitate, bar)
    else:
        bar("loops without memory, written into the weights", 0.0)
        run.construct(memoryless(expert.gains, integrals, run.plant.observation_space), imitate)


def _plant_facts(plant: Plant) -> dict[str, Any]:
    """What makes two plants of one name different for a training."""
    return {
        "plant": plant.name,
        "spaces": [plant.observation_space.size, plant.action_space.size],
        "scenarios": {name: scenario.steps for name, scenario in plant.scenarios.items()},
        "constraints": [asdict(constraint) for constraint in plant.constraints],
    }


@contextlib.contextmanager
def _bar(show: bool | Callable[[str, float], None]) -> Iterator[Callable[[str, float], None]]:
    """A progress bar that is told what is done and the share of it."""
    if not isinstance(show, bool):
        yield show
        return
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
