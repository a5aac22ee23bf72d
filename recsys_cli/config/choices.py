"""The values that a key may take, read from the source of its dataclass.

Completion needs them at once, and importing the dataclass could take seconds. So the source file is parsed:
`Literal[...]`, `bool`, and dataclasses of the same module nested in one another.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from recsys_cli.config import catalog, folders


def choices(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the values to choose from of every key of a yaml that has such: `{"network.kind": ("mlp", ...)}`."""
    module, _, name = catalog.target(path).rpartition(".")
    return _of_class(_definitions(module), name, "")


def _definitions(module: str) -> dict[str, ast.AST]:
    """Return the classes and the assigned names of a module of this package or of the user's own."""
    if not module.startswith("recsys_cli."):
        source = folders.module_file(module)
    else:
        path = Path(__file__).resolve().parents[2].joinpath(*module.split("."))
        source = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    return _parsed(source) if source else {}


@cache
def _parsed(source: Path) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    try:
        body = ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError):  # the user's own; told when it is imported
        return found
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.name: node for alias in node.names}
    return found


def _of_class(names: dict[str, ast.AST], name: str, at: str) -> dict[str, tuple[str, ...]]:
    node = names.get(name)
    if isinstance(node, ast.ImportFrom):
        return _of_class(_definitions(node.module or ""), name, at)
    if not isinstance(node, ast.ClassDef):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= _of_class(names, base.id, at)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            key = at + line.target.id
            if values := _of_annotation(names, line.annotation):
                found[key] = values
            elif isinstance(line.annotation, ast.Name):
                found |= _of_class(names, line.annotation.id, f"{key}.")
    return found


def _of_annotation(names: dict[str, ast.AST], hint: ast.AST) -> tuple[str, ...]:
    if isinstance(hint, ast.BinOp):  # X | None
        return _of_annotation(names, hint.left) + _of_annotation(names, hint.right)
    if isinstance(hint, ast.Constant) and hint.value is None:
        return ("null",)
    if isinstance(hint, ast.Name):
        meant = names.get(hint.id)
        return ("true", "false") if hint.id == "bool" else _of_annotation(names, meant) if meant is not None else ()
    if isinstance(hint, ast.Subscript) and isinstance(hint.value, ast.Name) and hint.value.id == "Literal":
        listed = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        return tuple(str(item.value) for item in listed if isinstance(item, ast.Constant))
    return ()
