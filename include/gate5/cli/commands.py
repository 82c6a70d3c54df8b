"""The commands of ``gate5``: each a name, a help text, its arguments, and what it calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gate5.cli import holds, plant, promote, prove, rebuild, show
from gate5.cli.results import Judged, NewKey, Outcome, Several, Trained
from gate5.cli.settings import from_here, load_config, run_config
from gate5.config.quick import QUICK
from gate5.config.verdicts import AWAITING
from gate5.errors import ConfigError, OperationError
from gate5.io.excerpt import visible
from gate5.io.paths import resolve_path
from gate5.pipeline.results import GateResult
from gate5.workspace import contents
from gate5.workspace.artifacts import open_workspace

#: What a command gives back, and the exit code.
Done = tuple[Outcome, int]


def _nothing(parser: argparse.ArgumentParser) -> None:
    """A command without arguments of its own."""


@dataclass(frozen=True)
class Command:
    """One command; ``needs`` names the common options that it takes (``workspace``, ``config``)."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], Done]
    configure: Callable[[argparse.ArgumentParser], None] = _nothing
    needs: frozenset[str] = frozenset({"workspace", "config"})


def _resolve(arguments: argparse.Namespace) -> Done:
    from gate5.pipeline import stages

    workspace = open_workspace(from_here(arguments.workspace))
    config, source = load_config(arguments), from_here(arguments.checkpoint)
    return stages.resolve(workspace, config, source, unattended=arguments.unattended), 0


def _stage(stage: contents.Stage) -> Callable[[argparse.Namespace], Done]:
    def run(arguments: argparse.Namespace) -> Done:
        from gate5.pipeline import line

        workspace = open_workspace(from_here(arguments.workspace))
        config = run_config(workspace, arguments)
        scenario = arguments.scenario if stage.per_scenario else None
        results = line.run(stage, workspace, config, scenario)
        if not stage.per_scenario or scenario is not None:
            return results[0], 0
        return Several(results), 0

    return run


def verdict_code(result: GateResult) -> int:
    """The exit code that stands for a verdict."""
    return {"pass": 0, AWAITING: 0, "fail": 1}.get(result.verdict, 3)


def _gate(arguments: argparse.Namespace) -> Done:
    from gate5.pipeline import stages

    workspace = open_workspace(from_here(arguments.workspace))
    result = stages.gate(workspace, run_config(workspace, arguments))
    return Judged(result, stages.gate_report(workspace)), verdict_code(result)


def _release(arguments: argparse.Namespace) -> Done:
    from gate5.pipeline.release import release

    progress = None if arguments.json else _say
    result = release(
        from_here(arguments.checkpoint),
        load_config(arguments, QUICK if arguments.quick else None),
        workspace=arguments.workspace and from_here(arguments.workspace),
        **promote.approval_of(arguments),
        progress=progress,
        unattended=arguments.unattended,
    )
    return result, result.exit_code


def _say(text: str) -> None:
    print(visible(text), flush=True)


def _replay(arguments: argparse.Namespace) -> Done:
    from gate5.pipeline.replay import replay

    result = replay(Path(from_here(arguments.case)), arguments.workspace and from_here(arguments.workspace))
    return result, 0 if result.same else 1


def _history(arguments: argparse.Namespace) -> Done:
    from gate5.cli import store

    return store.history(load_config(arguments), arguments.channel, arguments.trust, arguments.verify), 0


def _keys(arguments: argparse.Namespace) -> Done:
    from gate5.cli import keys

    return keys.run(load_config(arguments), arguments), 0


def _add_keys(parser: argparse.ArgumentParser) -> None:
    from gate5.cli import keys

    keys.configure(parser)


def _rebuild(arguments: argparse.Namespace) -> Done:
    result = rebuild.run(load_config(arguments), arguments, arguments.checkpoint and from_here(arguments.checkpoint))
    return result, result.exit_code


def _show(arguments: argparse.Namespace) -> Done:
    return show.show(load_config(arguments), arguments), 0


def _diff(arguments: argparse.Namespace) -> Done:
    return show.diff(load_config(arguments), arguments), 0


def _rollback(arguments: argparse.Namespace) -> Done:
    from gate5.cli import store

    said = {"by": arguments.by, "reason": arguments.reason, "hold": not arguments.no_hold}
    return store.rollback(load_config(arguments), arguments.channel, to=arguments.to, **said), 0


def _hold(arguments: argparse.Namespace) -> Done:
    return holds.hold(load_config(arguments), arguments), 0


def _release_hold(arguments: argparse.Namespace) -> Done:
    return holds.release_hold(load_config(arguments), arguments), 0


def _gc(arguments: argparse.Namespace) -> Done:
    from gate5.cli import store

    return store.collect(load_config(arguments), arguments), 0


def _add_gc(parser: argparse.ArgumentParser) -> None:
    from gate5.cli import store

    store.add_collect(parser)


def _pull(arguments: argparse.Namespace) -> Done:
    from gate5.cli import store

    return store.pull(
        load_config(arguments),
        arguments.channel,
        Path(arguments.dest),
        arguments.trust,
        arguments.limits,
        require_proof=arguments.require_proof,
    ), 0


def _prove(arguments: argparse.Namespace) -> Done:
    result = prove.run(load_config(arguments), arguments)
    return result, result.exit_code


def _inspect(arguments: argparse.Namespace) -> Done:
    from gate5.checkpoint import fetch
    from gate5.checkpoint.inspection import inspect

    settings = load_config(arguments).checkpoint
    files = fetch(from_here(arguments.checkpoint), vecnormalize=settings.vecnormalize)
    found = inspect(files, **settings.reading())
    return found, found.exit_code


def _doctor(arguments: argparse.Namespace) -> Done:
    from gate5.cli.doctor import examine

    report = examine(load_config(arguments))
    return report, report.exit_code


def _keygen(arguments: argparse.Namespace) -> Done:
    from gate5.store import keygen

    path = Path(arguments.path) if arguments.path else resolve_path(load_config(arguments).store.signing_key)
    pair = keygen(path)
    return NewKey(pair.private, pair.public, pair.key_id), 0


def _candidate(arguments: argparse.Namespace) -> Done:
    from gate5.pipeline import announce

    return announce.announce(from_here(arguments.checkpoint), arguments.url, load_config(arguments)), 0


def _train(arguments: argparse.Namespace) -> Done:
    from gate5.plant.registry import open_plant
    from gate5.train import TrainingSettings, train
    from gate5.train.ascent import AscentConfig
    from gate5.train.gradient import GradientConfig
    from gate5.train.polish import PolishConfig

    if arguments.search < 0:
        raise ConfigError(f"--search is {arguments.search}: give the number of generations, 0 or more.")
    if arguments.gradient < 0:
        raise ConfigError(f"--gradient is {arguments.gradient}: give the number of iterations, 0 or more.")
    if arguments.ascent < 0:
        raise ConfigError(f"--ascent is {arguments.ascent}: give the number of iterations, 0 or more.")
    config = load_config(arguments)
    settings = TrainingSettings(
        arguments.steps,
        arguments.seed,
        imitation=not arguments.no_imitation,
        baseline=config.baseline,
        gradient=GradientConfig(iterations=arguments.gradient),
        ascent=AscentConfig(iterations=arguments.ascent),
        polish=PolishConfig(generations=arguments.search),
    )
    try:
        out = train(
            open_plant(config.plant),
            Path(arguments.out),
            settings,
            progress=sys.stderr.isatty() and not arguments.json,
            resume=arguments.resume,
        )
    except KeyboardInterrupt:
        raise OperationError("Interrupted; the same command with --resume goes on from the last saved state.") from None
    return Trained(str(out)), 0


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a directory, a .zip or an s3:// URI")


def _add_resolve(parser: argparse.ArgumentParser) -> None:
    _add_checkpoint(parser)
    parser.add_argument(
        "--unattended", action="store_true", help="nobody starts this by hand (cron): rules about that become vetoes"
    )


def _add_release(parser: argparse.ArgumentParser) -> None:
    _add_resolve(parser)
    parser.add_argument("--workspace", metavar="DIR", help="where the artifacts go (default: var/workspaces/cli-TIME)")
    parser.add_argument("--quick", action="store_true", help="small budgets: proves less, and says so")
    promote.add_approval(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", metavar="CASE", help="a file that `gate5 falsify` wrote: DIR/cases/SCENARIO.json")
    parser.add_argument("--workspace", metavar="DIR", help="whose engine drives (default: the one that CASE lies in)")


def _add_scenario(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", metavar="NAME", help="one scenario (default: all of them)")


def _candidates(arguments: argparse.Namespace) -> Done:
    from gate5.cli import store

    return store.candidates(load_config(arguments), arguments.limit), 0


def _add_candidates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="so many at most (default: 20)")


def _add_channel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channel", metavar="NAME", help="default: release.channel of the configuration")


def _add_history(parser: argparse.ArgumentParser) -> None:
    _add_channel(parser)
    parser.add_argument("--trust", action="append", default=[], metavar="KEY.pub", help="public key file; repeatable")
    parser.add_argument("--verify", action="store_true", help="refuse without a key; list what is no entry")


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    _add_channel(parser)
    parser.add_argument("--to", metavar="RELEASE", help="release id (default: the one before the current)")
    holds.add_who_and_why(parser)
    parser.add_argument("--no-hold", action="store_true", help="what is taken out may come back by itself")


def _add_pull(parser: argparse.ArgumentParser) -> None:
    _add_channel(parser)
    parser.add_argument("dest", metavar="DIR", help="where the releases lie; DIR/current is the running one")
    parser.add_argument(
        "--trust", action="append", required=True, metavar="KEY.pub", help="public key file; repeatable"
    )
    parser.add_argument("--limits", metavar="FILE", help="what this machine takes (pull.yaml, see docs/store.md)")
    parser.add_argument("--require-proof", action="store_true", help="only what `gate5 prove` proved on such a device")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="DIR", help="where policy.zip and vecnormalize.pkl go")
    parser.add_argument("--steps", type=int, default=2_000_000, help="environment steps (default: 2,000,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--resume", action="store_true", help="go on where this training was killed; begin where there is none"
    )
    parser.add_argument(
        "--search",
        type=int,
        default=40,
        metavar="N",
        help="generations of the last search (default: 40)",
    )
    parser.add_argument(
        "--gradient",
        type=int,
        default=0,
        metavar="N",
        help="iterations of gradients through the plant's equations, on all weights, before those (default: 0)",
    )
    parser.add_argument(
        "--ascent",
        type=int,
        default=0,
        metavar="N",
        help="iterations of the ascent on the output layer before that search (default: 0)",
    )
    parser.add_argument("--no-imitation", action="store_true", help="start from random weights, not from the baseline")


def _add_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", metavar="KEY.pem", help="default: store.signing_key of the configuration")


def _add_candidate(parser: argparse.ArgumentParser) -> None:
    _add_checkpoint(parser)
    parser.add_argument("--url", metavar="URL", help="Airflow's address (default: $AIRFLOW_URL or the local one)")


#: Stages whose command does more than to carry them out: what it calls, and its arguments.
_SPECIAL = {
    "resolve": (_resolve, _add_resolve),
    "gate": (_gate, _nothing),
    "promote": (promote.run, promote.configure),
}


CONFIG = frozenset({"config"})
NOTHING: frozenset[str] = frozenset()


def _of_stage(stage: contents.Stage) -> Command:
    ordinary = (_stage(stage), _add_scenario if stage.per_scenario else _nothing)
    run, configure = _SPECIAL.get(stage.name, ordinary)
    needs = CONFIG if stage.name == "promote" else frozenset({"workspace", "config"})  # which one is its own question
    return Command(stage.name, stage.title, run, configure, needs)


COMMANDS: tuple[Command, ...] = (
    *(_of_stage(stage) for stage in contents.STAGES if stage.command),
    Command("release", "all stages in one process", _release, _add_release, CONFIG),
    Command("replay", "drive a worst case again", _replay, _add_replay, frozenset()),
    Command("history", "a channel's releases, newest first", _history, _add_history, CONFIG),
    Command("rebuild", "make a release's graph and engine again: the same?", _rebuild, rebuild.configure, CONFIG),
    Command("candidates", "what became of each announced candidate", _candidates, _add_candidates, CONFIG),
    Command(
        "show", "what a release is, its verdict, who, when, and where it stands", _show, show.configure_show, CONFIG
    ),
    Command("diff", "what tells two releases apart", _diff, show.configure_diff, CONFIG),
    Command("rollback", "put an earlier release back", _rollback, _add_rollback, CONFIG),
    Command("hold", "keep a policy off a channel; without a NAME: what is held", _hold, holds.add_hold, CONFIG),
    Command("release-hold", "let a held policy in again", _release_hold, holds.add_release_hold, CONFIG),
    Command("gc", "list, and with --delete remove, what no channel's window names", _gc, _add_gc, CONFIG),
    Command("pull", "fetch, check and switch to a channel's release (edge)", _pull, _add_pull, CONFIG),
    Command("prove", "measure the pulled engine on this device and sign it (edge)", _prove, prove.configure, CONFIG),
    Command(
        "inspect", "what a checkpoint is, and whether and how it can be released", _inspect, _add_checkpoint, CONFIG
    ),
    Command("run", "put the pulled release in charge of a plant (edge)", plant.run, plant.add_run, NOTHING),
    Command("flight", "make a page of a flight recorder file (edge)", plant.flight, plant.add_flight, NOTHING),
    Command("doctor", "what this machine has, what it lacks and how to get it", _doctor, needs=CONFIG),
    Command("keygen", "make a signing key", _keygen, _add_keygen, CONFIG),
    Command("keys", "which keys may sign, until when and where; what a channel demands", _keys, _add_keys, CONFIG),
    Command(
        "candidate", "announce a checkpoint to Airflow, which then releases it", _candidate, _add_candidate, CONFIG
    ),
    Command("train", "train a candidate on the plant (PPO, imitation of the PID first)", _train, _add_train, CONFIG),
)
