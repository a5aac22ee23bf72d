"""The one error that means "the user asked for something that cannot be done"."""

from __future__ import annotations

from collections.abc import Iterable


class ConfigError(ValueError):
    """A wrong configuration, told in one line: key, value, what is allowed, closest match.

    The command line prints the message without a traceback and exits with code 2.
    """


def closest(word: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the allowed word nearest to `word`, or an empty string.

    Of dotted names the last part counts as well: `num_candidates` is near to `env.num_candidates`.
    """
    match = nearest(word, list(allowed))
    return f" Did you mean {match!r}?" if match else ""


def nearest(word: str, allowed: list[str]) -> str | None:
    """Return the allowed word nearest to `word`, or None when none is near."""
    from difflib import get_close_matches

    folded = {name.casefold().replace("-", "_"): name for name in reversed(allowed)}
    wanted = word.casefold().replace("-", "_")
    if match := get_close_matches(wanted, folded, n=1, cutoff=0.6):
        return folded[match[0]]
    leaves = {name.rpartition(".")[2]: name for name in reversed(allowed)}
    leaf = wanted.rpartition(".")[2]
    match = get_close_matches(leaf, leaves, n=1, cutoff=0.75)
    return leaves[match[0]] if match else None


def one_line(message: object) -> str:
    """Return the message of another library as a single line."""
    return " ".join(str(message).split())
