"""The commands of a plant's computer beside ``pull``: run."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from gate5.cli.results import Outcome
from gate5.errors import ConfigError
from gate5.io.excerpt import visible


def add_run(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gate5 run``."""
    parser.add_argument("dest", metavar="DIR", help="the folder that `gate5 pull` filled")
    parser.add_argument("--config", metavar="FILE", help="of the run (docs/at-the-plant.md); default: all defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, mode=shadow")
    parser.add_argument("--trust", action="append", default=[], metavar="KEY.pub", help="beside those of the file")
    parser.add_argument("--binding", metavar="KIND", help="simulator, socket or opcua; default: the file's")
    parser.add_argument("--speed", type=float, default=1.0, help="of the simulator's clock; inf: without a pause")
    parser.add_argument("--periods", type=int, metavar="N", help="stop after so many")
    orders = parser.add_mutually_exclusive_group()
    orders.add_argument("--hand-over", metavar="WHY", help="tell the running one: the baseline is to drive")
    orders.add_argument("--give-back", metavar="WHY", help="tell the running one: the policy may drive again")


def add_flight(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gate5 flight``."""
    parser.add_argument("file", metavar="FILE", help="flight-*.mcap of a plant's folder")
    parser.add_argument("--out", metavar="PAGE.html", help="default: FILE with .html")
    parser.add_argument("--last", type=float, metavar="MINUTES", help="only the end of it")


def flight(arguments: argparse.Namespace) -> tuple[Outcome, int]:
    """``gate5 flight``: a page of what the flight recorder kept."""
    from gate5.edge.runtime.record.reader import read_flight
    from gate5.io.files import write_atomically
    from gate5.report.flight import render

    source = Path(arguments.file).absolute()
    if arguments.last is not None and not arguments.last > 0:
        raise ConfigError(f"--last {arguments.last:g} must be above 0 minutes.")
    found = read_flight(source)
    target = Path(arguments.out).absolute() if arguments.out else source.with_suffix(".html")
    if not target.parent.is_dir():
        raise ConfigError(f"--out {target}: there is no folder {target.parent}; make it first.")
    write_atomically(target, render(found, arguments.last).encode())
    return Page(str(target), len(found.periods), found.hello.release, found.whole), 0


class Page:
    """A page that was written."""

    def __init__(self, path: str, periods: int, release: str, whole: bool) -> None:
        self.path, self.periods, self.release, self.whole = path, periods, release, whole

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def line(self) -> str:
        """For a person."""
        end = "" if self.whole else "; the file was not closed"
        return f"{self.path}: {self.periods} periods of {self.release}{end}"


def run(arguments: argparse.Namespace) -> tuple[Outcome, int]:
    """``gate5 run``: control until the plant ends or a signal says stop."""
    from gate5.config.run import RunConfig
    from gate5.edge.runtime.orders import Order, send
    from gate5.edge.runtime.session import Session

    root = Path(arguments.dest).absolute()
    if arguments.hand_over is not None or arguments.give_back is not None:
        away = arguments.hand_over is not None
        order = Order("hand_over", arguments.hand_over) if away else Order("give_back", arguments.give_back)
        send(root, order)
        return Told(order.kind, order.text), 0
    overrides = dict(_override(text) for text in arguments.set)
    if arguments.binding:
        overrides["binding.kind"] = arguments.binding
    config = RunConfig.load(arguments.config, overrides)
    trust = [*config.trust, *(os.path.abspath(path) for path in arguments.trust)]
    config = config.model_copy(update={"trust": trust})
    simulated = config.binding.kind == "simulator"
    if not arguments.speed > 0 or (arguments.speed != 1.0 and not simulated):
        raise ConfigError(f"--speed {arguments.speed:g} is for the simulator and above 0: a real plant has its own.")
    asked: list[int] = []
    before = {s: signal.signal(s, lambda number, _: asked.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        with Session(root, config, _say) as session:
            if simulated:
                session.wait_for_engine()
            speed = math.inf if arguments.speed == math.inf else arguments.speed
            result = session.run(speed=speed, periods=arguments.periods, stop=lambda: bool(asked))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return result, 0


class Told:
    """An order that was given."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text

    def to_dict(self) -> dict[str, Any]:
        return {"order": self.kind, "text": self.text}

    def line(self) -> str:
        """For a person."""
        return f"told the running supervisor: {self.kind.replace('_', ' ')} ({self.text})."


def _override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {text!r} is not KEY=VALUE, such as --set mode=shadow.")
    return key, yaml.safe_load(value)


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
