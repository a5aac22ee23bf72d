"""Rules of a problem's configuration that involve several keys; `config.ranges` has those of single keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recsys_cli.config.errors import ConfigError, closest


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def require_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """Raise `ConfigError` unless `value` is one of `allowed`; the closest match is named."""
    require(value in allowed, f"{key}={value} is not allowed: choose {' | '.join(allowed)}.{closest(value, allowed)}")


def require_distribution(key: str, values: Sequence[float]) -> None:
    """Raise `ConfigError` unless `values` sum to 1 (within 1e-8, NumPy's own tolerance)."""
    require(abs(math.fsum(values) - 1.0) <= 1e-8, f"{key}={list(values)} must be probabilities that sum to 1")


def require_vector(key: str, values: Sequence[float], length: int, of: str) -> None:
    """Raise `ConfigError` unless there are `length` values, one for each entry of the key `of`."""
    require(len(values) == length, f"{key} has {len(values)} entries and must have {length}, the length of {of}")


def require_matrix(key: str, rows: Sequence[Sequence[float]], shape: tuple[int, int], of: tuple[str, str]) -> None:
    """Raise `ConfigError` unless `rows` is a matrix of `shape`, its sides the lengths of the two keys `of`."""
    require(len(rows) == shape[0], f"{key} has {len(rows)} rows and must have {shape[0]}, the length of {of[0]}")
    for row in rows:
        require_vector(key, row, shape[1], of[1])
