"""Values checked against type annotations, with plain error messages.

OmegaConf's own structured configs know no `Literal`, refuse `1e6` for an integer and report errors in several lines
about nodes; this is the small part of a type checker that yaml needs.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.ranges import Range, Rule

_SPELLED_BOOL = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WORDS = {int: ("an integer", "integers"), float: ("a number", "numbers"), str: ("a text", "texts")}
_WORDS |= {bool: ("true or false", "true or false"), type(None): ("null", "nulls")}
_NULL = "null"
_LISTS = (list, tuple, Sequence)


class MismatchError(Exception):
    """A value that does not fit its annotation."""


def show(value: Any) -> str:
    """Write a value as typed on the command line: `null`, `true`, `[1,2]`, `abc`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(show, value)) + "]"
    return str(value)


def spelled(value: Any) -> str:
    """Write a value as Hydra's grammar reads it back: as `show`, with all text quoted."""
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(spelled, value)) + "]"
    return show(value)


def is_union(hint: Any) -> bool:
    """Return whether an annotation is `X | Y` or `Optional[X]`."""
    return get_origin(hint) in (Union, types.UnionType)


def describe(hint: Any, plural: bool = False) -> str:
    """Return an annotation in plain words: "an integer", "a list of numbers", "a, b or null"."""
    hint = _bare(hint)
    if hint in _WORDS:
        return _WORDS[hint][plural]
    if is_union(hint):
        return " or ".join(describe(part, plural) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(show, get_args(hint)))
    if _sequence(hint):
        inner = [part for part in get_args(hint) if part is not Ellipsis] or [Any]
        of = describe(inner[0], True) if len(set(inner)) == 1 else ", ".join(map(describe, inner))
        size = "" if _open_ended(hint) else f"{len(inner)} "
        return f"{'lists' if plural else 'a list'} of {size}{of}"
    if hint in (Any, object):
        return "values" if plural else "a value"
    return "keys with values, {key: value}"


def convert(value: Any, hint: Any, key: str) -> Any:
    """Return `value` converted to its annotation.

    An integral float (`1e6`) passes as an integer and an integer as a number. A text passes as what it spells, since
    that is what `${oc.env:...}` yields: `"4"`, `"true"`, `"null"`, `"[64, 32]"`.

    Raises:
        ConfigError: the value has the wrong type or is out of range; names the full key, the value and what is
            expected.
    """
    try:
        fitted = _fit(value, hint)
    except MismatchError:
        choices = [str(choice) for choice in _choices(hint)]
        near = closest(str(value), choices) if choices else ""
        raise ConfigError(f"{key}={show(value)}: {describe(hint)} is expected{near and '.' + near}") from None
    for refusal in _refusals(fitted, hint, key):
        raise ConfigError(refusal)
    return fitted


def _refusals(value: Any, hint: Any, key: str) -> Iterator[str]:
    """Yield the range errors of a value of the right type."""
    rules: list[Rule] = []
    if get_origin(hint) is Annotated:
        hint, *rules = get_args(hint)
    if hint is float and not any(isinstance(rule, Range) for rule in rules):
        rules = [Range()]
    yield from (f"{key}={show(value)} {words}" for rule in rules if (words := rule.refusal(value)))
    if is_union(hint):
        for part in get_args(hint):
            yield from _refusals(value, part, key)
    elif _sequence(hint) and isinstance(value, list | tuple):
        parts = get_args(hint) or (Any,)
        for i, item in enumerate(value):
            yield from _refusals(item, parts[0 if _open_ended(hint) else i], f"{key}[{i}]")
    elif get_origin(hint) in (dict, Mapping) and isinstance(value, Mapping):
        for name, item in value.items():
            yield from _refusals(item, get_args(hint)[1], f"{key}.{name}")


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _choices(hint: Any) -> tuple[Any, ...]:
    if is_union(hint):
        return tuple(choice for part in get_args(hint) for choice in _choices(part))
    return get_args(hint) if get_origin(hint) is Literal else ()


def _sequence(hint: Any) -> bool:
    return hint in _LISTS or get_origin(hint) in _LISTS


def _open_ended(hint: Any) -> bool:
    return get_origin(hint) is not tuple or Ellipsis in get_args(hint)


def _fit(value: Any, hint: Any) -> Any:
    hint = _bare(hint)
    if hint in (Any, object):
        return value
    if is_union(hint):
        return _fit_union(value, get_args(hint))
    if get_origin(hint) is Literal:
        return _fit_literal(value, get_args(hint))
    if _sequence(hint):
        return _fit_sequence(value, hint)
    if hint is dict or get_origin(hint) in (dict, Mapping):
        return _fit_mapping(value, get_args(hint))
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    if hint is None:
        return _fit_none(value)
    raise TypeError(f"a yaml value cannot be checked against annotation {hint!r}")


def _fit_union(value: Any, parts: Sequence[Any]) -> Any:
    if value == _NULL and type(None) in parts:
        return None
    for part in parts:  # the exact type first, so that 3 stays 3 in `float | int`
        if type(value) is _bare(part):
            return value
    for part in parts:
        try:
            return _fit(value, part)
        except MismatchError:
            continue
    raise MismatchError


def _fit_literal(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
        if isinstance(choice, str) and show(value) == choice:  # a choice spelled `true` or `null`
            return choice
    raise MismatchError


def _fit_sequence(value: Any, hint: Any) -> Any:
    value = _spelled(value)
    if not isinstance(value, list | tuple):
        raise MismatchError
    inner = get_args(hint) or (Any,)
    if _open_ended(hint):
        items = [_fit(item, inner[0]) for item in value]
    elif len(inner) != len(value):
        raise MismatchError
    else:
        items = [_fit(item, part) for item, part in zip(value, inner, strict=True)]
    return tuple(items) if hint is tuple or get_origin(hint) is tuple else items


def _fit_mapping(value: Any, inner: Sequence[Any]) -> dict[Any, Any]:
    value = _spelled(value)
    if not isinstance(value, Mapping):
        raise MismatchError
    of = inner[1] if len(inner) == 2 else Any
    return {key: _fit(item, of) for key, item in value.items()}


def _spelled(value: Any) -> Any:
    """Return the list or mapping that a text spells; any other value unchanged."""
    if not isinstance(value, str):
        return value
    import yaml

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise MismatchError from None


def _fit_none(value: Any) -> None:
    if value is not None and value != _NULL:
        raise MismatchError


def _fit_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _SPELLED_BOOL:
        return _SPELLED_BOOL[value.lower()]
    raise MismatchError


def _fit_int(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = _fit_float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MismatchError
    return value


def _fit_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise MismatchError
    try:
        number = float(value)  # a text as well: yaml 1.1 reads 1e-3 as one
    except (ValueError, OverflowError):
        raise MismatchError from None
    if math.isnan(number):
        raise MismatchError
    return number


def _fit_str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MismatchError
    return str(value)  # a run id or a name may be all digits


_SCALARS = {bool: _fit_bool, int: _fit_int, float: _fit_float, str: _fit_str, type(None): _fit_none}
