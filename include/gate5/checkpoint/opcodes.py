"""What a pickle would do, read from its operations before anything is made of it.

A pickle is a program: of a few bytes it makes a memo of gigabytes, or a tuple of tuples of which a table asks the hash,
for which all 2^40 parts are visited. What is counted here is refused before the program runs.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO, Any

LIMIT_OPERATIONS = 100_000
_LIMIT_PARTS = 100_000
_LIMIT_DEPTH = 100
_Weight = tuple[int, int]  # parts and depth of a tuple; of anything else nothing asks for the hash of its parts
_ONE: _Weight = (1, 0)


def scan(stream: bytes | IO[bytes]) -> set[str]:
    """Go through one pickle; the names (``module name``) that it looks up by ``GLOBAL`` or ``INST``.

    Args:
        stream: left behind the pickle's end.

    Raises:
        pickle.UnpicklingError: it is too long, asks for too much, or pops what it never pushed.
        Exception: whatever ``pickletools`` raises of a damaged one.
    """
    names: set[str] = set()
    stack: list[_Weight] = []
    marks: list[int] = []
    memo: dict[int, _Weight] = {}
    for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if number >= LIMIT_OPERATIONS:
            raise pickle.UnpicklingError(f"more than {LIMIT_OPERATIONS} operations")
        name = operation.name
        # the memo is an array: a place of 2^31 makes it gigabytes long
        if name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) < LIMIT_OPERATIONS:
            raise pickle.UnpicklingError(f"a memo of {argument} places")
        if name in ("GLOBAL", "INST"):
            names.add(str(argument))
        try:
            _step(name, operation, argument, stack, marks, memo)
        except (IndexError, KeyError):
            raise pickle.UnpicklingError(f"operation {number} takes what is not there") from None
    return names


def _step(
    name: str, operation: Any, argument: Any, stack: list[_Weight], marks: list[int], memo: dict[int, _Weight]
) -> None:
    """Do to the stack of weights what the operation does to that of values."""
    if name == "MARK":
        marks.append(len(stack))
    elif name == "DUP":
        stack.append(stack[-1])
    elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[int(argument)])
    elif name == "POP" and marks and marks[-1] == len(stack):
        marks.pop()
    else:
        taken = _taken(operation, stack, marks)
        made = _together(taken) if name.startswith("TUPLE") or name == "FROZENSET" else _ONE
        stack += [made] * len(operation.stack_after)


def _taken(operation: Any, stack: list[_Weight], marks: list[int]) -> list[_Weight]:
    before = operation.stack_before
    start = len(stack)
    below = len(before)
    if pickletools.markobject in before:
        start = marks.pop()
        below = before.index(pickletools.markobject)
    start -= below
    if start < 0 or (marks and start < marks[-1]):
        raise IndexError
    taken = stack[start:]
    del stack[start:]
    return taken


def _together(parts: list[_Weight]) -> _Weight:
    weight = 1 + sum(part for part, _ in parts)
    depth = 1 + max((deep for _, deep in parts), default=0)
    if weight > _LIMIT_PARTS or depth > _LIMIT_DEPTH:
        raise pickle.UnpicklingError(f"a tuple of more than {_LIMIT_PARTS} parts or {_LIMIT_DEPTH} in one another")
    return weight, depth
