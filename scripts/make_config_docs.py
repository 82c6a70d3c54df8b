#!/usr/bin/env python3
"""Write docs/configuration.md and config/release.yaml from the pydantic models of include/gate5/config/.

python scripts/make_config_docs.py          writes both
python scripts/make_config_docs.py --check  exit code 1 where one of them is not up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gate5.config.gate import RuleConfig
from gate5.config.models import ReleaseConfig
from gate5.config.text import model_in

ROOT = Path(__file__).resolve().parents[1]
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "pattern": "matches"}
#: Sections that there are any number of, each with a name of its own, and what a reader finds of them in the docs.
BY_NAME = {"channels": "what can be demanded", "other_gpus": "what each says"}
INTRODUCTION = """\
# Configuration

*Made by `python scripts/make_config_docs.py` from `include/gate5/config/`; do not edit.*

One YAML file says everything about a release. `config/release.yaml` holds every default; each key may be left out. An
unknown key, a key that is there twice, a wrong type or a value out of range ends with exit code 2 and a sentence that
names the key, the value and what would be right. Relative paths start at `$GATE5_HOME`, else at the current folder. The
configuration is frozen into the workspace when a run starts: editing the file changes later runs only.
"""
YAML_HEAD = """\
# The default configuration of a release. Every key may be left out; docs/configuration.md lists types and ranges.
# Made by `python scripts/make_config_docs.py` from include/gate5/config/.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = 0
    for path, text in ((ROOT / "docs/configuration.md", document()), (ROOT / "config/release.yaml", default_file())):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale += 1
            print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
            if not check:
                path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def document() -> str:
    """docs/configuration.md."""
    parts = [INTRODUCTION]
    for name, field in ReleaseConfig.model_fields.items():
        parts += _section(f"{name}.NAME" if name in BY_NAME else name, _model(field))
    parts += _section("gate.rules[]", RuleConfig)
    parts += ["### The default rules\n", *_default_rules()]
    return "\n".join(parts)


def default_file() -> str:
    """config/release.yaml."""
    lines = [YAML_HEAD]
    for name, field in ReleaseConfig.model_fields.items():
        model = _model(field)
        if name in BY_NAME:
            lines += [
                f"# {_summary(model)}",
                f"{name}: {{}}  # by name: docs/configuration.md lists {BY_NAME[name]}",
                "",
            ]
            continue
        lines += [f"# {_summary(model)}", f"{name}:", *_values(model, model(), "  "), ""]
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield f"{_summary(model)}\n"
    rows = [(f"{name}.{key}" if "[]" not in name else key, field) for key, field in model.model_fields.items()]
    nested = [(key, inner) for key, field in rows if (inner := model_in(field.annotation)) and inner is not RuleConfig]
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, field in rows:
        if key not in dict(nested):
            yield f"| `{key}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
    yield ""
    for key, inner in nested:
        yield from _section(key, inner)


def _values(model: type[BaseModel], value: BaseModel, indent: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        inner, current = model_in(field.annotation), getattr(value, key)
        if inner is RuleConfig:
            yield f"{indent}# {field.description}"
            yield f"{indent}{key}:"
            for rule in current:
                yield from _rule(rule, indent + "  ")
        elif isinstance(current, BaseModel):
            yield f"{indent}# {field.description}"
            yield f"{indent}{key}:"
            yield from _values(type(current), current, indent + "  ")
        else:
            yield f"{indent}{key}: {_yaml(current)}  # {field.description}"


#: What a rule need not say.
_DEFAULTS: tuple[tuple[str, Any], ...] = (("veto", True), ("by_scenario", {}))


def _rule(rule: RuleConfig, indent: str) -> Iterator[str]:
    plain = {key: value for key, value in rule.model_dump(mode="json").items() if (key, value) not in _DEFAULTS}
    for index, (key, value) in enumerate(plain.items()):
        yield f"{indent}{'- ' if index == 0 else '  '}{key}: {_yaml(value)}"


_VETO: dict[bool | str, str] = {True: "yes", False: "advisory", "unattended": "in runs that nobody starts by hand"}


def _default_rules() -> Iterator[str]:
    yield "| rule | holds where | veto | why |\n|---|---|---|---|"
    for rule in ReleaseConfig().gate.rules:
        holds = f"`{rule.metric} {rule.op} {rule.threshold:g}`" if not isinstance(rule.threshold, str) else None
        holds = holds or f"`{rule.metric} {rule.op} gate.{rule.threshold}`"
        yield f"| {rule.name} | {holds} | {_VETO[rule.veto]} | {_cell(rule.why)} |"
    yield ""


def _model(field: FieldInfo) -> type[BaseModel]:
    model = model_in(field.annotation)
    assert model is not None, "every top-level key is a section"
    return model


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split()).replace("``", "`")


def _type(field: FieldInfo) -> str:
    schemas = [item.json_schema or {} for item in field.metadata if isinstance(item, WithJsonSchema)]
    choices = next((schema["enum"] for schema in schemas if "enum" in schema), None)
    text = " or ".join(f"`{choice}`" for choice in choices) if choices else _named(field.annotation)
    limits = [
        f"{SIGNS[name]} {_cell(str(getattr(item, name)))}"
        for item in field.metadata
        for name in SIGNS
        if getattr(item, name, None) is not None
    ]
    return f"{text}, {', '.join(limits)}" if limits else text


def _named(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "null"
    if origin is Literal:
        return " or ".join(f"`{_cell(str(value))}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_named(part) for part in inner)
    if origin is tuple:
        return f"list of {_named(inner[0])}"
    if origin is dict:
        return "mapping"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", RuleConfig: "rules (below)"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, tuple):
        return "below"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        words = bool(value) and all(c.isalnum() or c in "_./*-" for c in value) and value[0].isalpha()
        return value if words and yaml.safe_load(value) == value else json.dumps(value)
    if isinstance(value, float):
        return f"{value:.10g}" if value == 0 or value >= 1e-3 else f"{value:.1e}".replace("e-0", "e-")
    return json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
