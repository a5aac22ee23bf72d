"""The error for invalid requests, and the closest match for typos."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 1_500  # characters of a message


class ConfigError(ValueError):
    """An invalid configuration, reported in one line: key, value, what is allowed, closest match.

    The command line prints the message without a traceback and exits with code 2.
    """

    def __init__(self, message: object) -> None:
        """Keep the message in one line, whatever values it quotes; of a very long one, the beginning and the end."""
        line = one_line(message)
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}")


def closest(word: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the allowed word closest to `word`, or an empty string.

    The last part of a dotted name counts as well: `num_candidates` is close to `env.num_candidates`.
    """
    match = nearest(word, list(allowed))
    return f" Did you mean {match!r}?" if match else ""


def about_length(key: str) -> str:
    """Return what limits an episode instead of a key that env does not have, or an empty string."""
    if key not in {f"env.{name}" for name in ("max_episode_steps", "max_steps", "truncation", "horizon")}:
        return ""
    return (
        " The length of an episode is up to the problem (env.time_budget, or env.horizon of interest_exploration); one "
        "of your own is cut by truncation=<steps> in its spec, and gymnasium's by make(..., max_episode_steps=<steps>)."
    )


def nearest(word: str, allowed: list[str]) -> str | None:
    """Return the allowed word closest to `word`, or None if none is close."""
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
    """Return another library's message as a single line."""
    return " ".join(str(message).split())
