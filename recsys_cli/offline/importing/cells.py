"""Cells of a log as NumPy: numbers, flags, times, ids and lists of these, however they are written."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?([iI]nf(inity)?|[nN]a[nN])$"
_UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_TIMES = (pa.timestamp("us"), pa.timestamp("us", "UTC"))


@dataclass(frozen=True)
class Cells:
    """Values, one or several a row.

    Attributes:
        values: [n], or [n, width] of lists, the end of a shorter one filled with the missing value.
        missing: rows without a value: null, empty, or no list [n].
        bad: rows with something that is not what is expected [n].
        lengths: of the lists [n]; None of single values.
    """

    values: NDArray[Any]
    missing: Bools
    bad: Bools
    lengths: NDArray[np.int64] | None = None


def plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without dictionaries; text trimmed, and null if empty."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_text(array.type):
        array = pc.utf8_trim_whitespace(array.cast(pa.string()))
        return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
    return array


def is_text(kind: pa.DataType) -> bool:
    """Whether a column's type is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column's type is lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def nulls(array: pa.Array) -> Bools:
    """Return which entries are null [n]."""
    return np.asarray(pc.is_null(array)).astype(bool)


def numbers(column: pa.ChunkedArray | pa.Array) -> Cells:
    """Return numbers as float64; nan where there is none."""
    array = plain(column)
    missing, bad = nulls(array), np.zeros(len(array), bool)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    elif is_text(array.type):
        lower = pc.utf8_lower(array)
        array = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", array))
        fits = pc.match_substring_regex(array, _NUMBER)
        bad = ~np.asarray(pc.fill_null(fits, True)).astype(bool)
        array = pc.if_else(fits, array, pa.scalar(None, pa.string()))
    elif not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
        return Cells(np.full(len(array), np.nan), missing, ~missing)
    values = np.array(pc.fill_null(pc.cast(array, pa.float64(), safe=False), np.nan), np.float64)
    return Cells(values, missing, bad)


def finite(values: Any) -> Bools:
    """Return which numbers are finite as float32, as data sets hold them."""
    there: Bools = np.abs(values) <= np.finfo(np.float32).max
    return there


def flags(column: pa.ChunkedArray | pa.Array) -> Cells:
    """Return flags, 0 or 1, as float64; anything else is bad."""
    cells = numbers(column)
    odd = ~cells.missing & ~np.isin(cells.values, (0.0, 1.0))
    return Cells(np.nan_to_num(cells.values), cells.missing, cells.bad | odd)


def texts(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return ids or categories as text: the number 12, 12.0 and the text "12" are the same."""
    array = plain(column)
    if is_text(array.type):
        if pc.any(pc.match_substring_regex(array, r"^-?\d+\.0+$")).as_py():
            array = pc.replace_substring_regex(array, r"^(-?\d+)\.0+$", r"\1")
        return array
    if pa.types.is_floating(array.type):
        whole = pc.equal(pc.floor(array), array)
        as_ints = pc.cast(pc.cast(pc.if_else(whole, array, None), pa.int64(), safe=False), pa.string())
        finite = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
        return pc.coalesce(as_ints, pc.cast(finite, pa.string()))
    if is_list(array.type) or pa.types.is_nested(array.type):
        return pa.array([None if v is None else json.dumps(v) for v in array.to_pylist()], pa.string())
    return pc.cast(array, pa.string())


def times(column: pa.ChunkedArray | pa.Array, unit: str) -> Cells:
    """Return times as milliseconds since 1970 (UTC, unless the text says otherwise), int64; 0 where there is none."""
    array = plain(column)
    missing, bad = nulls(array), np.zeros(len(array), bool)
    if pa.types.is_temporal(array.type):
        return Cells(_milliseconds(pc.cast(array, pa.timestamp("us"), safe=False)), missing, bad)
    if is_text(array.type) and not pc.all(pc.match_substring_regex(array, _NUMBER)).as_py():
        for kind in _TIMES:
            try:
                return Cells(_milliseconds(pc.cast(array, kind)), missing, bad)
            except pa.ArrowInvalid:
                continue
        found = [_moment(text) for text in array.to_pylist()]
        values = np.array([0 if moment is None else moment for moment in found], np.int64)
        return Cells(values, missing, ~missing & np.array([moment is None for moment in found], bool))
    cells = numbers(array)
    odd = ~cells.missing & ~(np.abs(cells.values) * _UNITS[unit] < 2**62)
    known = np.where(odd | cells.missing, 0, cells.values) * _UNITS[unit]
    return Cells(known.astype(np.int64), cells.missing, cells.bad | odd)


def _milliseconds(array: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.cast(array, pa.int64()), 0)).astype(np.int64) // 1_000


def _moment(text: str | None) -> int | None:
    """Return what one text says, for columns that are not written alike."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


Encode = Callable[[pa.Array], NDArray[Any]]


def lists(
    columns: Sequence[pa.ChunkedArray],
    encode: Encode,
    missing: float,
    separator: str | None = None,
) -> Cells:
    """Return lists: a column of them, a column of texts that spell them, or one column per entry.

    Args:
        columns: one or several.
        encode: turns the entries, flat, into values [m].
        missing: the value of an entry that is missing or behind the end.
        separator: of lists written as text that is no JSON; None: what is found.
    """
    if len(columns) > 1:
        values = np.stack([encode(plain(column)) for column in columns], axis=1)
        there = np.stack([~nulls(plain(column)) for column in columns], axis=1)
        lengths = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), 0)
        return Cells(np.where(there, values, missing), lengths == 0, np.zeros(len(values), bool), lengths)
    array = plain(columns[0])
    bad = np.zeros(len(array), bool)
    if is_text(array.type):
        array, bad = _spelled(array, separator)
    elif not is_list(array.type):  # single entries
        array = pa.ListArray.from_arrays(np.arange(len(array) + 1, dtype=np.int32), array, mask=pc.is_null(array))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    return Cells(_padded(encode(array.flatten()), lengths, missing), nulls(array) & ~bad, bad, lengths)


def _padded(flat: NDArray[Any], lengths: NDArray[np.int64], missing: float) -> NDArray[Any]:
    width = int(lengths.max(initial=0))
    values = np.full((len(lengths), width), missing, flat.dtype)
    values[np.arange(width) < lengths[:, None]] = flat
    return values


def _spelled(array: pa.Array, separator: str | None) -> tuple[pa.Array, Bools]:
    """Return the lists that texts spell, and which texts spell none."""
    bracketed = np.asarray(pc.starts_with(array.drop_null(), "[")).astype(bool)
    if not len(bracketed) or bracketed.mean() <= 0.5:
        parted = pc.split_pattern(array, separator or _separator(array))
        return parted, np.zeros(len(array), bool)
    if pc.any(pc.match_substring(array, "'")).as_py() and not pc.any(pc.match_substring(array, '"')).as_py():
        array = pc.replace_substring(array, "'", '"')  # as Python writes a list
    if not pc.any(pc.match_substring(array, ",")).as_py():  # as NumPy writes an array
        array = pc.replace_substring_regex(array, r"([^\s\[])\s+([^\s\]])", r"\1,\2")
        array = pc.replace_substring_regex(array, r"([^\s\[,])\s+([^\s\],])", r"\1,\2")
    return _parsed(array)


def _separator(array: pa.Array) -> str:
    return next((mark for mark in "|;, " if pc.any(pc.match_substring(array, mark)).as_py()), "|")


def _parsed(array: pa.Array) -> tuple[pa.Array, Bools]:
    """Return the lists of JSON texts, and which texts are none."""
    from pyarrow import json as arrow_json

    rows = pc.binary_join_element_wise(
        '{"v":', pc.replace_substring_regex(pc.fill_null(array, "null"), r"\s", " "), "}", ""
    )
    block = "\n".join(rows.to_pylist()).encode()
    try:
        options = arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 2)
        parsed = arrow_json.read_json(io.BytesIO(block + b"\n"), options).column("v").combine_chunks()
        if is_list(parsed.type) and not is_list(parsed.type.value_type) and len(parsed) == len(array):
            return parsed, np.zeros(len(array), bool)
    except pa.ArrowException:
        pass
    found = [_list_of(text) for text in array.to_pylist()]
    bad = np.array([text is not None and value is None for text, value in zip(array.to_pylist(), found, strict=True)])
    return pa.array(found, pa.list_(pa.string())), bad.astype(bool)


def _list_of(text: str | None) -> list[str | None] | None:
    """Return one JSON text's list, its entries as text, for columns whose lists are not alike."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(value, list):
        return None
    return [item if item is None or isinstance(item, str) else json.dumps(item) for item in value]
