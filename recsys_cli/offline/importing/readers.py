"""Log files, batch by batch: CSV, Parquet, JSON lines. No more than a batch is in memory."""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError, one_line

BLOCK = 8 << 20  # bytes of text parsed at once
BATCH = 65_536  # rows of a Parquet file read at once
SUFFIXES = {"csv": "csv", "tsv": "csv", "parquet": "parquet", "pq": "parquet", "jsonl": "jsonl", "ndjson": "jsonl"}
MISSING = ["", "NA", "N/A", "NULL", "null", "None"]


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes:
        table: their columns; of a CSV file all are text.
        file: the file's number.
        lines: where each row stands, from 1: the line of a text file (a cell with line breaks is on one), the row of
            a Parquet file.
        damaged: lines that could not be read, and why.
    """

    table: pa.Table
    file: int
    lines: NDArray[np.int64]
    damaged: tuple[tuple[int, str], ...] = ()


def expand(data: str | Sequence[str]) -> list[Path]:
    """Return the files named by paths and globs, each once, in the order named.

    Raises:
        ConfigError: one of them names none.
    """
    found: list[Path] = []
    for pattern in [data] if isinstance(data, str) else data:
        text = str(Path(pattern).expanduser())
        matches = [text] if Path(text).exists() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        files = [Path(match) for match in matches if Path(match).is_file()]
        if not files:
            raise ConfigError(f"data={pattern}: there is no such file" + _folder_hint(Path(text)))
        found += files
    return list(dict.fromkeys(found))


def _folder_hint(path: Path) -> str:
    return f"; it is a folder: write data='{path}/*'" if path.is_dir() else ""


def format_of(path: Path, declared: str = "auto", key: str = "mapping: format") -> str:
    """Return `csv`, `parquet` or `jsonl`.

    Raises:
        ConfigError: its name does not say.
    """
    if declared != "auto":
        return declared
    suffixes = [suffix.lstrip(".").lower() for suffix in path.suffixes if suffix not in (".gz", ".bz2", ".zst")]
    kind = SUFFIXES.get(suffixes[-1]) if suffixes else None
    if kind is None:
        raise ConfigError(f"{path}: its name does not say what it is; set {key}, allowed: csv, parquet, jsonl")
    return kind


class Reader:
    """The rows of one log file.

    Attributes:
        columns: its columns, in order; those of JSON lines are known from its beginning only.
    """

    def __init__(self, path: Path, kind: str, delimiter: str = ",") -> None:
        """Look at the file's beginning.

        Raises:
            ConfigError: it cannot be read, or holds nothing.
        """
        self.path, self.kind, self.delimiter = path, kind, "\t" if path.suffix == ".tsv" else delimiter
        if path.stat().st_size == 0:
            raise ConfigError(f"{path} is empty")
        self.columns = self._guarded(self._look)
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise ConfigError(f"{path}: two columns have the name {', '.join(sorted(twice))}")

    def batches(self, file: int = 0, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows, of some columns or all; a column that a JSON line lacks is null.

        Raises:
            ConfigError: the file is damaged beyond single lines.
        """
        names = list(self.columns if columns is None else columns)
        reading = {"csv": self._csv, "parquet": self._parquet, "jsonl": self._jsonl}[self.kind](file, names)
        while True:
            batch = self._guarded(lambda: next(reading, None))
            if batch is None:
                return
            yield batch

    def _guarded(self, reading: Any) -> Any:
        try:
            return reading()
        except (pa.ArrowException, UnicodeDecodeError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk; Arrow's own have no number
                raise
            raise ConfigError(f"{self.path} is no {self.kind} file: {one_line(error)[:200]}") from None

    def _look(self) -> list[str]:
        if self.kind == "parquet":
            import pyarrow.parquet as pq

            return list(pq.read_schema(self.path).names)
        if self.kind == "csv":
            with self._csv_reader([], []) as reader:
                return list(reader.schema.names)
        first = next(self._jsonl(0, []), None)
        return [] if first is None else list(first.table.column_names)

    def _parquet(self, file: int, columns: list[str]) -> Iterator[Batch]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as source:
            start = 1
            for rows in source.iter_batches(BATCH, columns=columns):
                table = pa.Table.from_batches([rows])
                table.validate(full=True)  # texts may be none
                yield Batch(table, file, np.arange(start, start + len(table)))
                start += len(table)

    def _csv_reader(self, columns: list[str], damaged: list[Any]) -> Any:
        from pyarrow import csv

        def skip(row: Any) -> str:
            damaged.append((row.number, f"{row.actual_columns} cells instead of {row.expected_columns}"))
            return "skip"

        return csv.open_csv(
            self.path,
            read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=skip, ignore_empty_lines=False
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.string() for name in columns},
                include_columns=columns,
                null_values=MISSING,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    def _csv(self, file: int, columns: list[str]) -> Iterator[Batch]:
        damaged: list[tuple[int, str]] = []
        reported, row = 0, 0
        with self._csv_reader(columns, damaged) as reader:
            for rows in reader:
                table = pa.Table.from_batches([rows])
                # A damaged line is left out of the table, but counts as a line; the header is line 1.
                before = np.array([number for number, _ in damaged], np.int64) - 2 - np.arange(len(damaged))
                at = np.arange(row, row + len(table))
                yield Batch(table, file, at + 2 + np.searchsorted(before, at, side="right"), tuple(damaged[reported:]))
                reported, row = len(damaged), row + len(table)

    def _jsonl(self, file: int, columns: list[str]) -> Iterator[Batch]:
        start = 1
        for block in _blocks(self.path):
            count = block.count(b"\n")
            batch = _json_block(block, file, start)
            if columns:
                missing = [name for name in columns if name not in batch.table.column_names]
                table = batch.table
                for name in missing:
                    table = table.append_column(name, pa.nulls(len(table)))
                batch = Batch(table.select(columns), file, batch.lines, batch.damaged)
            yield batch
            start += count


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield whole lines of a text file, compressed or not, some megabytes at a time."""
    rest = b""
    with pa.input_stream(str(path), compression="detect") as source:
        while piece := source.read(BLOCK):
            whole, newline, tail = piece.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = tail
            else:
                rest += piece
    if rest:
        yield rest + b"\n"


def _json_block(block: bytes, file: int, start: int) -> Batch:
    """Parse lines of JSON objects; line by line only if they are not all alike."""
    from pyarrow import json as arrow_json

    lines = np.arange(start, start + block.count(b"\n"))
    try:
        block.decode()  # Arrow does not look
        table = arrow_json.read_json(
            io.BytesIO(block), arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1)
        )
        if len(table) == len(lines):
            return Batch(_without_times(table), file, lines)
    except (pa.ArrowException, UnicodeDecodeError):
        pass
    kept: list[dict[str, Any]] = []
    at: list[int] = []
    damaged: list[tuple[int, str]] = []
    for number, line in enumerate(block.split(b"\n")[:-1], start):
        try:
            value = json.loads(line)
        except ValueError:
            if line.strip():
                damaged.append((number, "no JSON"))
            continue
        if isinstance(value, dict):
            kept.append(value)
            at.append(number)
        else:
            damaged.append((number, "no JSON object"))
    return Batch(_uniform(kept), file, np.array(at, np.int64), tuple(damaged))


def _without_times(table: pa.Table) -> pa.Table:
    """Return texts where Arrow has recognised times: an id such as 2026-01-01 is none."""
    for i, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            table = table.set_column(i, column.name, table.column(i).cast(pa.string()))
    return table


def _uniform(rows: list[dict[str, Any]]) -> pa.Table:
    """Return objects as a table; a column whose values are of several types becomes JSON text."""
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, TypeError):
            texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
            columns[name] = pa.array(texts, pa.string())
    return pa.table(columns)
