"""The ``gate5`` command: every stage, a whole release in one process, and what surrounds them.

Exit codes: 0 done or gate passed, 1 gate failed (a verdict), 2 bad input, 3 something broke (no verdict).
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from gate5 import __version__
from gate5.cli.commands import COMMANDS
from gate5.cli.results import Outcome
from gate5.config.site import DEFAULT_CONFIG
from gate5.errors import Gate5Error, InputError
from gate5.io import canonical
from gate5.io.excerpt import visible


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        result: Outcome
        result, code = arguments.run(arguments)
    except Gate5Error as error:
        return _fail(arguments, str(error), error.exit_code, type(error).__name__)
    except KeyboardInterrupt:
        return _fail(arguments, "Interrupted; run the same command again to go on.", 3, "KeyboardInterrupt")
    except MemoryError:
        return _fail(arguments, "Out of memory.", 3, "MemoryError")
    except OSError as error:
        return _fail(arguments, _os_error(error), 3, type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever broke, exit 3 and say how to see it all
        if os.environ.get("GATE5_TRACEBACK"):
            traceback.print_exc()
        text = f"{type(error).__name__}: {error} (a defect in gate5; GATE5_TRACEBACK=1 shows where)."
        return _fail(arguments, text, 3, type(error).__name__)
    _say(canonical.dumps(result.to_dict()).decode() if arguments.json else visible(result.line()) + "\n")
    return int(code)


def _say(text: str) -> None:
    """Write to standard output, whose reader may want no more of it (``| head``)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What Python still holds must not be written at its end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(arguments: argparse.Namespace, text: str, code: int, kind: str) -> int:
    print(f"gate5: {visible(text)}", file=sys.stderr)
    if getattr(arguments, "json", False):
        _say(canonical.dumps({"error": text, "kind": kind, "exit_code": code}).decode())
    return code


def _os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return (
        f"{error.strerror or error}{where}: free some space or choose another place, then run the same command again."
    )


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one sentence without the usage text."""

    def error(self, message: str) -> NoReturn:
        print(f"gate5: {visible(message)}; `{self.prog} --help` lists what there is.", file=sys.stderr)
        raise SystemExit(InputError.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gate5", description="Releases reinforcement-learning control policies to plants.")
    parser.add_argument("--version", action="version", version=f"gate5 {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help)
        sub.add_argument("--json", action="store_true", help="print one JSON document")
        _common(sub, command.needs)
        command.configure(sub)
        sub.set_defaults(run=command.run)
    return parser


def _common(parser: argparse.ArgumentParser, needs: frozenset[str]) -> None:
    if "workspace" in needs:
        parser.add_argument("--workspace", required=True, metavar="DIR", help="a directory or s3://BUCKET/PREFIX")
    if "config" in needs:
        parser.add_argument("--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG})")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="override, gate.sla_p99_ms=0.5"
        )


if __name__ == "__main__":
    sys.exit(main())
