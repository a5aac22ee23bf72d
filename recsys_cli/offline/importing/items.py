"""The items' table: ids and features from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.importing import cells
from recsys_cli.offline.importing.codes import Codes
from recsys_cli.offline.importing.columns import as_list, resolve_columns
from recsys_cli.offline.importing.mapping import ItemsTable, Mapping
from recsys_cli.offline.importing.readers import Reader, format_of


@dataclass(frozen=True)
class Items:
    """Known items.

    Attributes:
        ids: as text, in the order of their numbers.
        features: [M, F] float32.
        names: of the features.
        quality: which feature is the quality, if any.
    """

    ids: list[str]
    features: NDArray[np.float32]
    names: tuple[str, ...]
    quality: int | None = None


def read_items(mapping: Mapping, folders: Sequence[Path]) -> Items | None:
    """Read the items that a mapping names; None if it names no file.

    Args:
        mapping: the mapping.
        folders: where a relative path may start; the first that has the file counts.

    Raises:
        ConfigError: the file is missing, or damaged, or an id is missing or there twice, or a feature is not a number.
    """
    if mapping.items is None or mapping.items.file is None:
        return None
    paths = [folder / Path(mapping.items.file).expanduser() for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(
            f"items.file={mapping.items.file}: there is no {' and no '.join(map(str, dict.fromkeys(paths)))}"
        )
    if path.suffix == ".npy":
        return _of_array(path)
    reader = Reader(path, format_of(path, key="the file's name"), mapping.delimiter)
    (id_column,) = resolve_columns("items.id", [mapping.items.id], reader.columns, path.name)
    batches = list(reader.batches())
    damaged = [line for batch in batches for line, _ in batch.damaged]
    if damaged:
        raise ConfigError(f"items.file={path}: line {damaged[0]} cannot be read")
    table = pa.concat_tables([batch.table for batch in batches], promote_options="permissive")
    ids = _ids(cells.texts(table.column(id_column)), path)
    names = _feature_columns(mapping.items, id_column, reader.columns, path)
    blocks: list[NDArray[np.float32]] = []
    labels: list[str] = []
    for name in names:
        values, of = _feature(name, table.column(name), mapping, path)
        blocks.append(values)
        labels += of
    features = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(ids), 0), np.float32)
    return Items(ids, features, tuple(labels), _quality(mapping.items, labels, path))


def _of_array(path: Path) -> Items:
    """Return a data set's own table: ids are the numbers of rows."""
    try:
        features = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"items.file={path}: {error}") from None
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ConfigError(f"items.file={path}: an array [items, features] of finite numbers is expected")
    return Items([str(i) for i in range(len(features))], features.astype(np.float32), ())


def _ids(texts: pa.Array, path: Path) -> list[str]:
    if texts.null_count:
        raise ConfigError(f"items.file={path}: {texts.null_count} items have no id")
    counts = texts.value_counts()
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()
    if twice:
        raise ConfigError(f"items.file={path}: item {twice[0]} is there more than once")
    ids: list[str] = texts.to_pylist()
    return ids


def _feature_columns(table: ItemsTable, id_column: str, columns: list[str], path: Path) -> list[str]:
    if table.features is None:  # the nameless first column is the index that pandas writes
        return [name for name in columns if name not in (id_column, "")]
    return resolve_columns("items.features", as_list(table.features), columns, path.name)


def _feature(name: str, column: pa.ChunkedArray, mapping: Mapping, path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Return a column's features [M, f] and their names: numbers, a list of numbers, or categories, one or several."""
    found = cells.numbers(column)
    if not found.bad.any() and name not in mapping.categories:
        if not np.isfinite(found.values).all():
            at = int(np.flatnonzero(~np.isfinite(found.values))[0])
            raise ConfigError(f"items.file={path}: {name} of item {at + 1} is missing or not finite")
        return found.values[:, None].astype(np.float32), [name]
    lists = cells.lists([column], lambda flat: cells.numbers(flat).values, np.nan, mapping.list_separator)
    assert lists.lengths is not None
    if np.isfinite(lists.values).all() and lists.values.shape[1] > 1:
        return lists.values.astype(np.float32), [f"{name}_{i}" for i in range(lists.values.shape[1])]
    return _categories(name, column, mapping, path)


def _categories(
    name: str, column: pa.ChunkedArray, mapping: Mapping, path: Path
) -> tuple[NDArray[np.float32], list[str]]:
    codes = Codes()
    separator = mapping.list_separator or ("|" if cells.is_text(column.type) else None)
    found = cells.lists([column], lambda flat: codes.encode(cells.texts(flat)), -1, separator)
    if len(codes) > mapping.max_categories:
        raise ConfigError(
            f"items.file={path}: {name} has {len(codes):,} different texts, more than max_categories="
            f"{mapping.max_categories}: leave it out of items.features, or raise it"
        )
    texts, order = codes.ordered(np.arange(len(codes)))
    values = np.zeros((len(column), len(texts) + 1), np.float32)
    values[np.arange(len(column))[:, None], order[found.values]] = 1
    return values[:, :-1], [f"{name}={text}" for text in texts]


def _quality(table: ItemsTable, labels: list[str], path: Path) -> int | None:
    if table.quality is None:
        return None
    if table.quality not in labels:
        raise ConfigError(f"items.quality={table.quality} is not among the features of {path}")
    return labels.index(table.quality)


def known_codes(mapping: Mapping, items: Items | None) -> Codes:
    """Return the numbers of item ids: fixed if the items are known beforehand."""
    if items is not None:
        return Codes(items.ids, fixed=True)
    if mapping.items is not None and mapping.items.topics is not None:
        return Codes([str(topic) for topic in range(mapping.items.topics)], fixed=True)
    return Codes()
