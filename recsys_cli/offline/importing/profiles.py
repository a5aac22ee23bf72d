"""What a log's columns hold, judged by their first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.importing import cells
from recsys_cli.offline.importing.codes import Codes, combined, hashes
from recsys_cli.offline.importing.readers import Reader

MOST_TEXTS = 200_000  # of which a column's profile keeps all
MOST_CATEGORIES = 100


@dataclass(frozen=True)
class Profile:
    """One column.

    Attributes:
        kind: `number`, `text`, `list` or `empty`.
        inner: the kind of a list's entries; else `kind`.
        low, high: of numbers, or of numbers in lists.
        texts: the different values, as text.
        unique: whether no value is there twice.
        missing: rows without a value.
        width: entries of the longest list.
        is_time: whether the values are times written as text, or of a type of times.
        whole: whether all numbers are whole.
    """

    kind: str
    inner: str
    low: float
    high: float
    texts: frozenset[str]
    unique: bool
    missing: int
    width: int
    is_time: bool
    whole: bool

    @property
    def is_list(self) -> bool:
        """Whether the cells are lists."""
        return self.kind == "list"

    @property
    def is_flag(self) -> bool:
        """Whether all numbers are 0 or 1."""
        return self.inner == "number" and self.texts <= {"0", "1", "true", "false", "True", "False"}

    @property
    def is_feature(self) -> bool:
        """Whether it can be a user's feature: numbers, lists of them, or few different texts."""
        return self.inner == "number" or (self.kind == "text" and len(self.texts) <= MOST_CATEGORIES)

    def time_unit(self) -> str:
        """Return the unit of times that are numbers: the one that gives this century."""
        for unit, size in (("s", 1e9), ("ms", 1e12), ("us", 1e15)):
            if self.high < 5 * size:
                return unit
        return "ns"

    def words(self) -> str:
        """Return what it holds, in words."""
        missing = f", {self.missing:,} missing" if self.missing else ""
        lists = f"lists of up to {self.width} " if self.is_list else ""
        if self.kind == "empty":
            return "empty"
        if self.is_time:
            return f"times{missing}"
        if self.inner == "number":
            return f"{lists}numbers from {self.low:g} to {self.high:g}{missing}"
        return f"{lists}texts, {len(self.texts):,} different{missing}"


def first_rows(reader: Reader) -> pa.Table:
    """Return a file's first rows.

    Raises:
        ConfigError: it has none.
    """
    batch = next(reader.batches(), None)
    if batch is None or not len(batch.table):
        raise ConfigError(f"{reader.path} holds no rows")
    return batch.table


def profiles_of(table: pa.Table) -> dict[str, Profile]:
    """Return the profiles of a table's columns."""
    return {name: _profile(table.column(name)) for name in table.column_names if name}


def groups_of(table: pa.Table, by: Sequence[str], column: str) -> tuple[int, int]:
    """Return how many groups of rows there are, and how many pairs of group and value of a column."""
    parts = [hashes(cells.texts(table.column(name))) for name in (*by, column)]
    return len(np.unique(combined(parts[:-1]))), len(np.unique(combined(parts)))


def _profile(column: pa.ChunkedArray) -> Profile:
    array = cells.plain(column)
    missing = array.null_count
    spelled = cells.is_text(array.type) and _spell_lists(array)
    if missing == len(array):
        return Profile("empty", "empty", 0, 0, frozenset(), False, missing, 0, False, False)
    if cells.is_list(array.type) or spelled:
        codes = Codes()
        lists = cells.lists([array], lambda flat: codes.encode(cells.texts(flat)), -1)
        found = _profile(pa.chunked_array([codes.values])) if len(codes) else None
        inner = (
            ("empty", 0.0, 0.0, frozenset[str](), False)
            if found is None
            else (found.kind, found.low, found.high, found.texts, found.whole)
        )
        return Profile("list", *inner[:4], False, missing, lists.values.shape[1], False, inner[4])
    numbers = cells.numbers(array)
    texts = frozenset(pc.unique(cells.texts(array)).drop_null().to_pylist()[:MOST_TEXTS])
    unique = len(texts) == len(array) - missing
    if not numbers.bad.any() and not pa.types.is_temporal(array.type):
        known = numbers.values[np.isfinite(numbers.values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        whole = bool((known == np.floor(known)).all())
        return Profile("number", "number", low, high, texts, unique, missing, 1, False, whole)
    is_time = pa.types.is_temporal(array.type) or not cells.times(array, "ms").bad.any()
    return Profile("text", "text", 0, 0, texts, unique, missing, 1, is_time, False)


def _spell_lists(array: pa.Array) -> bool:
    """Whether texts are lists: in brackets, or of numbers between separators."""
    known = array.drop_null()
    if not len(known):
        return False
    listed = pc.match_substring_regex(known, r"^\[.*\]$|^[\w.-]+([|;,][\w.-]+)+$")
    return bool(pc.mean(listed.cast(pa.int8())).as_py() > 0.9)
