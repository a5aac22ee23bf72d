"""Options and keys among the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_cli.config.errors import ConfigError


def take_option(words: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """Split `<option> <value>` and `<option>=<value>` from the other words; an option at the end has the value "".

    Returns:
        The other words, and the option's values in the order given.
    """
    rest: list[str] = []
    values: list[str] = []
    waiting = iter(words)
    for word in waiting:
        flag, equals, value = word.partition("=")
        if flag == option:
            values.append(value if equals else next(waiting, ""))
        else:
            rest.append(word)
    return rest, values


def key_of(word: str) -> str:
    """Return the key of an override: `seed` of `+seed=3`."""
    return word.lstrip("+").partition("=")[0]


def refuse_repeated(words: Sequence[str]) -> None:
    """Refuse a key given twice, which would be a mistake more often than a correction.

    Raises:
        ConfigError: with both words.
    """
    given: dict[str, str] = {}
    for word in words:
        key = key_of(word)
        if "=" in word and key in given:
            raise ConfigError(f"{given[key]} {word}: {key} is given twice; give it once")
        given[key] = word
