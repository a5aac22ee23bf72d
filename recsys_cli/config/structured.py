"""From yaml to typed objects and back; a yaml's `_target_` names the dataclass that checks it."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from recsys_cli.config import catalog, own_classes, own_options
from recsys_cli.config.errors import ConfigError, about_length, closest
from recsys_cli.config.types import convert, is_union, show

TARGET = "_target_"
MISSING = "???"
# Yaml keys that are in no schema: the first, of a root, is read before anything is composed; the second, of an
# algorithm, is for sweeps only; the third names the yamls whose keys are inherited.
ORIGIN, SPACE, DEFAULTS = "from", "space", "defaults"


def schema_of(target: str) -> type:
    """Import the dataclass named by `_target_`, under `recsys_cli.` or in the user's own folder.

    Raises:
        ConfigError: it names none, or a class elsewhere, which is not imported.
    """
    if not isinstance(target, str) or not target.startswith("recsys_cli."):
        return own_classes.import_class(show(target))
    module, _, name = target.rpartition(".")
    try:
        schema = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):  # a dependency is missing, not the class
            raise
        schema = None
    if schema is None:
        raise ConfigError(f"{TARGET}={target}: there is no such class in this version of recsys-cli")
    if not (isinstance(schema, type) and dataclasses.is_dataclass(schema)):
        raise ConfigError(f"{TARGET}={target} is not a dataclass")
    return schema


def build(values: Mapping[str, Any], prefix: str) -> Any:
    """Turn one group's values (with `_target_`) into its dataclass object, checking types and rules.

    Args:
        values: the group's keys, `_target_` among them.
        prefix: the group's full key (`env`), named in every error.

    Raises:
        ConfigError: unknown key, wrong type, missing value or a broken rule of the dataclass.
    """
    if TARGET not in values:
        raise ConfigError(f"{prefix}.{TARGET} is missing: it must name the dataclass that checks these keys")
    schema = schema_of(values[TARGET])
    if not own_classes.is_own(schema):
        return build_as(schema, values, prefix)
    own_classes.check_base(schema, prefix)
    with own_classes.reported_in_one_line(schema.__module__):
        return build_as(schema, values, prefix)


def build_as(schema: type, values: Mapping[str, Any], prefix: str) -> Any:
    """Turn values into an object of `schema`; nested dataclasses are built from nested values.

    Raises:
        ConfigError: as `build`.
    """
    hints = hints_of(schema)
    fields = {field.name: field for field in dataclasses.fields(schema) if field.init}
    at = f"{prefix}." if prefix else ""
    given = {str(key): value for key, value in values.items() if key != TARGET}
    for key in given:
        if key not in fields:
            near = about_length(at + key) or closest(at + key, [at + name for name in fields])
            raise ConfigError(f"{at}{key} is unknown.{near or ' Keys: ' + ', '.join(fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if given.get(name) == MISSING or (name not in given and required):
            raise ConfigError(f"{at}{name} is required: set {at}{name}=<value>")
    return schema(**{key: _value(value, hints[key], at + key) for key, value in given.items()})


@cache
def hints_of(schema: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, `Annotated` included."""
    return get_type_hints(schema, include_extras=True)


def _value(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        return _checked(build(value, key), hint, key)
    parts = get_args(hint) if is_union(hint) else [hint]
    nested: list[type] = [part for part in parts if isinstance(part, type) and dataclasses.is_dataclass(part)]
    if not nested:
        return convert(value, hint, key)
    if value is None and is_union(hint):
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key}={show(value)}: it is a group of keys, set one of them as {key}.<key>=<value>")
    return build_as(nested[0], value, key)


def _checked(built: Any, hint: Any, key: str) -> Any:
    if hint is not Any and isinstance(hint, type) and not isinstance(built, hint):
        raise ConfigError(f"{key}.{TARGET} names {type(built).__name__}, which is not a {hint.__name__}")
    return built


def to_plain(value: Any, declared: Any = None) -> Any:
    """Turn a built object back into yaml-ready values, from which `build` makes an equal object.

    Args:
        value: a dataclass object, or any value of a field.
        declared: the field's annotation; `_target_` is left out if it already names the class.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        schema = type(value)
        hints = hints_of(schema)
        known = schema is declared or (is_union(declared) and schema in get_args(declared))
        head: dict[str, Any] = {} if known else {TARGET: f"{schema.__module__}.{schema.__qualname__}"}
        items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        for name, item in items.items():
            head[name] = to_plain(item, hints[name])
        return head
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def load(group: str, option: str, **overrides: Any) -> Any:
    """Build the object of an option, of `conf` or the user's own, with some keys replaced.

    Example:
        `load("env", "interest_evolution", num_candidates=50)`
    """
    return build(with_options(values_of(group, option) | overrides, group), group)


def values_of(group: str, option: str) -> dict[str, Any]:
    """Return the keys of an option, of `conf` or the user's own, inherited ones among them.

    Raises:
        ConfigError: an own option that is not valid.
    """
    from omegaconf import OmegaConf

    own_options.check_option(group, option)
    path = catalog.option_path(group, option)
    merged = OmegaConf.merge(*(_parsed(one, one.stat().st_mtime_ns) for one in catalog.lineage(path)))
    values = OmegaConf.to_container(merged, resolve=True)
    if not isinstance(values, dict):
        raise ConfigError(f"{group}/{option}.yaml holds no keys")
    for aside in (DEFAULTS, SPACE):
        values.pop(aside, None)
    return named({str(key): value for key, value in values.items()}, path)


def with_options(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return an option's values with those of other options of its group that are named in it.

    In a mapping somewhere below, the key `<group>: <option>` stands for this option's keys, but for those that the
    values have themselves, as `slate_size` of groups of users.

    Raises:
        ConfigError: there is no such option.
    """

    def expanded(inner: Any, at: str) -> Any:
        if not isinstance(inner, Mapping):
            return inner
        own = {str(key): expanded(value, f"{at}.{key}") for key, value in inner.items() if key != group}
        option = inner.get(group)
        if option is None:
            return own
        names = catalog.option_names(group)
        if option not in names:
            near = closest(str(option), names) or f" Allowed: {', '.join(names)}"
            raise ConfigError(f"{at}.{group}={show(option)} is not an option of {group}.{near}")
        theirs = values_of(group, option)
        return {key: value for key, value in theirs.items() if key in (TARGET, "name") or key not in values} | own

    return {key: expanded(value, f"{group}.{key}") for key, value in values.items()}


@lru_cache
def _parsed(path: Path, changed: int) -> Any:
    """Return what a yaml, last changed at some time in ns, holds; not to be changed."""
    from omegaconf import OmegaConf

    return OmegaConf.load(path)


def named(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an option's values under its own name if it inherited another's."""
    name = catalog.name_of(path)
    return values | {"name": name} if name and "name" in values else values
