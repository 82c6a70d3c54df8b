"""Run in a process of its own, with a TensorRT binding on PYTHONPATH: does it have everything that our source uses?

    python tensorrt_surface.py FOLDER     prints {"version": …, "uses": […], "problems": […]} as JSON

It walks the source of FOLDER. Every ``trt.…`` and every attribute of a variable that is called after a TensorRT class
(``VARIABLES``) is a use; a call's arguments are held against the binding's own signature. A name that this version
lacks is a problem unless it stands behind ``has(trt, "Class.NAME")``.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder has tests called tensorrt and tensorrt_rtx
trt: Any
for _name in ("tensorrt_bindings", "tensorrt", "tensorrt_rtx"):
    try:
        trt = importlib.import_module(_name)
        break
    except ImportError:
        continue

VARIABLES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "tensor": "ITensor",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "cache": "ITimingCache",
    "problem": "ParserError",
    "validity": "EngineValidity",
}


def resolve(path: str) -> Any:
    found: Any = trt
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def path_of(node: ast.AST) -> str | None:
    """``Class.name`` for ``trt.Class.name``, ``config.name`` and ``self._config.name``; ``None`` for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or not names:
        return None
    names.append(node.id)
    names.reverse()
    if names[0] == "trt":
        return ".".join(names[1:])
    if names[0] == "self":
        names = [names[1].lstrip("_"), *names[2:]]
    if names[0] in VARIABLES and len(names) > 1:
        return ".".join([VARIABLES[names[0]], *names[1:2]])
    return None


def guards_in(test: ast.AST) -> set[str]:
    """The paths that have to be there for ``test`` to be true."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return set().union(*(guards_in(value) for value in test.values))
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "has":
        return {str(test.args[1].value)} if isinstance(test.args[1], ast.Constant) else set()
    return set()


class Walker(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self.file, self.guarded = file, set[str]()
        self.uses: list[str] = []
        self.problems: list[str] = []

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.within(guards_in(node.test), node.body)
        self.within(set(), node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.within(guards_in(node), list(node.values))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before = set(self.guarded)
        for statement in node.body:
            self.visit(statement)
            if isinstance(statement, ast.If) and isinstance(statement.body[-1], (ast.Return, ast.Raise)):
                test = statement.test
                if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                    self.guarded |= guards_in(test.operand)
        self.guarded = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            owner = path_of(base)
            if owner is not None and resolve(owner) is not None:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name != "__init__":
                        self.override(owner, method)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = path_of(node)
        if path is not None:
            self.use(path, node)
        elif isinstance(node.value, ast.Call) and path_of(node.value.func) is not None:
            self.complain(node, f"{ast.unparse(node)}: give the result a name of VARIABLES, so that it can be checked")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        path = path_of(node.func)
        direct = path is not None and isinstance(node.func, ast.Attribute) and path.endswith(node.func.attr)
        if path is not None and direct and resolve(path) is not None:
            self.arguments(path, node)
        self.generic_visit(node)

    def within(self, guards: set[str], nodes: list[Any]) -> None:
        before = set(self.guarded)
        self.guarded |= guards
        for node in nodes:
            self.visit(node)
        self.guarded = before

    def use(self, path: str, node: ast.AST) -> None:
        self.uses.append(path)
        missing = resolve(path) is None
        behind = any(path == guard or path.startswith(guard + ".") for guard in self.guarded)
        if missing and not behind:
            self.complain(node, f"{path} does not exist in TensorRT {trt.__version__} and has no guard")

    def arguments(self, path: str, node: ast.Call) -> None:
        found = resolve(path)
        if isinstance(found, property):
            self.complain(node, f"{path} is a property, not a method")
            return
        target = getattr(found, "__init__") if isinstance(found, type) else found  # noqa: B009
        signatures = signatures_of(target)
        if signatures and not any(fits(parameters, node) for parameters in signatures):
            self.complain(node, f"{ast.unparse(node)}: {path} takes {signatures}")

    def override(self, owner: str, method: ast.FunctionDef) -> None:
        self.uses.append(f"{owner}.{method.name}")
        original = resolve(f"{owner}.{method.name}")
        if original is None:
            self.complain(method, f"{owner} has no {method.name} to override")
            return
        names = [argument.arg for argument in method.args.args][1:]
        if names not in [[name for name, _ in parameters] for parameters in signatures_of(original)]:
            self.complain(method, f"{owner}.{method.name} takes {signatures_of(original)}, overridden with {names}")

    def complain(self, node: Any, text: str) -> None:
        self.problems.append(f"{self.file}:{node.lineno}: {text}")


def signatures_of(function: Any) -> list[list[tuple[str, bool]]]:
    """Per overload: (name, has a default) of every parameter but self, from pybind11's docstring."""
    found = []
    for line in (function.__doc__ or "").splitlines():
        match = re.match(r"(?:\d+\. )?\w+\((self: .*)\) ->", line.strip())
        if match:
            parts = split(match.group(1))[1:]
            found.append([(part.split(":")[0].strip(), "=" in part) for part in parts])
    return found


def split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def fits(parameters: list[tuple[str, bool]], node: ast.Call) -> bool:
    names = [name for name, _ in parameters]
    if names and names[-1].startswith("**"):
        return True
    given = names[: len(node.args)] + [str(keyword.arg) for keyword in node.keywords]
    # ``Base.__init__(self)`` passes self itself
    count = len(node.args) - (bool(node.args) and isinstance(node.args[0], ast.Name) and node.args[0].id == "self")
    required = [name for name, default in parameters if not default]
    return count <= len(names) and set(given) <= set(names) and set(required) <= set(given)


def main(folder: Path) -> dict[str, Any]:
    uses: list[str] = []
    problems: list[str] = []
    for file in sorted(folder.rglob("*.py")):
        walker = Walker(file.name)
        walker.visit(ast.parse(file.read_text(encoding="utf-8")))
        uses += walker.uses
        problems += walker.problems
    return {"version": trt.__version__, "uses": sorted(set(uses)), "problems": problems}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
