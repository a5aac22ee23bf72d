"""Whatever value a key is given, there is a config or a refusal in one line that names the key; never a traceback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from omegaconf import OmegaConf

from recsys_cli.config import catalog, structured
from recsys_cli.config.compose import Composer
from recsys_cli.config.errors import ConfigError

VALUES = (
    *(None, "", " ", "abc", "null", True, [], {}, [[]], ["x", None], {"a": 1}, "[", "{", "é\n"),
    *(0, -1, 10**9, 10**30, -0.5, 1e12, 1e30, -1e300, math.inf, -math.inf, math.nan, [math.inf], [10**9, 10**9]),
)
TYPED = (
    *("", "''", "null", "abc", "true", "[]", "{}", "[x,null]", "-1", "0", "1e9", "1e30", "-0.5", "inf", "-inf", "nan"),
    *("${nowhere}", "${oc.env:RECSYS_NOT_SET}", "[1e30]", "1e400", "é", ".", "../.."),
)
GROUPS = ("env", "algo", "framework", "resources", "tracking", "search")
OPTIONS = [(group, option) for group in GROUPS for option in catalog.option_names(group)]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with room, and a server's address."""
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 64)
    monkeypatch.setattr("recsys_cli.config.resources.machine_gpus", lambda: 8)
    monkeypatch.setattr("recsys_cli.config.memory.machine_memory", lambda: 10**11)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")


def leaves(values: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*at, key))
        elif key not in ("_target_", "defaults"):
            yield (*at, key)


def replaced(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = deepcopy(value)
    return changed


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_key_of_an_option_takes_or_refuses_any_value(group: str, option: str) -> None:
    merged = OmegaConf.merge(*map(OmegaConf.load, catalog.lineage(catalog.option_path(group, option))))
    values: Any = OmegaConf.to_container(merged, resolve=True)
    for aside in (structured.DEFAULTS, structured.SPACE):
        values.pop(aside, None)
    spec = structured.load("env", "interest_evolution").spec
    refusals: list[str] = []
    for path in leaves(values):
        for value in VALUES:
            try:
                built = structured.build(replaced(values, path, value), group)
                if group == "env":
                    assert built.spec.observation_bytes >= 0
                if group == "algo":
                    built.check(spec)
                    built.memory_bytes(spec)
                    built.check_steps(300_000)
                if group == "search":
                    built.check(300_000)
            except ConfigError as error:
                refusals.append(str(error))
    assert refusals and all(f"{group}." in line or f"{group}=" in line for line in refusals)
    assert not any("\n" in line for line in refusals)


@pytest.mark.parametrize("root", catalog.root_names())
def test_every_key_of_a_command_takes_or_refuses_any_typed_value(root: str) -> None:
    composer = Composer(root)
    wanted = {"serve": "http://127.0.0.1:1"} if root == "simulate" else {}
    missing = [key.name for key in catalog.keys(catalog.root_path(root)) if key.value == "???"]
    required = [f"{name}={wanted.get(name, 'x')}" for name in missing]
    together = {"import": ["mapping=x"], "ope": ["checkpoint=[x]"], "sweep": ["+search=asha"]}
    base = [*required, *together.get(root, [])]
    refusals: list[str] = []
    for path in leaves(composer(base).to_dict()):
        for typed in TYPED if path[0] not in GROUPS else ():
            try:
                composer([*base, f"{'.'.join(path)}={typed}"]).to_yaml()
            except ConfigError as error:
                refusals.append(str(error))
    assert refusals and not any("\n" in line for line in refusals)


@pytest.mark.parametrize(
    "typed", ["9" * 5000, "[" * 2000 + "]" * 2000, "x" * 5000, "'a\nb'"], ids=["digits", "brackets", "letters", "lines"]
)
def test_values_of_any_length_are_refused_in_one_line_of_some_length(typed: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Composer("train")([f"seed={typed}"])
    assert "\n" not in str(refused.value) and str(refused.value).startswith("seed=") and len(str(refused.value)) < 1600
