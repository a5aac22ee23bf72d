"""Shell completion: one script per shell, each of which calls `recsys __complete <words>`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_SUFFIX = "recsys."


def shells() -> list[str]:
    """Return the shells that have a script."""
    return [path.name.removeprefix(_SUFFIX) for path in sorted(Path(__file__).parent.glob(f"{_SUFFIX}*"))]


def script(shell: str) -> str:
    """Return the completion script of a shell."""
    return Path(__file__).with_name(_SUFFIX + shell).read_text(encoding="utf-8")


def complete(words: Sequence[str]) -> int:
    """Print the candidates for the last of the words after `recsys`, each with a tab and its description."""
    from recsys_cli.completion.candidates import candidates

    for text, about in candidates(words):
        print(f"{text}\t{about}")
    return 0
