"""The overrides of a command, read with Hydra's grammar and checked one by one before anything is composed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_cli.config import catalog, folders
from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.config.types import show
from recsys_cli.config.words import key_of

_KEY = re.compile(r"[A-Za-z_][\w]*(\.\w+)*")
_DIGITS = re.compile(r"\d+e\d+")
_NO_LEARNER = "RLlib's new API stack has only Torch learners"
FLAGS = ("--help", "--cfg", folders.OPTION)
# RLlib's `DreamerV3Catalog` reads `observation_space.shape`, which a dict of user and candidates lacks, and its
# `ActorNetwork` has one output per action, from a latent state: it cannot take slates of changing candidates.
_NO_SLATES = "RLlib's takes an image or one vector, and one discrete or continuous action: no slates of candidates"
_WHY_NOT = {("framework", other): _NO_LEARNER for other in ("tf", "tf2", "tensorflow", "jax", "keras")}
_WHY_NOT |= {("algo", "dreamerv3"): _NO_SLATES}

NO_HYDRA = f"Hydra's own settings cannot be set; your own folders are named by {folders.OPTION} <folder>"

Option = str | list[str] | None


@dataclass
class Request:
    """The requested options of groups and values of dotted keys, in the order given."""

    options: dict[str, Option] = field(default_factory=dict)
    values: list[tuple[str, Any]] = field(default_factory=list)


def read(words: Sequence[str], root: str) -> Request:
    """Read overrides for one root.

    Raises:
        ConfigError: a word that is no override, an unknown group or option, or several values for one key.
    """
    request = Request()
    groups = {default.group: default for default in catalog.defaults(catalog.root_path(root))}
    for word in words:
        override = _parse(word, groups)
        key = override.key_or_group
        if key in groups:
            request.options[key] = _option(override.value(), groups[key])
        else:
            _refuse_foreign_group(override, root, groups)
            request.values.append((key, _value(override)))
    return request


def reference(words: Iterable[str], key: str) -> str | None:
    """Return the value of a key that decides what is composed: `resume`, `from`, `output_dir`; None if not given.

    Raises:
        ConfigError: it is empty or cannot be read.
    """
    asked = [word for word in words if key_of(word) == key]
    if not asked:
        return None
    value = resolve({key: _value(_parse(asked[-1], ()))})[key]
    if value is not None and not str(value).strip():
        raise ConfigError(f"{asked[-1]} is empty, as if from an unset variable: leave it out, or give it a value")
    return None if value is None else str(value)


def resolve(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with their `${...}` interpolations resolved.

    Raises:
        ConfigError: one that names nothing.
    """
    if not _interpolates(values):  # half the time of composing
        return values
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        why = str(error).splitlines()[0].removeprefix("KeyError raised while resolving interpolation: ").strip('"')
        raise ConfigError(f"{error.full_key or 'config'}: {one_line(why)}") from None
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _interpolates(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_interpolates, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and "${" in value


def _value(override: Override) -> Any:
    """Return the value; `123e45` as text, for it may be the start of an id as well as a number."""
    text = override.input_line.partition("=")[2]
    return text if _DIGITS.fullmatch(text) else deepcopy(override.value())


@lru_cache(maxsize=10_000)
def grammar(word: str) -> Override:
    """Return an override as Hydra's grammar reads it; the same object for the same word, not to be changed.

    Raises:
        HydraException: it cannot be read.
    """
    try:
        return OverridesParser.create().parse_override(word)
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise HydraException(one_line(error)) from None


def _parse(word: str, groups: Iterable[str]) -> Override:
    key, equals = key_of(word), "=" in word
    if word.startswith("~"):
        raise ConfigError(f"{word}: keys cannot be removed, only set, as in {key.lstrip('~')}=<value>")
    if word.startswith("-"):
        raise ConfigError(_dashes(word))
    if not equals:
        raise ConfigError(f"{word}: <key>=<value> is expected{_meant(word, groups)}")
    if not _KEY.fullmatch(key):
        raise ConfigError(f"{word}: {key!r} is not a key; keys are written as env.num_candidates")
    if key.endswith("_target_"):
        raise ConfigError(f"{word}: {key} cannot be set on the command line")
    if key.split(".")[0] == "hydra":
        raise ConfigError(f"{word}: {NO_HYDRA}")
    try:
        override = grammar(word)
    except HydraException:
        raise ConfigError(
            f"{word}: the value cannot be read; close every bracket and quote, "
            f"or quote the whole value: '{key}=\"{word.partition('=')[2]}\"'"
        ) from None
    if override.is_sweep_override():
        as_list = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP
        hint = f"; a list is written {key}=[{word.partition('=')[2]}]" if as_list else ""
        hint += "; recsys sweep tries several"
        raise ConfigError(f"{word}: one value is expected, not several to choose from{hint}")
    return override


def _dashes(word: str) -> str:
    key, _, value = word.lstrip("-").partition("=")
    if word in ("-m", "--multirun"):
        return f"{word}: one command is one training; use seeds=5 for several seeds, recsys sweep for several settings"
    if near := closest(word.partition("=")[0], FLAGS):
        return f"{word} is not an option.{near}"
    if word.startswith("--") and key:
        return f"{word} is not an option. Keys are set without dashes: {key}={value or '<value>'}"
    return f"{word} is not an option. Options: {', '.join(FLAGS)}"


def _meant(word: str, groups: Iterable[str]) -> str:
    for group in groups:
        if word in catalog.option_names(group):
            return f". Did you mean '{group}={word}'?"
    return ""


def _option(value: Any, default: catalog.Default) -> Option:
    """Return the option (for presets, options) that a group was set to."""
    group, allowed = default.group, catalog.option_names(default.group)
    if default.option is None and value is None:
        return None
    if isinstance(value, list) and not catalog.holds_presets(group):
        raise ConfigError(f"{group}={show(value)}: one option is expected. Allowed: {', '.join(allowed)}")
    for one in value if isinstance(value, list) else [value]:
        if one not in allowed:
            why = _WHY_NOT.get((group, str(one)))
            near = "" if why or one is None else closest(show(one), allowed)
            because = f" ({why})" if why else ""
            message = f"{group}={show(one)} does not exist{because}. Allowed: {', '.join(allowed)}"
            own = "" if why or near or folders.named() else f". Your own are found by {folders.OPTION} <folder>"
            raise ConfigError(message + (near and "." + near) + own)
    return [str(one) for one in value] if isinstance(value, list) else str(value)


def _refuse_foreign_group(override: Override, root: str, groups: Iterable[str]) -> None:
    key = override.key_or_group
    if key in catalog.group_names() and not isinstance(override.value(), dict):
        chosen = ", ".join(groups)
        keys = [item.name for item in catalog.keys(catalog.root_path(root))]
        hint = f"its keys can be changed, as in {key}.<key>=<value>" if key in keys else f"it has: {chosen}"
        raise ConfigError(f"{override.input_line}: 'recsys {root}' has no group {key}; {hint}")
