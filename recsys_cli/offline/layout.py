"""The layout of a data set on disk: Parquet columns and their types.

Measured (`experiments/recording`): fixed-size lists without dictionaries are written and read fastest; rows sorted by
episode compress a user's unchanged features to almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import INDEX, ProblemSpec
from recsys_cli.offline.steps import Steps

if TYPE_CHECKING:
    import pyarrow as pa

RESPONSE = "response_"  # prefix of the response's columns
SCALARS = {
    "episode": np.int64,
    "step": np.int32,
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "valid": np.bool_,
    "time": np.int64,
}
_KINDS = {"flag": np.int8, "number": np.float32, "category": np.int32}


def position_dtype(size: int) -> type[np.signedinteger[Any]]:
    """Return the smallest dtype that holds positions 0 to `size`, and -1."""
    return np.int8 if size < 128 else np.int16 if size < 32_768 else np.int32


def dtypes(spec: ProblemSpec) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Return every possible column's dtype and the shape of one row."""
    k, width, documents = spec.slate_size, spec.width, spec.documents
    numbered = documents.compact == INDEX
    return {
        **{name: (dtype, ()) for name, dtype in SCALARS.items()},
        "user": (np.float32, (len(spec.user),)),
        "doc": (documents.number_dtype, (width,)) if numbered else (np.float32, (width, len(documents))),
        "mask": (np.bool_, (width,)),
        "slate": (position_dtype(width), (k,)),
        "log_propensity": (np.float32, (k,)),
        "clicked": (position_dtype(k), ()),
        **{f"{RESPONSE}{each.name}": (_KINDS[each.kind], (k,)) for each in spec.response},
    }


def to_table(steps: Steps, spec: ProblemSpec) -> pa.Table:
    """Return the rows as an Arrow table; features that are all absent have no column.

    Raises:
        ValueError: an array has not the shape that the spec says.
    """
    import pyarrow as pa

    arrays: dict[str, Any] = {name: getattr(steps, name) for name in dtypes(spec) if hasattr(steps, name)}
    arrays |= {f"{RESPONSE}{name}": values for name, values in steps.response.items()}
    columns = {}
    for name, (dtype, shape) in dtypes(spec).items():
        values = arrays.get(name)
        if values is None or 0 in shape:
            continue
        if values.shape[1:] != shape:
            raise ValueError(f"{name} {list(values.shape)} must be {['n', *shape]}")
        flat = _to_arrow(np.ascontiguousarray(values, dtype).reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape))) if shape else flat
    return pa.table(columns)


def from_table(table: pa.Table | pa.RecordBatch, spec: ProblemSpec) -> Steps:
    """Return the rows of an Arrow table.

    Raises:
        ConfigError: a column is missing or of another type than the spec says.
    """
    n, arrays = table.num_rows, {}
    for name, (dtype, shape) in dtypes(spec).items():
        if name in table.column_names:
            arrays[name] = _values(table.column(name), name, dtype, (n, *shape))
        elif 0 in shape:
            arrays[name] = np.zeros((n, *shape), dtype)
    names = [each.name for each in spec.response]
    response = {name: arrays.pop(key) for name in names if (key := f"{RESPONSE}{name}") in arrays}
    try:
        return Steps(**arrays, response=response)
    except TypeError as error:
        raise ConfigError(f"a part lacks columns: {error}") from None


def _values(column: Any, name: str, dtype: type, shape: tuple[int, ...]) -> Any:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # of no rows
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    if column.null_count or column.type != pa.from_numpy_dtype(np.dtype(dtype)) or len(column) != np.prod(shape):
        raise ConfigError(f"column {name} is {column.type}, and must be {np.dtype(dtype)} {list(shape)} without nulls")
    return _from_arrow(column, dtype).reshape(shape)


# Arrow's own conversions from and to NumPy import pandas, which takes as long as reading a million rows.
def _to_arrow(values: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    raw = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(raw)])


def _from_arrow(column: pa.Array, dtype: type) -> NDArray[Any]:
    count, start, data = len(column), column.offset, column.buffers()[1]
    if not count:
        return np.zeros(0, dtype)
    if dtype is not np.bool_:
        # A copy: torch warns of what is read-only.
        return np.frombuffer(data, dtype, count, start * np.dtype(dtype).itemsize).copy()
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=start + count, bitorder="little")
    return bits[start:].view(np.bool_)
