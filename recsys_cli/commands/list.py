"""List problems, algorithms, presets and their keys.

Without arguments it lists everything; given a group, the options of that group; given <group>=<option>, the keys of
that option, each with its default and meaning.

Examples:
    recsys list
    recsys list envs
    recsys list algo=slateq
"""

from __future__ import annotations

from recsys_cli import commands
from recsys_cli.config import catalog, describe
from recsys_cli.config.errors import ConfigError, closest

COMMANDS = "command"


def run(overrides: list[str]) -> int:
    """Print the requested lists.

    Raises:
        ConfigError: an unknown group, or an option that the group does not have.
    """
    print("\n\n".join(_section(word) for word in overrides) if overrides else _everything())
    return 0


def _everything() -> str:
    used = {default.group: None for default in catalog.all_defaults()}
    groups = [*used, *(group for group in catalog.group_names() if group not in used)]
    sections = [f"{COMMANDS}s:\n{_commands()}"] + [f"{group}:\n{_options(group)}" for group in groups]
    return "\n\n".join(sections) + "\n\n* is the default. Keys of an option: recsys list <group>=<option>"


def _section(word: str) -> str:
    name, equals, option = word.partition("=")
    group = _singular(word if not equals else name)
    if equals:
        return _keys(group, option)
    return _commands(0) if group == COMMANDS else _options(group, 0)


def _singular(word: str) -> str:
    """Return the group meant by a word; `envs`, `env` and `Envs` are the same."""
    groups = [*catalog.group_names(), COMMANDS]
    names = {form: group for group in groups for form in (group, f"{group}s", group.removesuffix("s"))}
    if word.lower() not in names:
        pairs = {option: f"{group}={option}" for group in groups for option in catalog.option_names(group)}
        near = f" Did you mean '{pairs[word]}'?" if word in pairs else closest(word, names)
        raise ConfigError(f"list {word}: there is no such group. Groups: {', '.join(groups)}.{near}")
    return names[word.lower()]


def _keys(group: str, option: str) -> str:
    allowed = catalog.option_names(group)
    if option not in allowed:
        near = closest(option, allowed)
        raise ConfigError(f"list {group}={option} does not exist. Allowed: {', '.join(allowed)}{near and '.' + near}")
    path = catalog.option_path(group, option)
    is_preset = catalog.example(path) is not None
    head = [f"{group}={option}: {catalog.headline(path)}"] + ([f"  {catalog.example(path)}"] if is_preset else [])
    return "\n".join([*head, "", describe.keys(path, "" if is_preset else f"{group}.")])


def _commands(indent: int = 2) -> str:
    return describe.table([(name, commands.summary(name)) for name in commands.command_names()], indent)


def _options(group: str, indent: int = 2) -> str:
    chosen = [default.option for default in catalog.all_defaults() if default.group == group]
    return describe.options(group, chosen[0] if chosen else None, indent)
