"""One-line notices on stderr, each once."""

from __future__ import annotations

import sys

_said: set[str] = set()


def warn(line: str) -> None:
    """Print a line to stderr, if it was not printed before."""
    if line not in _said:
        _said.add(line)
        print(f"recsys: {line}", file=sys.stderr)
