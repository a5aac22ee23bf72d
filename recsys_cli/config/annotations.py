"""A key's allowed values and ranges, read from the source of its dataclass.

Help and completion need them at once, and importing the dataclass could take seconds. So the source files are parsed:
`Literal[...]`, `bool`, `Annotated[...]` with `ranges`, names for these, and nested dataclasses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from recsys_cli.config import catalog, folders, ranges

Names = dict[str, ast.AST]
"""What a module's names stand for: classes, assigned values, imports."""


def choices(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the allowed values of every key of a yaml that lists them: `{"network.kind": ("mlp", ...)}`."""
    return {key: values for key, names, hint in _of_yaml(path) if (values := _choices(names, hint))}


def limits(path: Path) -> dict[str, str]:
    """Return the range of every key of a yaml that has one, in words: `{"lr": "above 0"}`."""
    return {key: words for key, names, hint in _of_yaml(path) if (words := _limits(names, hint))}


def _of_yaml(path: Path) -> Iterator[tuple[str, Names, ast.AST]]:
    module, _, name = catalog.target(path).rpartition(".")
    yield from _of_class(_definitions(module), name, "")


def _definitions(module: str) -> Names:
    """Return the classes and the assigned names of a module, of this package or the user's."""
    if not module.startswith("recsys_cli."):
        source = folders.module_file(module)
    else:
        path = Path(__file__).resolve().parents[2].joinpath(*module.split("."))
        source = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    return _parsed(source) if source else {}


@cache
def _parsed(source: Path) -> Names:
    found: Names = {}
    try:
        body = ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError):  # the user's own; reported when it is imported
        return found
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.name: node for alias in node.names}
    return found


def _meant(names: Names, name: str) -> tuple[Names, ast.AST | None]:
    """Return what a name stands for, and the names of the module that defines it."""
    node = names.get(name)
    if isinstance(node, ast.ImportFrom):
        there = _definitions(node.module or "")
        return _meant(there, name) if there is not names else (names, None)
    return names, node


def _of_class(names: Names, name: str, at: str) -> Iterator[tuple[str, Names, ast.AST]]:
    """Yield key and annotation of a dataclass's fields: base classes first, nested ones dotted."""
    names, node = _meant(names, name)
    if not isinstance(node, ast.ClassDef):
        return
    for base in node.bases:
        if isinstance(base, ast.Name):
            yield from _of_class(names, base.id, at)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            key = at + line.target.id
            yield key, names, line.annotation
            if isinstance(line.annotation, ast.Name):
                yield from _of_class(names, line.annotation.id, f"{key}.")


def _choices(names: Names, hint: ast.AST | None) -> tuple[str, ...]:
    if isinstance(hint, ast.BinOp):  # X | None
        return _choices(names, hint.left) + _choices(names, hint.right)
    if isinstance(hint, ast.Constant) and hint.value is None:
        return ("null",)
    if isinstance(hint, ast.Name):
        return ("true", "false") if hint.id == "bool" else _choices(*_meant(names, hint.id))
    if _is(hint, "Literal"):
        return tuple(str(item.value) for item in _items(hint) if isinstance(item, ast.Constant))
    return ()


def _limits(names: Names, hint: ast.AST | None) -> str:
    if isinstance(hint, ast.BinOp):
        return _limits(names, hint.left) or _limits(names, hint.right)
    if isinstance(hint, ast.Name):
        return _limits(*_meant(names, hint.id))
    if _is(hint, "list"):
        words = _limits(names, _items(hint)[0])
        return words and f"each {words}"
    if _is(hint, "Annotated"):
        of, *rules = _items(hint)
        said = [_limits(names, of), *(words for rule in rules if (words := _words(rule)))]
        return " and ".join(words for words in said if words)
    return ""


def _words(rule: ast.AST) -> str:
    """Return the text of `AtLeast(1)`, empty if help need not mention it."""
    if not (isinstance(rule, ast.Call) and isinstance(rule.func, ast.Name)):
        return ""
    kind: Any = getattr(ranges, rule.func.id, None)
    if not getattr(kind, "shown", False):
        return ""
    try:
        return str(
            kind(*map(ast.literal_eval, rule.args), **{k.arg or "": ast.literal_eval(k.value) for k in rule.keywords})
        )
    except (TypeError, ValueError):
        return ""


def _is(hint: ast.AST | None, name: str) -> TypeGuard[ast.Subscript]:
    return isinstance(hint, ast.Subscript) and isinstance(hint.value, ast.Name) and hint.value.id == name


def _items(hint: ast.Subscript) -> list[ast.expr]:
    return hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
