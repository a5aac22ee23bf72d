"""From values to typed objects and back."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pytest
import yaml
from omegaconf import OmegaConf

from recsys_cli.config import catalog, ranges
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import ORIGIN, SPACE, build, build_as, load, schema_of, to_plain
from recsys_cli.config.types import convert, describe

WITH_TARGET = [path for path in sorted(conf_dir().rglob("*.yaml")) if catalog.target(path)]
OPTIONS = [path for path in WITH_TARGET if path.parent != conf_dir()]


@dataclass
class Inner:
    size: int
    kind: Literal["a", "b"]


@dataclass
class Outer:
    rate: float
    inner: Inner
    maybe: Inner | None
    widths: list[int]
    label: str | None

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise ConfigError(f"x.rate={self.rate} must be at most 1")


VALUES: dict[str, Any] = {"rate": 0.5, "inner": {"size": 3, "kind": "a"}, "maybe": None, "widths": [1, 2], "label": "l"}


def _with(**changed: Any) -> dict[str, Any]:
    return {**VALUES, **changed}


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_every_option_builds_and_turns_back_into_its_values(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    built = load(path.parent.name, path.stem)
    plain = to_plain(built)
    assert build(yaml.safe_load(yaml.safe_dump(plain)), path.parent.name) == built


@pytest.mark.parametrize("path", WITH_TARGET, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_yaml_and_dataclass_have_the_same_keys_and_only_the_yaml_has_defaults(path: Path) -> None:
    schema = schema_of(catalog.target(path))
    groups = {default.group for default in catalog.defaults(path) if not catalog.holds_presets(default.group)}
    values: dict[str, Any] = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, catalog.lineage(path))))
    for aside in (ORIGIN, SPACE):  # in the yaml for its comments, read before or beside the schema
        if aside not in [field.name for field in dataclasses.fields(schema)]:
            values.pop(aside, None)
    _assert_same_keys(values, schema, groups)


def _assert_same_keys(values: dict[str, Any], schema: type, groups: set[str]) -> None:
    fields = {field.name: field for field in dataclasses.fields(schema) if field.init}
    assert (set(values) | groups) - {"_target_", "defaults"} == set(fields)
    assert [name for name, field in fields.items() if field.default is not dataclasses.MISSING] == []
    for name, hint in get_type_hints(schema).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(values.get(name), dict):
            _assert_same_keys(values[name], hint, set())


def test_nested_values_become_nested_objects() -> None:
    built = build_as(Outer, _with(rate=1, maybe={"size": 1e3, "kind": "b"}), "x")
    assert built == Outer(1.0, Inner(3, "a"), Inner(1000, "b"), [1, 2], "l")
    assert isinstance(built.rate, float)
    assert isinstance(built.maybe.size, int)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (_with(rat=1), "x.rat is unknown. Did you mean 'x.rate'?"),
        (_with(inner={"sise": 3, "kind": "a"}), "x.inner.sise is unknown. Did you mean 'x.inner.size'?"),
        (_with(inner={"size": "big", "kind": "a"}), "x.inner.size=big: an integer is expected"),
        (_with(inner={"size": 3}), "x.inner.kind is required: set x.inner.kind=<value>"),
        (_with(inner={"size": 3, "kind": "c"}), "x.inner.kind=c: one of a, b is expected"),
        (_with(inner=None), "x.inner=null: it is a group of keys, set one of them as x.inner.<key>=<value>"),
        (_with(maybe=4), "x.maybe=4: it is a group of keys, set one of them as x.maybe.<key>=<value>"),
        (_with(widths=[1, None]), "x.widths=[1,null]: a list of integers is expected"),
        (_with(widths=3), "x.widths=3: a list of integers is expected"),
        (_with(label="???"), "x.label is required: set x.label=<value>"),
        (_with(rate=2), "x.rate=2.0 must be at most 1"),
    ],
)
def test_wrong_values_are_named_in_full(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_as(Outer, values, "x")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, float, 3.0),
        ("1e-3", float, 0.001),  # yaml 1.1 reads this as a text
        (1e6, int, 1_000_000),
        (3, float | int, 3),
        (3, int | str, 3),
        (None, int | None, None),
        ("off", bool, False),
        (True, Literal["auto", "true"], "true"),  # a word that yaml reads as a truth value
        (["a"], list[Literal["a", "b"]], ["a"]),
        ([1, 2.0], tuple[float, ...], (1.0, 2.0)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        (12345678901234567890, str, "12345678901234567890"),  # a run id of digits only
        ({"any": [1]}, Any, {"any": [1]}),
        # texts, as from an environment variable
        ("3", int, 3),
        ("1e3", int, 1000),
        ("12345678901234567890", int, 12345678901234567890),
        ("4", int | None, 4),
        ("null", int | None, None),
        ("null", str | None, None),
        ("12", int | list[int], 12),
        ("[5, 20]", int | list[int], [5, 20]),
        ("[0.1,1e-3]", tuple[float, ...], (0.1, 0.001)),
        ("[[1], [2]]", list[list[int]], [[1], [2]]),
        (["1", "x"], tuple[int, str], (1, "x")),
        ("{a: 1}", dict[str, float], {"a": 1.0}),
        ("true", bool, True),
        ("007", str, "007"),
    ],
)
def test_values_that_fit(value: Any, hint: Any, expected: Any) -> None:
    converted = convert(value, hint, "x")
    assert (converted, type(converted)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (1.5, int, "an integer"),
        (True, int, "an integer"),
        ("", int, "an integer"),
        ("3.5", int, "an integer"),
        ("2(x3)", int, "an integer"),  # as SLURM_JOB_CPUS_PER_NODE may be
        ("", int | None, "an integer or null"),
        ("a: b: c", list[int], "a list of integers"),
        (True, float, "a number"),
        (float("nan"), float, "a number"),
        (1, bool, "true or false"),
        (None, str, "a text"),
        ([1], str | None, "a text or null"),
        ("c", Literal["a", "b"] | None, "one of a, b or null"),
        ([1, 2, 3], tuple[int, int], "a list of 2 integers"),
        ([[1], ["a"]], list[list[int]], "a list of lists of integers"),
        (["a"], list[float], "a list of numbers"),
        (3, dict[str, float], "keys with values, {key: value}"),
    ],
)
def test_values_that_do_not_fit_are_told_in_plain_words(value: Any, hint: Any, words: str) -> None:
    assert describe(hint) == words
    with pytest.raises(ConfigError, match=r"^x="):
        convert(value, hint, "x")


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (0, ranges.Count, "must be at least 1"),
        (10**10, ranges.Count | None, "must be at most 1,000,000,000"),
        (10**400, ranges.Count, "must be at most 1,000,000,000"),
        (-1, ranges.Seed, "must be from 0 to 4,294,967,295"),
        (float("inf"), float, "must be finite"),
        (float("-inf"), ranges.Positive | None, "must be finite and above 0"),
        (0, ranges.Positive, "must be above 0"),
        (1.5, ranges.Fraction, "must be from 0 to 1"),
        (0, ranges.PositiveFraction, "must be above 0 and at most 1"),
        (1, Annotated[float, ranges.Between(0, 1, below=True)], "must be at least 0 and below 1"),
        (float("inf"), ranges.LogWeight, "must be below infinity"),
        (1e13, ranges.LogWeight, "must be at most 1,000,000,000,000"),
        (1e13, ranges.Positive, "must be at most 1,000,000,000,000"),
        (-1e13, ranges.Signed, "must be at least -1,000,000,000,000"),
        (1e30, ranges.LearningRate, "must be at most 100"),
        (" ", ranges.Text | None, "must not be empty"),
        ([], ranges.Widths, "must not be empty"),
        ([8, 0], ranges.Widths, "must be at least 1"),
        ([[1.0], [float("inf")]], list[list[float]], "must be finite"),
        ([1, -1], tuple[float, ranges.NonNegative], "must be at least 0"),
        ({"a": 0}, dict[str, ranges.Count], "must be at least 1"),
        (0, Literal["auto"] | ranges.Count, "must be at least 1"),
    ],
)
def test_values_outside_their_range_are_told(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(value, hint, "x")
    assert str(caught.value).startswith("x") and str(caught.value).endswith(f" {message}")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (None, ranges.Count | None),
        (float("-inf"), ranges.LogWeight),
        (4_294_967_295, ranges.Seed),
        (0.5, Annotated[float, ranges.Above(0, 0.5)]),
        ("auto", Literal["auto"] | ranges.Count),
        ([1, 20], ranges.Count | ranges.Widths),
    ],
)
def test_values_within_their_range_pass(value: Any, hint: Any) -> None:
    assert convert(value, hint, "x") == value


@pytest.mark.parametrize("target", ["os.system", "recsys_cli_evil.X", "builtins.eval", 3, "recsys_cli"])
def test_only_classes_of_this_package_are_followed(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"must name a class under 'recsys_cli.'"):
        build({"_target_": target}, "env")


@pytest.mark.parametrize("target", ["recsys_cli.config.schema.Nothing", "recsys_cli.nothing.X"])
def test_a_class_that_is_gone_is_told(target: str) -> None:
    with pytest.raises(ConfigError, match="there is no such class in this version"):
        build({"_target_": target}, "env")


@pytest.mark.parametrize("target", ["recsys_cli.config.structured.build", "recsys_cli.config.errors.ConfigError"])
def test_what_is_no_dataclass_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="is not a dataclass"):
        build({"_target_": target}, "env")


def test_a_module_that_fails_for_want_of_a_dependency_is_a_bug_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)  # importing it raises ModuleNotFoundError
    monkeypatch.setattr("importlib.import_module", lambda name: __import__("yaml"))
    with pytest.raises(ModuleNotFoundError, match="yaml"):
        schema_of("recsys_cli.config.schema.TrainConfig")


def test_load_replaces_keys() -> None:
    assert load("env", "interest_evolution", num_candidates=50).num_candidates == 50
    with pytest.raises(ConfigError, match=r"env.num_candidate is unknown"):
        load("env", "interest_evolution", num_candidate=50)
