"""The quick reading of yaml files agrees with a yaml library, and every file says what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from recsys_cli.config import catalog
from recsys_cli.config.annotations import choices, limits
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import schema_of
from recsys_cli.config.types import is_union

YAMLS = sorted(conf_dir().rglob("*.yaml"))
IDS = [str(path.relative_to(conf_dir())) for path in YAMLS]


def _dotted(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if key in ("_target_", "defaults") and not at:
            continue
        yield at + key, value
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{at}{key}.")


@pytest.mark.parametrize("path", YAMLS, ids=IDS)
def test_keys_and_values_are_those_a_yaml_library_reads(path: Path) -> None:
    files = catalog.lineage(path)
    expected = {key: value for file in files for key, value in _dotted(yaml.safe_load(file.read_text()))}
    found = {key.name: key.value for key in catalog.keys(path)}
    assert set(found) == set(expected)
    assert len(files) > 1 or list(found) == list(expected)
    for name, value in expected.items():
        if name == "name" and catalog.name_of(path):
            assert found[name] == path.stem
        elif not isinstance(value, Mapping):
            assert yaml.safe_load(found[name]) == value


@pytest.mark.parametrize("path", YAMLS, ids=IDS)
def test_every_yaml_opens_with_one_line_that_says_what_it_is(path: Path) -> None:
    assert len(catalog.headline(path)) > 10
    assert len(catalog.headline(path)) <= 120


@pytest.mark.parametrize("path", [path for path in YAMLS if catalog.target(path)])
def test_every_key_has_a_comment(path: Path) -> None:
    # The space that a sweep searches is described key by key above.
    keys = [key for key in catalog.keys(path) if not key.name.startswith("space.")]
    parents = {key.name for key in keys if not key.value}
    assert [key.name for key in keys if not key.comment and key.name not in {"name", *parents}] == []


@pytest.mark.parametrize("preset", [path for path in YAMLS if path.parent.name in ("experiment", "debug")])
def test_every_preset_opens_with_the_command_that_runs_it(preset: Path) -> None:
    command = catalog.example(preset)
    assert command is not None
    assert f"{preset.parent.name}={preset.stem}" in command.split()


@pytest.mark.parametrize("path", [path for path in YAMLS if catalog.target(path)])
def test_choices_read_from_the_source_are_those_of_the_class(path: Path) -> None:
    found = choices(path)
    for key, hint in get_type_hints(schema_of(catalog.target(path))).items():
        if get_origin(hint) is Literal:
            assert found[key] == get_args(hint)
        elif hint is bool:
            assert found[key] == ("true", "false")


def _said(hint: Any) -> str:
    """What help is to say of an annotation, read from the class itself."""
    if get_origin(hint) is Annotated:
        of, *rules = get_args(hint)
        words = [_said(of), *(str(rule) for rule in rules if rule.shown)]
        return " and ".join(word for word in words if word)
    if get_origin(hint) is list:
        words = _said(get_args(hint)[0])
        return words and f"each {words}"
    if is_union(hint):
        return next((words for part in get_args(hint) if (words := _said(part))), "")
    return ""


@pytest.mark.parametrize("path", [path for path in YAMLS if catalog.target(path)])
def test_ranges_read_from_the_source_are_those_of_the_class(path: Path) -> None:
    found = limits(path)
    for key, hint in get_type_hints(schema_of(catalog.target(path)), include_extras=True).items():
        assert found.get(key, "") == _said(hint)


def test_defaults_of_a_root() -> None:
    defaults = {default.group: default for default in catalog.defaults(catalog.root_path("train"))}
    assert (defaults["env"].option, catalog.holds_presets("env")) == ("interest_evolution", False)
    assert (defaults["experiment"].option, catalog.holds_presets("experiment")) == (None, True)


def test_comments_may_stand_behind_or_above(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "# What it is\n\n# above, given\n# in two lines\na: 1\nb: x # behind\nc:\n  d: '#1'  # nested\ne: 2\n"
    )
    assert [(key.name, key.value, key.comment) for key in catalog.keys(path)] == [
        ("a", "1", "above, given in two lines"),
        ("b", "x", "behind"),
        ("c", "", ""),
        ("c.d", "'#1'", "nested"),
        ("e", "2", ""),
    ]


def test_keys_of_ones_own_come_first_and_those_taken_over_keep_their_comment(tmp_path: Path, monkeypatch) -> None:
    for name, text in {
        "part": "a: 1   # from the part\nb:     # below\n  c: 2   # deep\n  d: 3   # deeper\n",
        "whole": "defaults: [part, _self_]\nname: whole\nspace:   # searched\n  a: 1, 2\ne: 4\n",
        "child": "defaults:\n  - whole   # all of it\n  - _self_\n\nb:\n  d: 5\n",
    }.items():
        (tmp_path / "env").mkdir(exist_ok=True)
        (tmp_path / f"env/{name}.yaml").write_text(text)
    monkeypatch.setattr(catalog, "conf_dir", lambda: tmp_path)
    assert [(key.name, key.value, key.comment) for key in catalog.keys(tmp_path / "env/child.yaml")] == [
        ("b", "", "below"),
        ("b.c", "2", "deep"),
        ("b.d", "5", "deeper"),
        ("name", "child", ""),
        ("e", "4", ""),
        ("a", "1", "from the part"),
        ("space", "", "searched"),
        ("space.a", "1, 2", ""),
    ]
