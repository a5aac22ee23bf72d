"""Every private part of Ray that we use is named, and is there in the release that we pin."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from functools import cache

import pytest
import ray

import recsys_cli
from recsys_cli.runs.ray_private import HOOKS, RELEASE


def test_they_were_checked_against_the_release_that_is_installed() -> None:
    assert ray.__version__.startswith(f"{RELEASE}."), "read what each hook does in this release, then set RELEASE"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_is_there(hook: str) -> None:
    module_name, _, path = hook.partition(":")
    owner, _, name = path.rpartition(".")
    module = importlib.import_module(module_name)
    found = getattr(module, owner) if owner else module
    assert hasattr(found, name) or name in assigned(found), f"Ray {ray.__version__} has no {hook}: {HOOKS[hook]}"


def test_no_class_of_ours_uses_another_one() -> None:
    named = {hook.rpartition(".")[2] for hook in HOOKS}
    used = {f"{cls.__module__}.{cls.__qualname__}.{name}" for cls in classes_on_ray() for name in private_names(cls)}
    assert len(used) > 20
    assert {use for use in used if use.rpartition(".")[2] not in named} == set()


def test_no_other_module_goes_below_ray() -> None:
    private = f"ray.{'_private'}"
    package = importlib.resources.files("recsys_cli")
    found = {path.name for path in package.rglob("*.py") if private in path.read_text()}
    assert found == {"local_ray.py", "ray_private.py"}


def classes_on_ray() -> Iterator[type]:
    """Yield our classes that have one of Ray's among their bases."""
    for info in pkgutil.walk_packages(recsys_cli.__path__, "recsys_cli."):
        if info.name.endswith("__main__"):
            continue
        for cls in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(cls) and cls.__module__ == info.name and any(map(is_rays, cls.__mro__)):
                yield cls


def is_rays(cls: type) -> bool:
    return cls.__module__.startswith("ray.")


def private_names(cls: type) -> set[str]:
    """Return the private names that a class or its mixins define or use, and that are Ray's."""
    rays = {name for base in cls.__mro__ if is_rays(base) for name in (*vars(base), *assigned(base))}
    ours = [base for base in cls.__mro__ if base.__module__.startswith("recsys_cli.")]
    names = {name for base in ours for name in (*vars(base), *mentioned(base))}
    return {name for name in names & rays if name.startswith("_") and not name.startswith("__") and name != "_abc_impl"}


@cache
def mentioned(cls: type) -> frozenset[str]:
    """Return the attributes that a class's source mentions."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


@cache
def assigned(cls: type) -> frozenset[str]:
    """Return the attributes that a class's source assigns to `self`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return frozenset()
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return frozenset(node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == "self")
