"""A log's rows as NumPy columns: every cell read as what the mapping says it is, problems marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.importing import cells
from recsys_cli.offline.importing.cells import Cells
from recsys_cli.offline.importing.codes import ABSENT, UNKNOWN, Codes, combined, hashes, mixed
from recsys_cli.offline.importing.columns import resolve_columns
from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.readers import Batch, Reader
from recsys_cli.offline.importing.refusals import Reasons

Rows = dict[str, NDArray[Any]]
"""Columns of n rows by name: `session`, `slate_id` (hashes), `row`, `source`, `line`, `reason` (0: none), `order`,
`time`, `position`, `user`, `category`, `shown`, `candidates`, `clicks`, `reward`, `propensity`, `response.<name>`,
`terminated`, `truncated`, `valid`; lists are [n, width], the rest of a shorter one -1 or nan."""


class UserColumns:
    """Which features of a user are numbers, which are categories; decided by the first rows.

    Attributes:
        numbers: columns of numbers, or lists of them, and their widths.
        categories: columns of categories, and the texts seen.
    """

    def __init__(self, names: Sequence[str], batch: Batch, forced: Sequence[str]) -> None:
        """Look at the first rows."""
        self.numbers: dict[str, int] = {}
        self.categories: dict[str, Codes] = {}
        for name in names:
            array = cells.plain(batch.table.column(name))
            if name in forced or (_is_text(array) and not _spells_numbers(array)):
                self.categories[name] = Codes()
            else:
                self.numbers[name] = _width(array)

    def read(self, table: pa.Table, refuse: Callable[[Any, str], None], zero: bool) -> Rows:
        """Return `user` [n, numbers] float32 and `category` [n, categories] of codes."""
        numbers = [np.zeros((len(table), 0), np.float32)]
        for name, width in self.numbers.items():
            read = _lists if width != 1 else _single
            found = read(table.column(name))
            values = np.full((len(table), width), np.nan)
            values[:, : found.values.shape[1]] = found.values[:, :width]
            refuse(found.bad, f"user feature {name} is no number")
            if found.lengths is not None:
                refuse(~found.missing & (found.lengths != width), f"user feature {name} has not {width} entries")
            if zero:
                values[found.missing] = 0
            refuse(found.missing & (not zero), f"user feature {name} is missing")
            good = cells.finite(values)
            refuse(~good.all(1), f"user feature {name} is no finite number")
            numbers.append(np.where(good, values, 0).astype(np.float32))
        categories = [np.zeros((len(table), 0), np.int32)]
        for name, codes in self.categories.items():
            numbers_of = codes.encode(cells.texts(table.column(name)))
            refuse((numbers_of < 0) & (not zero), f"user feature {name} is missing")
            categories.append(numbers_of[:, None])
        return {"user": np.concatenate(numbers, axis=1), "category": np.concatenate(categories, axis=1)}


def _is_text(array: pa.Array) -> bool:
    return cells.is_text(array.type)


def _spells_numbers(array: pa.Array) -> bool:
    lists = array.drop_null()
    if len(lists) and lists[0].as_py().startswith("["):
        return True
    read = cells.numbers(array)
    return not read.bad.any() and not read.missing.all()


def _width(array: pa.Array) -> int:
    if not (cells.is_list(array.type) or _is_text(array)):
        return 1
    lengths = _lists(array).lengths
    assert lengths is not None
    return max(int(lengths.max(initial=1)), 1)


def _lists(column: Any) -> Cells:
    return cells.lists([column], lambda flat: cells.numbers(flat).values, np.nan)


def _single(column: Any) -> Cells:
    found = cells.numbers(column)
    return Cells(found.values[:, None], found.missing, found.bad)


class RowReader:
    """Reads batches of one log into `Rows`.

    Attributes:
        items: numbers of item ids.
        user: the user's columns; None before the first rows.
        count: rows read so far.
    """

    def __init__(self, mapping: Mapping, items: Codes, reasons: Reasons) -> None:
        """Read nothing yet."""
        self.mapping, self.items, self.reasons = mapping, items, reasons
        self.user: UserColumns | None = None
        self.count = 0

    def columns(self, reader: Reader) -> dict[str, list[str]]:
        """Return the columns of a file that each key of the mapping stands for.

        Raises:
            ConfigError: one stands for none.
        """
        where = reader.path.name
        named = {key: resolve_columns(key, names, reader.columns, where) for key, names in self.mapping.named().items()}
        wide = ("slate.columns", "clicks.columns", "reward.columns", "propensity.columns")
        for key in wide if self.mapping.rows == "impression" else ():
            if len(named.get(key, ())) > 1:
                raise ConfigError(f"{key}={named[key]}: with rows=impression one column is expected")
        return named

    def read(self, batch: Batch, columns: dict[str, list[str]]) -> Rows:
        """Return the rows of a batch; what is wrong with one is in `reason`."""
        return _BatchReader(self, batch, columns).rows()


class _BatchReader:
    """Reads one batch; keeps what all its columns share."""

    def __init__(self, owner: RowReader, batch: Batch, columns: dict[str, list[str]]) -> None:
        self.owner, self.mapping, self.batch, self.columns = owner, owner.mapping, batch, columns
        self.table = batch.table
        self.n = len(self.table)
        self.reason = np.zeros(self.n, np.int16)

    def refuse(self, where: NDArray[np.bool_], why: str) -> None:
        """Mark rows, unless they are marked already."""
        if where.any():
            self.reason[where & (self.reason == 0)] = self.owner.reasons.code(why)

    def rows(self) -> Rows:
        """Return all columns."""
        start = self.owner.count
        self.owner.count += self.n
        rows: Rows = {
            "row": np.arange(start, start + self.n),
            "source": np.full(self.n, self.batch.file, np.int32),
            "line": self.batch.lines,
            "valid": self._flag("valid", True),
        }
        rows |= self._keys(rows["row"]) | self._order()
        if "user" in self.columns:
            if self.owner.user is None:
                self.owner.user = UserColumns(self.columns["user"], self.batch, self._forced())
            rows |= self.owner.user.read(self.table, self.refuse, self.mapping.user_missing == "zero")
        rows |= self._slates(rows["valid"]) | self._outcome(rows["valid"])
        rows |= {name: self._flag(name, False) for name in ("terminated", "truncated")}
        return {**rows, "reason": self.reason}

    def _forced(self) -> list[str]:
        names = self.columns["user"]
        return [name for name in names if any(fnmatchcase(name, pattern) for pattern in self.mapping.categories)]

    def _column(self, key: str) -> pa.ChunkedArray | None:
        names = self.columns.get(key)
        return None if names is None else self.table.column(names[0])

    def _hashes(self, key: str, what: str) -> NDArray[np.uint64] | None:
        names = self.columns.get(key)
        if names is None:
            return None
        texts = [cells.texts(self.table.column(name)) for name in names]
        for each in texts:
            self.refuse(cells.nulls(each), f"{what} is missing")
        return combined([hashes(each) for each in texts])

    def _keys(self, row: NDArray[np.int64]) -> Rows:
        session = self._hashes("session", "session")
        if self.mapping.rows == "slate":
            return {"session": row.astype(np.uint64) if session is None else session}
        slate = self._hashes("slate_id", "slate_id")
        slate = row.astype(np.uint64) if slate is None else slate
        if session is None:
            return {"session": slate, "slate_id": slate}
        return {"session": session, "slate_id": mixed(session + np.uint64(1)) ^ slate}

    def _order(self) -> Rows:
        rows: Rows = {}
        if (column := self._column("step")) is not None:
            step = cells.numbers(column)
            self.refuse(step.missing, "step is missing")
            self.refuse(~np.isfinite(step.values), "step is no number")
            rows["order"] = np.nan_to_num(step.values)
        if (column := self._column("time")) is not None:
            time = cells.times(column, self.mapping.time_unit)
            self.refuse(time.missing, "time is missing")
            self.refuse(time.bad, "time is no time")
            rows["time"] = time.values
        return rows

    def _flag(self, key: str, default: bool) -> NDArray[np.bool_]:
        column = self._column(key)
        if column is None:
            return np.full(self.n, default)
        found = cells.flags(column)
        self.refuse(found.bad, f"{key} is neither 0 nor 1")
        self.refuse(found.missing, f"{key} is missing")
        return found.values.astype(bool)

    def _values(self, key: str, of_items: bool = False) -> Cells | None:
        """Return a key's lists, or single values of impressions, of numbers or of items' numbers."""
        names = self.columns.get(key)
        if names is None:
            return None
        encode = self._items if of_items else _numbers
        columns = [self.table.column(name) for name in names]
        if self.mapping.rows == "impression" and not key.startswith("candidates"):
            array = cells.plain(columns[0])
            return Cells(encode(array), cells.nulls(array), np.zeros(self.n, bool))
        return cells.lists(columns, encode, ABSENT if of_items else np.nan, self.mapping.list_separator)

    def _items(self, flat: pa.Array) -> NDArray[np.int32]:
        return self.owner.items.encode(cells.texts(flat))

    def _slates(self, valid: NDArray[np.bool_]) -> Rows:
        positions, dense = self.mapping.slate.of == "positions", self.mapping.candidates.of == "features"
        shown = self._values("slate.columns", of_items=not positions)
        assert shown is not None
        self.refuse(shown.bad, "slate is no list")
        self.refuse(valid & shown.missing, "slate is missing")
        rows: Rows = {"shown": _whole(shown.values) if positions else shown.values}
        if (column := self._column("slate.position")) is not None:
            position = cells.numbers(column)
            self.refuse(~np.isfinite(position.values), "position is missing or no number")
            rows["position"] = np.nan_to_num(position.values)
        if (candidates := self._values("candidates.columns", of_items=not dense)) is not None:
            self.refuse(candidates.bad, "candidates are no list")
            self.refuse(candidates.missing, "candidates are missing")
            rows["candidates"] = _dense(candidates.values) if dense else candidates.values
            self._mask(rows["candidates"])
        return rows

    def _mask(self, candidates: NDArray[Any]) -> None:
        """Take out the entries that are no candidates."""
        names = self.columns.get("candidates.mask")
        if names is None:
            return
        found = cells.lists([self.table.column(names[0])], _numbers, np.nan, self.mapping.list_separator)
        absent = (found.values == 0).repeat(self.mapping.candidates.width or 1, axis=1)
        if absent.shape == candidates.shape:
            candidates[absent] = np.nan if candidates.dtype.kind == "f" else ABSENT
        else:
            self.refuse(np.ones(self.n, bool), "the mask has not one entry per candidate")

    def _outcome(self, valid: NDArray[np.bool_]) -> Rows:
        rows: Rows = {}
        clicked_items = self.mapping.clicks is not None and self.mapping.clicks.of == "items"
        for name in ("clicks", "reward", "propensity", *(f"response.{each}" for each in self.mapping.response)):
            key = name if name.startswith("response") else f"{name}.columns"
            found = self._values(key, of_items=clicked_items and name == "clicks")
            if found is not None:
                self.refuse(found.bad, f"{name} cannot be read")
                rows[name] = found.values
                if name in ("reward", "propensity"):
                    self.refuse(valid & found.missing, f"{name} is missing")
        return rows


def _numbers(flat: pa.Array) -> NDArray[np.float64]:
    """Return numbers; what is none is infinite, so that it is refused as not finite."""
    found = cells.numbers(flat)
    values: NDArray[np.float64] = np.where(found.bad, np.inf, found.values)
    return values


def _dense(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return features as float32; what is too large is infinite, so that it is refused."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _whole(values: NDArray[Any]) -> NDArray[np.int32]:
    """Return whole numbers; anything else is unknown, nan is absent."""
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**31)
    return np.where(
        whole, np.nan_to_num(values, posinf=0, neginf=0), np.where(np.isnan(values), ABSENT, UNKNOWN)
    ).astype(np.int32)
