"""Options among the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence


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
