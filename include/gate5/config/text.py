"""From a YAML file to plain data, and from what is wrong with it to sentences."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from gate5.errors import ConfigError

_LITERAL = "literal["


def read_yaml(path: Path) -> Any:
    """The file's data; an empty file is an empty mapping.

    Raises:
        ConfigError: it cannot be read, is not YAML, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The configuration {path} cannot be read ({error.strerror}); give another with --config, "
            "or copy config/release.yaml."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"The configuration {path} is not UTF-8 text; is it a YAML file?") from None
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that also refuses a key given twice
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"The configuration {path} is not valid YAML{where}: {getattr(error, 'problem', None) or error}."
        ) from None
    return {} if data is None else data


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where plain YAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice; keep one of them", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def override(data: Any, key: str, value: Any) -> None:
    """Put ``value`` at the dotted ``key`` of ``data``.

    Raises:
        ConfigError: the key leads through something that is not a section.
    """
    *parents, last = key.split(".")
    for name in parents:
        if not isinstance(data, dict):
            raise ConfigError(f"The override {key!r} goes through {name!r}, which is not in a section.")
        data = data.setdefault(name, {})
        if data is None:
            raise ConfigError(f"The section {name!r} is empty in the file; remove the line or give it keys.")
    if not isinstance(data, dict):
        raise ConfigError(f"The override {key!r} does not lead into a section.")
    data[last] = value


def explain(error: ValidationError, source: str, model: type[BaseModel]) -> str:
    """Every problem in one sentence: the key, the value, what would be right."""
    items = error.errors()
    deeper = [item["loc"] for item in items]
    problems: dict[str, None] = {}
    for item in items:
        location = item["loc"]
        inside = any(len(other) > len(location) and other[: len(location)] == location for other in deeper)
        if item["type"] == "too_short" and inside:
            continue  # pydantic counts only the valid items; what is wrong inside is named anyway
        problems[_problem(item, location, model)] = None
    return f"In {source}: " + "; ".join(problems) + "."


def _problem(item: Any, location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in location if not _branch(part))
    if item["type"] == "extra_forbidden":
        return _unknown_key(location, where, model)
    if any(_branch(part) for part in location):
        either = "true, false or 'unattended'" if where.endswith(".veto") else "a finite number or 'sla_p99_ms'"
        return f"{where}: it must be {either} (got {item['input']!r})"
    if item["type"] in ("model_type", "model_attributes_type"):
        what = "empty" if item["input"] is None else f"{item['input']!r}"
        return f"{where or 'the whole'} is {what}, but it is a section: give it keys, or remove the line"
    if item["type"] == "tuple_type":
        return f"{where}: it must be a list (got {item['input']!r})"
    message = item["msg"].removeprefix("Value error, ").replace("Tuple", "The list")
    value = "" if isinstance(item["input"], dict) else f" (got {item['input']!r})"
    return f"{where or 'the whole'}: {message}{value}"


def _branch(part: int | str) -> bool:
    """Whether a part of a location is not a key, but pydantic's name for one branch of ``float | Literal``."""
    return isinstance(part, str) and (part in ("float", "bool") or part.startswith(_LITERAL))


def _unknown_key(location: tuple[int | str, ...], where: str, model: type[BaseModel]) -> str:
    known = sorted(_fields_at(location[:-1], model))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the keys here are {', '.join(known)}"
    return f"unknown key {where!r}: {hint}"


def _fields_at(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    named = False
    for part in location:
        if isinstance(part, int) or named:  # the name that a section of many has, such as a channel's
            named = False
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        found, named = model_in(annotation), get_origin(annotation) is dict
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The section's class inside a field's annotation (``tuple[RuleConfig, ...]``), if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = model_in(inner)
        if found is not None:
            return found
    return None
