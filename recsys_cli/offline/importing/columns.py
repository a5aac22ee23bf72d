"""Names and patterns of columns."""

from __future__ import annotations

from fnmatch import fnmatchcase

from recsys_cli.config.errors import ConfigError, closest


def as_list(columns: str | list[str]) -> list[str]:
    """Return one or several names as a list."""
    return [columns] if isinstance(columns, str) else list(columns)


def resolve_columns(key: str, patterns: list[str], columns: list[str], where: str) -> list[str]:
    """Return the columns that names and patterns stand for, in the order of the names, then of the file.

    Raises:
        ConfigError: one stands for none; with the key and the closest match.
    """
    found: list[str] = []
    for pattern in patterns:
        matches = [pattern] if pattern in columns else [c for c in columns if fnmatchcase(c, pattern)]
        if not matches:
            near = closest(pattern, columns) or f" Columns: {', '.join(columns[:20])}{' ...' * (len(columns) > 20)}"
            if len(columns) == 1 and (mark := next((mark for mark in ";\t|" if mark in columns[0]), None)):
                near = f" It has a single one, {columns[0][:40]!r}...: set delimiter={mark!r}"
            raise ConfigError(f"{key}={pattern}: {where} has no such column.{near}")
        found += matches
    return list(dict.fromkeys(found))
