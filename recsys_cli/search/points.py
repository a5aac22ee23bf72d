"""The points of a sweep, all composed and checked before anything runs."""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_cli.config import catalog
from recsys_cli.config.compose import Composer
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import GridSearch, RandomSearch
from recsys_cli.runs.plan import Point, spell_values
from recsys_cli.search.axes import Axis, Choices, Interval, split, value_of

ROOT = "sweep"
MOST_POINTS = 5_000
INSIDE = (0.0, 0.382, 1.0)  # of an interval: its ends may be integers by chance


@dataclass(frozen=True)
class Branch:
    """A part of the space in which all points have the same axes.

    Attributes:
        words: overrides shared by its points.
        picked: the options that distinguish it from other branches, by group.
        axes: of keys.
    """

    words: tuple[str, ...]
    picked: Mapping[str, str]
    axes: tuple[Axis, ...]


class Space:
    """All that a sweep may try.

    Args:
        words: the overrides of `recsys sweep`.

    Raises:
        ConfigError: nothing to search, or an invalid axis.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Read the axes, or the algorithms' own if none is given."""
        self.composer = Composer(ROOT)
        groups = [default.group for default in catalog.defaults(catalog.root_path(ROOT))]
        self.plain, self.axes = split(words, groups)
        over_groups = [axis for axis in self.axes if isinstance(axis, Choices) and axis.key in groups]
        keys = [axis for axis in self.axes if axis not in over_groups]
        combinations = itertools.product(*[[(axis.key, value) for value in axis.values] for axis in over_groups])
        picked = [dict(combination) for combination in combinations]
        asked = [(axis.key, axis) for axis in keys] + [(word.partition("=")[0], word) for word in self.plain]
        apply = {key: [one for one in picked if _has(one, key)] or picked for key, _ in asked}
        self.branches = [
            Branch(
                (*(word for key, word in asked if isinstance(word, str) and one in apply[key]), *_options(one)),
                one,
                tuple(axis for key, axis in asked if not isinstance(axis, str) and one in apply[key]),
            )
            for one in picked
        ]
        self.base: SweepConfig = self.composer(self._sample(self.branches[0], lambda _: 0.0)[0])
        if self._searches_own_space(keys):
            self.branches = [self._with_own_space(branch, groups) for branch in self.branches]
        if not any(branch.axes for branch in self.branches) and len(self.branches) == 1:
            raise ConfigError(
                f"nothing to search: give a key several values, such as algo.lr=1e-3,3e-4 or "
                f"'algo.lr=tag(log,interval(1e-4,1e-2))'; {self._why_no_space()}"
            )

    def _why_no_space(self) -> str:
        if self._searches_own_space(()):
            return f"algo={self.base.algo.name} has no space of its own"
        return f"with space={self.base.space} no algorithm's own space is searched"

    def _searches_own_space(self, keys: Sequence[Axis]) -> bool:
        if self.base.space == "auto":
            return not keys and (len(self.branches) == 1 or not isinstance(self.base.search, GridSearch))
        return self.base.space == "true"

    def _with_own_space(self, branch: Branch, groups: Sequence[str]) -> Branch:
        taken = {axis.key for axis in branch.axes} | {word.partition("=")[0] for word in branch.words}
        own = [
            word
            for key, value in self.composer.space(branch.words).items()
            if f"algo.{key}" not in taken
            for word in [f"algo.{key}={value}"]
        ]
        plain, axes = split(own, groups)
        return Branch((*branch.words, *plain), branch.picked, (*branch.axes, *axes))

    def _sample(self, branch: Branch, fraction: Any) -> tuple[list[str], dict[str, str]]:
        """Return the overrides and values at a fraction of every axis."""
        values = dict(branch.picked) | {axis.key: at(axis, fraction(axis)) for axis in branch.axes}
        return [*branch.words, *(f"{axis.key}={values[axis.key]}" for axis in branch.axes)], values

    def _number(self, of_interval: float) -> float:
        """Return the number of combinations, given the number of values of an interval."""
        return sum(
            math.prod(len(axis.values) if isinstance(axis, Choices) else of_interval for axis in branch.axes)
            for branch in self.branches
        )

    def points(self) -> list[Point]:
        """Return the points that the search begins with: all of a grid, or those drawn.

        Raises:
            ConfigError: an invalid point, two identical ones, or more requested than exist.
        """
        search = self.base.search
        if isinstance(search, RandomSearch):
            return self._drawn(search.trials, search.seed)
        assert isinstance(search, GridSearch)
        number = int(self._number(search.interval_points))
        if number > MOST_POINTS:
            raise ConfigError(f"the grid has {number:,} points, at most {MOST_POINTS:,} are tried: set search=random")
        _announce(number)
        points = [self.point(i, *one) for i, one in enumerate(self._grid(search.interval_points))]
        seen: dict[str, Point] = {}
        for point in points:
            same = seen.setdefault(_identity(point), point)
            if same is not point:
                raise ConfigError(
                    f"{spell_values(same.values)} and {spell_values(point.values)} are the same training: leave one out"
                )
        return points

    def _grid(self, interval_points: int) -> Iterator[tuple[list[str], dict[str, str]]]:
        for branch in self.branches:
            values = [
                axis.values
                if isinstance(axis, Choices)
                else tuple(dict.fromkeys(axis.at(i / (interval_points - 1)) for i in range(interval_points)))
                for axis in branch.axes
            ]
            for combination in itertools.product(*values):
                own = dict(zip([axis.key for axis in branch.axes], combination, strict=True))
                words = [*branch.words, *(f"{key}={value}" for key, value in own.items())]
                yield words, {**branch.picked, **own}

    def _drawn(self, number: int, seed: int) -> list[Point]:
        if (exist := self._number(math.inf)) < number:
            raise ConfigError(f"search.trials={number}: the space has only {exist} points; search=grid tries them all")
        _announce(number)
        generator = random.Random(seed)
        points: list[Point] = []
        seen: set[str] = set()
        for _ in range(100 * number):
            branch = generator.choice(self.branches)
            words, values = self._sample(branch, lambda _: generator.random())
            if (typed := " ".join(words)) in seen:
                continue
            point = self.point(len(points), words, values)
            if (identity := _identity(point)) not in seen:
                points.append(point)
            seen |= {typed, identity}
            if len(points) == number:
                return points
        raise ConfigError(
            f"search.trials={number}: the space has only {len(points)} points; search=grid tries them all"
        )

    def point(self, number: int, words: Sequence[str], values: Mapping[str, str]) -> Point:
        """Compose a point.

        Raises:
            ConfigError: it is invalid.
        """
        try:
            config: SweepConfig = self.composer(words)
        except ConfigError as error:
            where = f"point {spell_values(values)}: " if values else ""
            raise ConfigError(f"{where}{error}{self._integers(str(error))}") from None
        typed = {key: value_of(key, text) for key, text in values.items() if "." in key}
        return Point(f"p{number:03d}", tuple(words), dict(values), typed, config.training())

    def _integers(self, error: str) -> str:
        """Return how an axis is written if the error is that its values are no integers."""
        for axis in (axis for branch in self.branches for axis in branch.axes if isinstance(axis, Interval)):
            if axis.key in error and not axis.integer and "an integer" in error:
                whole = f"int(interval({axis.low:g},{axis.high:g}))"
                return f"; integers are '{axis.key}={f'tag(log,{whole})' if axis.log else whole}'"
        return ""

    def corners(self) -> list[Point]:
        """Compose every branch with every axis at ends, inside and at listed values, the others at their first.

        For searches that choose their points as they go.

        Raises:
            ConfigError: one of them is invalid.
        """
        found = []
        for branch in self.branches:
            for axis in branch.axes or (None,):
                fractions = (
                    INSIDE
                    if axis is None or isinstance(axis, Interval)
                    else [(i + 0.5) / len(axis.values) for i in range(len(axis.values))]
                )
                for fraction in fractions:
                    sample = self._sample(branch, lambda each, a=axis, f=fraction: f if each is a else 0.0)
                    found.append(self.point(0, *sample))
        return found


def _announce(number: int) -> None:
    """Say that many points are being checked, if that takes seconds."""
    if number > 200:
        print(f"composing and checking {number:,} points", file=sys.stderr)


def at(axis: Axis, fraction: float) -> str:
    """Return the value at a fraction of an axis, as typed."""
    if isinstance(axis, Interval):
        return axis.at(fraction)
    return axis.values[min(int(fraction * len(axis.values)), len(axis.values) - 1)]


def _has(picked: Mapping[str, str], key: str) -> bool:
    """Whether the picked options have a key; true for keys of groups that are not axes."""
    group, dot, name = key.lstrip("+").partition(".")
    if not dot or group not in picked:
        return True
    names = [each.name for each in catalog.keys(catalog.option_path(group, picked[group]))]
    return any(each == name or each.startswith(f"{name}.") for each in names)


def _options(picked: Mapping[str, str]) -> list[str]:
    return [f"{group}={option}" for group, option in picked.items()]


def _identity(point: Point) -> str:
    return json.dumps(point.config.to_dict(), sort_keys=True)
