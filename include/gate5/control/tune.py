"""``python -m gate5.control.tune``: step tests, then the joint optimisation of all loops over all scenarios.

Reads a structure (which loops, which feedforward; the numbers in it are where the search starts), writes gains, and a
record of three scores on seeds that neither the search nor an evaluation uses: the naive tuning (each loop by itself
after a step test), the structure as given, and the result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gate5.config.candidate import PlantConfig
from gate5.control.climb import climb
from gate5.control.closed_loop import QuickScore, pairs, quick, worst_margins
from gate5.control.gains import Gains, parse_gains, read_gains
from gate5.control.identify import identify, naive
from gate5.control.pid import PIDBaseline
from gate5.control.population import Population
from gate5.control.randomised import randomised
from gate5.control.search import Search
from gate5.io import canonical
from gate5.io.files import write_atomically
from gate5.plant.base import Float64, Plant
from gate5.seeds import seeds_of

# Distance from a limit, in its unit, below which the search pays: a tuning that grazes a limit is not a good one.
# The compressor inlet has more: few episodes do not see the rare ramps that come closest to its ends.
BUFFERS = {"compressor_inlet": 0.35, "C": 0.2, "MPa": 0.05, "MW": 0.3, "C/min": 0.4, "1": 0.03}


class Tunable:
    """The numbers of a set of gains as a vector: zero is the structure itself, one is a typical change.

    Gains and time constants move by factors (``exp(0.25 x)``), biases and feedforward by 0.05 of the action's unit,
    constant set-points by 0.5 %. What is zero in the structure and is a gain stays zero: the loops are given.

    Args:
        gains: the structure.
        only: what moves: names of numbers (``setpoint``) or of channels (``coolant_valve``); empty: all.
    """

    def __init__(self, gains: Gains, only: Sequence[str] = ()) -> None:
        self.plain: dict[str, Any] = gains.model_dump(mode="json")
        self._entries: list[tuple[Any, Any, str]] = []
        for channel in self.plain["channels"]:
            before = len(self._entries)
            self._entries.append((channel, "bias", "add"))
            for table in channel["feedforward"]:
                self._entries += [(point, 1, "add") for point in table["points"]]
            for loop in channel["loops"]:
                names = ("kp", "ki", "kd", "tracking_s")
                self._entries += [(loop, name, "factor") for name in names if loop[name] != 0.0]
                if not isinstance(loop["setpoint"], str):
                    self._entries.append((loop, "setpoint", "share"))
            if only and channel["action"] not in only:
                self._entries[before:] = [entry for entry in self._entries[before:] if entry[1] in only]
        self._start = [holder[key] for holder, key, _ in self._entries]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self._entries)

    def at(self, x: Float64) -> Gains:
        """The gains at a vector."""
        for (holder, key, kind), start, value in zip(self._entries, self._start, x.tolist(), strict=True):
            if kind == "factor":
                holder[key] = start * float(np.exp(0.25 * value))
            else:
                holder[key] = start + value * (0.05 if kind == "add" else 0.005 * abs(start))
        return parse_gains(self.plain)


def worth(plant: Plant, score: QuickScore) -> float:
    """Mean over scenarios of the reward per step, in hundredths, less the price of violations and thin margins."""
    reward = [float(r.mean()) / plant.scenarios[n].steps for n, r in score.by_scenario(score.returns).items()]
    violating = [float((v > 0).mean()) for v in score.by_scenario(score.violations).values()]
    thin = 0.0
    for margins in worst_margins(plant, score).values():
        for constraint in plant.constraints:
            if constraint.name in margins:
                buffer = BUFFERS.get(constraint.name, BUFFERS.get(constraint.unit, 0.0)) or 1e-9
                thin += float(np.clip(1.0 - margins[constraint.name] / buffer, 0.0, 3.0)) ** 2
    return 100.0 * float(np.mean(reward)) - 20.0 * float(np.mean(violating)) - 0.3 * thin


def tune(
    plant: Any,
    start: Gains,
    *,
    iterations: int,
    episodes: int,
    seed: int,
    only: Sequence[str] = (),
    hardest: tuple[int, int] = (0, 0),
) -> Gains:
    """The end of one ascent (``climb``); all candidates are judged on the same seeds."""
    tunable = Tunable(start, only)
    names, seeds = pairs(plant, episodes, seeds_of("tuning", seed).start)
    more_names, more_seeds = hard(plant, start, *hardest, seeds_of("tuning", seed).start + episodes)
    names, seeds = names + more_names, seeds + more_seeds

    def values(points: Float64) -> Float64:
        return evaluate(plant, [tunable.at(x) for x in points], names, seeds)

    def say(iteration: int, value: float, x: Float64) -> None:
        _say(f"iteration {iteration}/{iterations}: {value:.4f}")

    return tunable.at(climb(values, tunable.size, iterations=iterations, say=say))


def hard(plant: Any, gains: Gains, count: int, among: int, first: int) -> tuple[list[str], list[int]]:
    """The ``count`` episodes of each scenario, of ``among``, that come closest to a limit, in units of its buffer."""
    if not count:
        return [], []
    names, seeds = pairs(plant, among, first)
    score = quick(randomised(plant), _controller(plant, gains), names, seeds)
    buffers = np.array([BUFFERS.get(c.name, BUFFERS.get(c.unit, 0.0)) or 1e-9 for c in plant.constraints])
    closest = score.by_scenario((score.margins / buffers[:, None]).min(axis=0))
    found = [(name, first + int(i)) for name, m in closest.items() for i in np.argsort(m, kind="stable")[:count]]
    return [name for name, _ in found], [seed for _, seed in found]


def search(plant: Any, start: Gains, *, generations: int, population: int, episodes: int, seed: int) -> Gains:
    """The best candidate of an evolution strategy: another way to look for what an ascent left."""
    tunable = Tunable(start)
    strategy = Search(tunable.size, sigma=0.25, population=population, seed=seed)
    names, seeds = pairs(plant, episodes, seeds_of("tuning", seed).start)
    best, best_value = start, evaluate(plant, [start], names, seeds)[0]
    for generation in range(generations):
        candidates = [tunable.at(x) for x in strategy.ask()] + [tunable.at(strategy.mean)]
        values = evaluate(plant, candidates, names, seeds)
        top = int(np.argmax(values))
        if values[top] > best_value:
            best, best_value = candidates[top], float(values[top])
        strategy.tell(values[:-1])
        _say(f"generation {generation + 1}/{generations}: best {best_value:.4f}, mean {values[-1]:.4f}")
    return best


def better(
    plant: Any, before: Gains, after: Gains, episodes: int = 24, hardest: tuple[int, int] = (0, 0)
) -> tuple[bool, dict[str, float]]:
    """Whether gains are worth more on the checking seeds, which no tuning uses, and by how much in each scenario.

    Returns:
        The answer, and the gain in hundredths of the reward per step.
    """
    names, seeds = pairs(plant, episodes, seeds_of("tuning", 99).start)
    old, new = (quick(plant, _controller(plant, g), names, seeds) for g in (before, after))
    returns = zip(old.by_scenario(old.returns).items(), new.by_scenario(new.returns).values(), strict=True)
    gained = {name: 100.0 * float((b - a).mean()) / plant.scenarios[name].steps for (name, a), b in returns}
    more_names, more_seeds = hard(plant, before, *hardest, seeds_of("tuning", 99).start + episodes)
    values = evaluate(plant, [before, after], names + more_names, seeds + more_seeds)
    return bool(values[1] > values[0]), gained


def tune_until(
    plant: Any, start: Gains, rounds: int, target: float, keep: Callable[[Gains], None], *,
    iterations: int, generations: int, population: int, episodes: int, first: int = 0,
    only: Sequence[str] = (), hardest: tuple[int, int] = (0, 0),
) -> tuple[Gains, list[dict[str, Any]]]:  # fmt: skip
    """Ascents, each from the best before it and on new seeds, and after each a fresh search, until that gains less
    than ``target`` in every scenario.

    A result is kept where it is better on the checking seeds.

    Args:
        first: number of the first ascent's seeds.
        iterations, generations: of an ascent and a search; 0: none.
        only: what an ascent moves (``Tunable``).
        hardest: episodes that an ascent and the check after it see besides the others (``hard``): how many, and of
            how many.

    Returns:
        The gains, and what each ascent and search gained (``better``).
    """
    best = start
    history: list[dict[str, Any]] = []
    for round_ in range(first, first + rounds):
        for kind in ("ascent", "search"):
            if kind == "ascent" and iterations:
                found = tune(plant, best, iterations=iterations, episodes=episodes, seed=round_, only=only,
                             hardest=hardest)  # fmt: skip
            elif kind == "search" and generations:
                found = search(plant, best, generations=generations, population=population, episodes=episodes,
                               seed=50 + round_)  # fmt: skip
            else:
                continue
            kept, gained = better(plant, best, found, hardest=hardest)
            history.append({"kind": kind, "round": round_, "kept": kept, "gained": gained})
            best = found if kept else best
            keep(best)
            _say(f"{kind} {round_}: {'kept' if kept else 'not kept'}, gained {gained}")
        if generations and max(history[-1]["gained"].values()) < target:
            break
    return best, history


def evaluate(plant: Any, candidates: Sequence[Gains], names: list[str], seeds: list[int]) -> Float64:
    """The worth of each candidate, all driven in one batch, behind what is expected to go wrong."""
    n = len(seeds)
    whole = quick(randomised(plant), Population(plant, candidates), names * len(candidates), seeds * len(candidates))
    return np.array([worth(plant, whole.part(slice(i * n, (i + 1) * n))) for i in range(len(candidates))])


def summary(plant: Any, gains: Gains, episodes: int) -> dict[str, Any]:
    """What a set of gains does on the reporting seeds, by scenario."""
    score = quick(plant, _controller(plant, gains), *pairs(plant, episodes, seeds_of("report").start))
    margins = worst_margins(plant, score)
    violations, returns = score.by_scenario(score.violations), score.by_scenario(score.returns)
    rows = {
        name: {
            "reward_per_step": float(returns[name].mean()) / plant.scenarios[name].steps,
            "return_mean": float(returns[name].mean()),
            "violations": int(violations[name].sum()),
            "violating_episodes": int((violations[name] > 0).sum()),
            "smallest_margins": {c: canonical.number(m) for c, m in margins[name].items()},
        }
        for name in returns
    }
    return {"objective": worth(plant, score), "scenarios": rows}


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    names = list(record["scores"])
    first = record["first_report_seed"]
    lines = [
        "# PID tuning", "",
        f"Made by `{record['command']}`.", "", *_made(record["commands"]),
        f"Mean return over {record['report_episodes']} episodes of each scenario (seeds from {first}), and how many of",
        "them broke a constraint. `naive`: each loop by itself with SIMC gains from its step test; `structure`: all",
        "loops and feedforward terms with the numbers that the search starts from; `tuned`: its result.", "",
        "| scenario | " + " | ".join(f"{n} | violating" for n in names) + " |",
        "|---|" + "---:|---:|" * len(names),
    ]  # fmt: skip
    for scenario in record["scores"][names[0]]["scenarios"]:
        rows = [record["scores"][n]["scenarios"][scenario] for n in names]
        cells = " | ".join(f"{r['return_mean']:.2f} | {r['violating_episodes']}" for r in rows)
        lines.append(f"| {scenario} | {cells} |")
    lines += _searches(record["searches"])
    lines += ["", "| step test | gain | delay (s) | lag (s) |", "|---|---:|---:|---:|"]
    lines += [
        f"| {m['channel']} to {m['measurement']} | {m['gain']:.3g} | {m['delay_s']:.1f} | {m['lag_s']:.1f} |"
        for m in record["models"]
    ]
    return "\n".join(lines) + "\n"


def _made(commands: Sequence[str]) -> list[str]:
    """How the gains themselves were made."""
    return ["The gains were made by, one after the other:", "", *(f"- `{c}`" for c in commands), ""] if commands else []


def _searches(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each ascent and search gained, in percent of what the rated power earns."""
    if not history:
        return []
    names = list(history[0]["gained"])
    rows = [[f"{row['gained'][name]:+.3f}" for name in names] for row in history]
    return [
        "", "What each ascent (BFGS) and each fresh search (evolution strategy) gained, hundredths of the reward per",
        "step, on checking seeds that neither used:", "",
        "| | " + " | ".join(names) + " | kept |", "|---|" + "---:|" * len(names) + "---|",
        *(f"| {row['kind']} {row['round']} | " + " | ".join(cells) + f" | {'yes' if row['kept'] else 'no'} |"
          for row, cells in zip(history, rows, strict=True)),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    from gate5.plant.registry import open_plant

    parser = argparse.ArgumentParser(prog="python -m gate5.control.tune", description=__doc__)
    parser.add_argument("structure", type=Path, help="JSON: the loops, and where the search starts")
    parser.add_argument("out", type=Path, help="JSON: the gains")
    parser.add_argument("--record", type=Path, help="JSON: models of the step tests and the scores")
    parser.add_argument("--plant", default="sco2")
    parser.add_argument("--scenario", default="steady_state", help="the calm scenario for the step tests")
    parser.add_argument("--start", type=Path, help="JSON: gains to go on from, in place of the structure's numbers")
    parser.add_argument("--rounds", type=int, default=4, help="ascents, and a search after each, at most")
    parser.add_argument("--first", type=int, default=0, help="number of the first round, for seeds of its own")
    parser.add_argument("--target", type=float, default=0.02, help="stop where a search gains less in every scenario")
    parser.add_argument("--iterations", type=int, default=40, help="of one ascent; 0: none")
    parser.add_argument("--generations", type=int, default=50, help="of one search; 0: none")
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--episodes", type=int, default=6, help="of each scenario, per candidate")
    parser.add_argument("--only", nargs="*", default=(), help="what ascents move: kp, setpoint, coolant_valve")
    parser.add_argument("--hardest", nargs=2, type=int, default=(0, 0), metavar=("N", "OF"),
                        help="the N episodes of OF that come closest to a limit, besides the others")  # fmt: skip
    parser.add_argument("--report-episodes", type=int, default=200)
    options = parser.parse_args(arguments)
    plant = open_plant(PlantConfig(id=options.plant))
    structure = read_gains(options.structure)
    models = identify(plant, structure, options.scenario, seeds_of("tuning", 98).start)
    command = "python -m gate5.control.tune " + " ".join(sys.argv[1:] if arguments is None else arguments)
    start = read_gains(options.start) if options.start else structure
    before = list(start.about.get("commands", [])) if options.start else []
    about = {"commands": [*before, command] if options.rounds else before}

    def keep(gains: Gains) -> None:
        write_atomically(options.out, canonical.dumps({**gains.model_dump(mode="json"), "about": about}))

    best, history = tune_until(
        plant, start, options.rounds, options.target, keep, first=options.first, iterations=options.iterations,
        generations=options.generations, population=options.population, episodes=options.episodes,
        only=options.only, hardest=tuple(options.hardest),
    )  # fmt: skip
    tunings = {"naive": naive(structure, models), "structure": structure, "tuned": best}
    scores = {name: summary(plant, gains, options.report_episodes) for name, gains in tunings.items()}
    if options.record is not None:
        record = {
            "command": command, "commands": about["commands"], "models": [m.to_dict() for m in models],
            "report_episodes": options.report_episodes, "searches": history,
            "first_report_seed": seeds_of("report").start, "scores": scores,
        }  # fmt: skip
        write_atomically(options.record, canonical.dumps(record))
        write_atomically(options.record.with_suffix(".md"), table(record).encode())
    for name, score in scores.items():
        broken = sum(row["violating_episodes"] for row in score["scenarios"].values())
        _say(f"{name}: objective {score['objective']:.4f}, episodes that violate {broken}")


def _controller(plant: Plant, gains: Gains) -> PIDBaseline:
    space, actions = plant.observation_space, plant.action_space
    return PIDBaseline(gains, space.names, actions.low, actions.high, actions.names)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
