"""What a log holds, added up over its kept slates, and the problem that this makes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import Documents, ProblemSpec, ResponseField
from recsys_cli.offline.importing.items import Items
from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.rows import RowReader, Rows
from recsys_cli.offline.importing.validation import present
from recsys_cli.offline.streaming import Moments

DAY = 86_400_000  # ms
MOST_TOPICS = 2_000  # items without features


@dataclass
class Summary:
    """Totals of kept slates.

    Attributes:
        slates, episodes, clicks: their numbers; `clicks` of slates with a click.
        size: the longest slate.
        short: slates with fewer documents than the longest has.
        several: slates with several clicks.
        candidates: the fewest of a row, and the last place of one.
        items: numbers of items that are shown or offered.
        days: the items shown, by day since 1970.
        response: of each response field, and whether all are 0 or 1.
        gaps: steps missing within episodes.
    """

    slates: int = 0
    episodes: int = 0
    clicks: int = 0
    size: int = 0
    short: int = 0
    several: int = 0
    longest: int = 0
    gaps: int = 0
    candidates: tuple[int, int] = (2**31, 0)
    reward: Moments = field(default_factory=lambda: Moments(1))
    time: Moments = field(default_factory=lambda: Moments(1))
    user: Moments | None = None
    document: Moments | None = None
    items: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    days: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    response: dict[str, Moments] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=lambda: defaultdict(lambda: True))
    lengths: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, columns: Rows, dense_width: int, by_day: bool) -> None:
        """Add kept slates and last observations (see `assembling.kept`).

        Args:
            columns: of whole episodes.
            dense_width: features of a candidate, if candidates are features; else 0.
            by_day: whether to keep the items of each day.
        """
        valid, lengths, step = columns["valid"], columns["lengths"], columns["step"]
        there = np.arange(columns["shown"].shape[1]) < lengths[:, None]
        self.slates += int(valid.sum())
        new = np.append(True, np.diff(columns["episode"]) > 0)
        self.episodes += int(new.sum())
        self.gaps += int((np.diff(step) > 1)[~new[1:]].sum() + (step[new] > 0).sum())
        self.longest = max(self.longest, int(step.max()) + 1)
        self.clicks += int((columns["clicked"] >= 0).sum())
        self.several += int((columns["flags"].sum(1) > 1).sum())
        self.size = max(self.size, int(lengths.max()))
        for length, count in zip(*np.unique(lengths[valid], return_counts=True), strict=True):
            self.lengths[int(length)] += int(count)
        self.reward.add(columns["reward"][valid, None])
        if "user" in columns:
            self.user = self.user or Moments(columns["user"].shape[1])
            self.user.add(columns["user"])
        if "time" in columns:
            self.time.add(columns["time"][:, None])
        for name in columns:
            if name.startswith("response."):
                self._response(name.removeprefix("response."), columns[name], there)
        self._items(columns, there, dense_width, by_day)

    def _response(self, name: str, values: NDArray[np.float64], there: NDArray[np.bool_]) -> None:
        values = values if values.ndim > 1 else values[:, None]
        width = min(values.shape[1], there.shape[1])
        flat = np.nan_to_num(values[:, :width][there[:, :width]])[:, None]
        self.response.setdefault(name, Moments(1)).add(flat)
        self.flags[name] = self.flags[name] and bool(np.isin(flat, (0.0, 1.0)).all())

    def _items(self, columns: Rows, there: NDArray[np.bool_], dense_width: int, by_day: bool) -> None:
        candidates = columns.get("candidates")
        if candidates is None:
            seen = columns["shown"][there]
            self._see(seen)
            for day in np.unique(columns["time"] // DAY) if by_day else ():
                of_day = there & (columns["time"] // DAY == day)[:, None]
                before = self.days.get(int(day), np.zeros(0, np.int32))
                self.days[int(day)] = np.union1d(before, columns["shown"][of_day])
            return
        if dense_width:
            flat = candidates[~np.isnan(candidates)].reshape(-1, dense_width)
            self.document = self.document or Moments(dense_width)
            self.document.add(flat)
        else:
            self._see(candidates[candidates >= 0])
        offered = present(candidates, dense_width)
        last = int(np.flatnonzero(offered.any(axis=0))[-1]) + 1
        self.candidates = (min(self.candidates[0], int(offered.sum(1).min())), max(self.candidates[1], last))

    def _see(self, numbers: NDArray[np.int32]) -> None:
        if len(numbers):
            top = int(numbers.max()) + 1
            if top > len(self.items):
                self.items = np.append(self.items, np.zeros(max(top - len(self.items), len(self.items)), bool))
            self.items[numbers] = True


@dataclass(frozen=True)
class Problem:
    """The spec of a log, and how its rows become numbers of this spec.

    Attributes:
        spec: the problem.
        ids: item ids in the order of their numbers; empty if documents are features.
        renumber: the number of each item as it was read; -1 at the end.
        user: for each category column, the place of each code among its one-hot features; -1 at the end.
        sizes: the number of these features.
        used: numbers of the items that are shown or offered, sorted.
        days: the same of those shown on each day since 1970, if these are the candidates.
    """

    spec: ProblemSpec
    ids: list[str]
    renumber: NDArray[np.int32]
    user: list[NDArray[np.int32]]
    sizes: list[int]
    used: NDArray[np.int32]
    days: dict[int, NDArray[np.int32]]


def problem_of(
    name: str, mapping: Mapping, summary: Summary, reader: RowReader, items: Items | None, dense: int
) -> Problem:
    """Return the problem that a log's kept slates make.

    Raises:
        ConfigError: too many categories, or more items than can be candidates or topics.
    """
    user, codes, sizes = _user(mapping, summary, reader)
    if items is not None or (mapping.items is not None and mapping.items.topics is not None):
        ids = items.ids if items is not None else [str(i) for i in range(len(reader.items))]
        renumber = np.append(np.arange(len(reader.items)), -1).astype(np.int32)
    else:
        ids, renumber = reader.items.ordered(np.flatnonzero(summary.items))
    used = np.sort(renumber[np.flatnonzero(summary.items)])
    days = {day: np.sort(renumber[seen]) for day, seen in sorted(summary.days.items())}
    fewest, most = summary.candidates
    if mapping.candidates.columns is None:
        fewest, most = _assumed_candidates(mapping, summary, len(used))
    spec = ProblemSpec(
        name=name,
        user=user,
        documents=_documents(mapping, summary, items, len(ids), dense),
        response=_response(summary),
        slate_size=summary.size,
        num_candidates=max(most, summary.size),
        min_candidates=None if fewest == most else fewest,
        reward=_reward_field(mapping),
    )
    return Problem(spec, [] if dense else ids, renumber, codes, sizes, used, days)


def _user(mapping: Mapping, summary: Summary, reader: RowReader) -> tuple[Features, list[NDArray[np.int32]], list[int]]:
    if reader.user is None:
        return Features.of(0), [], []
    names: list[str] = []
    for name, width in reader.user.numbers.items():
        names += [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
    bounds = summary.user or Moments(len(names))
    places: list[NDArray[np.int32]] = []
    sizes: list[int] = []
    for name, codes in reader.user.categories.items():
        if len(codes) > mapping.max_categories:
            raise ConfigError(
                f"user feature {name} has {len(codes):,} different texts, more than max_categories="
                f"{mapping.max_categories}: leave it out of user, or raise it"
            )
        texts, order = codes.ordered(np.arange(len(codes)))
        places.append(order)
        sizes.append(len(texts))
        names += [f"{name}={text}" for text in texts]
    low, high = (np.append(end, np.full(sum(sizes), value)) for end, value in ((bounds.low, 0.0), (bounds.high, 1.0)))
    return _features(low, high, tuple(names)), places, sizes


def _features(low: NDArray[Any], high: NDArray[Any], names: tuple[str, ...]) -> Features:
    return Features(tuple(map(float, low)), tuple(map(float, high)), names)


def _assumed_candidates(mapping: Mapping, summary: Summary, used: int) -> tuple[int, int]:
    """Return the fewest and the most candidates of a log that does not say what they were.

    Raises:
        ConfigError: more than a row should hold.
    """
    how = mapping.candidates.otherwise
    if how == "slate":
        return (min(summary.lengths), summary.size)
    sizes = [len(seen) for seen in summary.days.values()] if how == "day" else [used]
    if max(sizes) > mapping.candidates.most:
        raise ConfigError(
            f"candidates.otherwise={how}: {max(sizes):,} items were shown, more than candidates.most="
            f"{mapping.candidates.most:,} in a row: name candidates.columns, raise it, or set otherwise=slate"
        )
    return min(sizes), max(sizes)


def _documents(mapping: Mapping, summary: Summary, items: Items | None, count: int, dense: int) -> Documents:
    if dense:
        assert summary.document is not None
        return Documents(_features(summary.document.low, summary.document.high, ()))
    if items is not None and items.features.shape[1]:
        features = _features(items.features.min(0), items.features.max(0), items.names)
        return Documents(features, quality=items.quality, items=items.features)
    if count > MOST_TOPICS:
        raise ConfigError(
            f"items: {count:,} items without features, more than {MOST_TOPICS:,}: name items.file, with features"
        )
    return Documents(Features.of(count, 0.0, 1.0), topics=count)


def _response(summary: Summary) -> tuple[ResponseField, ...]:
    fields = [ResponseField("click")]
    for name, bounds in summary.response.items():
        if summary.flags[name]:
            fields.append(ResponseField(name))
        else:
            fields.append(ResponseField(name, "number", float(bounds.low[0]), float(bounds.high[0])))
    return tuple(fields)


def _reward_field(mapping: Mapping) -> str | None:
    """Return the response field that is the reward of a click, if one is."""
    if mapping.reward.of == "click":
        return "click"
    if mapping.reward.of != "clicked":
        return None
    return next((name for name, columns in mapping.response.items() if columns == mapping.reward.columns), None)
