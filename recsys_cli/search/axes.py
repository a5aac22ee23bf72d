"""The axes of a sweep: overrides in Hydra's grammar with several values."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.overrides import grammar

# Shared by all points: where they run and are kept, and what the sweep itself decides.
_FIXED = {"resources", "tracking", "search", "debug", "seed", "seeds", "steps", "output_dir", "name", "resume", "from"}
_FIXED |= {"progress", "report_every", "evaluation", "checkpoint", "dry_run", "space", "experiment", "framework"}


@dataclass(frozen=True)
class Choices:
    """An axis with listed values, as typed on the command line."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Interval:
    """An axis with all values between two ends, both inclusive.

    Attributes:
        log: whether the scale is logarithmic.
        integer: whether values are integers.
    """

    key: str
    low: float
    high: float
    log: bool
    integer: bool

    def at(self, fraction: float) -> str:
        """Return the value at a fraction of the way from the low to the high end, as typed."""
        if self.log:
            value = math.exp(math.log(self.low) + fraction * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + fraction * (self.high - self.low)
        return self.spell(value)

    def spell(self, value: float) -> str:
        """Return a value inside the interval as typed, rounded to four digits if it stays inside."""
        value = min(max(value, self.low), self.high)
        if self.integer:
            return str(round(value))
        short = float(f"{value:.4g}")
        return repr(short if self.low <= short <= self.high else value)


Axis = Choices | Interval
MOST_VALUES = 1_000


def value_of(key: str, text: str) -> Any:
    """Return the Python value of a key's typed value."""
    return grammar(f"{key}={text}").value()


def split(words: Sequence[str], groups: Iterable[str]) -> tuple[list[str], list[Axis]]:
    """Split overrides with one value from those with several.

    Args:
        words: the overrides of `recsys sweep`.
        groups: config groups, whose options `glob` matches.

    Raises:
        ConfigError: an axis that is empty, inverted, given twice or not allowed in sweeps.
    """
    plain: list[str] = []
    axes: dict[str, Axis] = {}
    for word in words:
        override = _parse(word)
        if override is None:
            plain.append(word)
            continue
        axis = _axis(override, word, list(groups))
        if axis.key in axes:
            raise ConfigError(f"{word}: {axis.key} is given values twice")
        axes[axis.key] = axis
    for word in plain:
        if (key := word.lstrip("+").partition("=")[0]) in axes:
            raise ConfigError(f"{word}: {key} is given values twice")
        if key == "from":
            raise ConfigError(
                f"{word}: a sweep has its own words; what it found is trained by recsys train from=<sweep>"
            )
    return plain, list(axes.values())


def _parse(word: str) -> Override | None:
    """Return an override with several values; None for any other, valid or not."""
    if "=" not in word or word.startswith(("-", "~")):
        return None
    try:
        override = grammar(word)
    except HydraException as error:
        function, bracket, _ = word.partition("=")[2].partition("(")
        if bracket and function.isidentifier():
            raise ConfigError(f"{word}: {_reason(error)}") from None
        return None
    return override if override.is_sweep_override() else None


def _reason(error: HydraException) -> str:
    """Return what is wrong, without Hydra's drawing of the position."""
    reason = one_line(str(error).splitlines()[0].partition(" while evaluating ")[2].partition(": ")[2])
    grammar = "choice(a,b), range(start,stop,step), interval(a,b), int(interval(a,b)), tag(log,interval(a,b)), glob(*)"
    return f"{reason or 'the value cannot be read'}; several values are written a,b or {grammar}"


def _axis(override: Override, word: str, groups: list[str]) -> Axis:
    key, found = override.key_or_group, override._value
    if key.split(".")[0] in _FIXED:
        raise ConfigError(
            f"{word}: {key} is the same for all points of a sweep, so one value is expected{_instead(key)}"
        )
    if isinstance(found, IntervalSweep):
        return _interval(key, found, word)
    if isinstance(found, Glob):
        values = _globbed(key, found, word, groups)
    elif isinstance(found, RangeSweep):
        values = _ranged(found, word)
    else:
        values = list(override.sweep_string_iterator())
    if getattr(found, "tags", None):
        raise ConfigError(f"{word}: tags are for intervals, as in tag(log,interval(1e-4,1e-2))")
    if not values:
        raise ConfigError(f"{word} holds no value")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ConfigError(f"{word}: {twice[0]} is listed twice")
    return Choices(key, tuple(values))


def _ranged(found: RangeSweep, word: str) -> list[str]:
    start, stop, step = found.start, found.stop, found.step
    assert start is not None and stop is not None
    if step == 0 or abs((stop - start) / step) > MOST_VALUES:
        raise ConfigError(f"{word}: a range of 1 to {MOST_VALUES:,} values is expected")
    return [_short(value) for value in found.range()]


def _instead(key: str) -> str:
    instead = {
        "seed": "; several seeds a point are search.seeds_per_point=3",
        "seeds": "; several seeds a point are search.seeds_per_point=3",
    }
    return "; several searches are several sweeps" if key == "search" else instead.get(key, "")


def _interval(key: str, found: IntervalSweep, word: str) -> Interval:
    low, high = found.start, found.end
    assert low is not None and high is not None
    unknown = set(found.tags) - {"log"}
    if unknown:
        raise ConfigError(f"{word}: {sorted(unknown)[0]} is not a tag of a sweep; allowed: log")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{word}: the ends of an interval must be finite")
    if low >= high:
        raise ConfigError(f"{word}: the interval is empty, its start {low} must be below its end {high}")
    if found.tags and low <= 0:
        raise ConfigError(f"{word}: a log interval must start above 0, not at {low}")
    return Interval(key, float(low), float(high), bool(found.tags), isinstance(low, int) and isinstance(high, int))


def _globbed(key: str, found: Glob, word: str, groups: list[str]) -> list[str]:
    if key not in groups:
        raise ConfigError(f"{word}: glob chooses among the options of a group; groups: {', '.join(groups)}")
    names = catalog.option_names(key)
    kept = [
        name
        for name in names
        if any(fnmatch.fnmatch(name, pattern) for pattern in found.include)
        and not any(fnmatch.fnmatch(name, pattern) for pattern in found.exclude)
    ]
    if not kept:
        raise ConfigError(f"{word} matches none of {', '.join(names)}")
    return kept


def _short(value: Any) -> str:
    """Return a step of a range without rounding noise: 0.3 for 0.30000000000000004."""
    return repr(float(f"{value:.12g}")) if isinstance(value, float) else str(value)
