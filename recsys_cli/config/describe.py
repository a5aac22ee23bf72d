"""The contents of the yaml files as help text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from recsys_cli.config import catalog
from recsys_cli.config.annotations import limits

_WIDEST = 120
_NARROWEST = 60
_SPELLED = {"???": "(required)", "{}": ""}


def table(rows: Sequence[Sequence[str]], indent: int) -> str:
    """Align rows of words in columns; the last column is wrapped to the terminal."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    left = indent + sum(width + 2 for width in widths)
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    lines = []
    for row in rows:
        head = " " * indent + "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        body = textwrap.wrap(row[-1], max(_NARROWEST // 2, width - left), break_on_hyphens=False) or [""]
        lines += [(head + body[0]).rstrip(), *(" " * left + line for line in body[1:])]
    return "\n".join(lines)


def options(group: str, default: str | None = None, indent: int = 2) -> str:
    """Return a group's options, one per line, the default marked by a star."""
    return table([_option(group, option, default) for option in _default_first(group, default)], indent)


def _option(group: str, option: str, default: str | None) -> tuple[str, str]:
    mark = " *" if option == default else ""
    return option + mark, catalog.headline(catalog.option_path(group, option))


def _default_first(group: str, default: str | None) -> list[str]:
    return sorted(catalog.option_names(group), key=lambda option: (option != default, option))


def keys(path: Path, prefix: str = "", indent: int = 2) -> str:
    """Return the keys of a yaml with default, comment and range, one per line."""
    allowed = limits(path)
    listed = [key for key in catalog.keys(path) if key.value or key.comment]
    about = [key.comment + (f" [{allowed[key.name]}]" if key.name in allowed else "") for key in listed]
    rows = [(prefix + k.name, _SPELLED.get(k.value, k.value), words) for k, words in zip(listed, about, strict=True)]
    longest = max((len(value) for _, value, _ in rows if len(value) <= 24), default=0)
    return table([(name, _shorten(value, longest), comment) for name, value, comment in rows], indent)


def _shorten(value: str, width: int) -> str:
    """Cut a long value, such as a long list, so that it does not push the comments away."""
    return value if len(value) <= max(width, 12) else value[: max(width, 12) - 3] + "..."
