"""Parquet files as columns of NumPy arrays: what a short stage needs, without loading pandas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spg.project.files import readable, whole_file

Columns = dict[str, NDArray[Any]]
ROWS_PER_BATCH = 512  # a row of sweep.parquet has some 60 KB


def read_columns(path: Path) -> Columns:
    """Return every column by name; a list column is an array of arrays.

    Raises:
        UserError: when the file is missing or no Parquet file.
    """
    with readable(path):
        table = pq.read_table(path)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def write_columns(path: Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write columns of equal length."""
    with whole_file(path) as temporary:
        pq.write_table(pa.table(dict(columns)), temporary)


def select(columns: Columns, rows: NDArray[Any]) -> Columns:
    """Return the given rows (``bool [N]`` or positions) of every column."""
    return {name: values[rows] for name, values in columns.items()}


def read_batches(path: Path, names: Sequence[str]) -> Iterator[Columns]:
    """Yield some columns, `ROWS_PER_BATCH` rows at most at a time, in constant memory.

    A column of lists, which must be of equal length, comes as an array ``[N, length]``.

    Raises:
        UserError: when the file is missing or no Parquet file.
    """
    with readable(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=list(names)):
            yield {name: _array(batch[name]) for name in names}


def _array(column: pa.Array) -> NDArray[Any]:
    is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if is_list:
        flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), -1)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
