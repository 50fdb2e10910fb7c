from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spg.data.results.columns import ROWS_PER_BATCH, read_batches
from spg.project.errors import UserError

ROWS = 2 * ROWS_PER_BATCH + 7


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of one row group, as a reader of whole groups would read at once."""
    path = tmp_path_factory.mktemp("columns") / "rows.parquet"
    curves = np.arange(3 * ROWS, dtype=np.float64).reshape(ROWS, 3)
    table = pa.table({"name": [f"i{n}" for n in range(ROWS)], "curve": curves.tolist()})
    pq.write_table(table, path, row_group_size=ROWS)
    return path


def test_batches_are_all_rows_in_order_and_small(file):
    batches = list(read_batches(file, ("curve", "name")))
    assert [len(batch["name"]) for batch in batches] == [ROWS_PER_BATCH, ROWS_PER_BATCH, 7]
    got = np.concatenate([batch["curve"] for batch in batches])
    np.testing.assert_array_equal(got, np.arange(3 * ROWS).reshape(ROWS, 3))
    assert [name for b in batches for name in b["name"]] == [f"i{n}" for n in range(ROWS)]


def test_a_file_that_is_missing_or_none_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="run the stage that writes it"):
        next(read_batches(tmp_path / "none.parquet", ("name",)))
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(UserError, match="damaged or of another kind"):
        next(read_batches(tmp_path / "text.parquet", ("name",)))
