"""manifest.parquet: one row an image. The only definition of the annotation columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spg.errors import UserError
from spg.files import whole_file

if TYPE_CHECKING:
    import pandas as pd  # only named here: who reads columns need not load it

TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST = "train_weaksup", "train_fullsup", "test"
SPLITS = (TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST)

SCHEMA = pa.schema(
    {
        "image_id": pa.int64(),  # the data set's own number
        "path": pa.string(),  # inside the archive's images/
        "class_id": pa.int64(),  # from 0
        "class_name": pa.string(),
        "split": pa.string(),  # one of SPLITS
        "width": pa.int64(),  # of the original image, pixels
        "height": pa.int64(),
        "boxes": pa.list_(pa.list_(pa.float64(), 4)),  # xyxy, half-open, original pixels
    }
)


def write_manifest(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows, in the order of the packed images, after checking them."""
    _check(rows, path)
    table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read the rows; the index is the position of the image among the packed ones.

    Raises:
        UserError: when the file is missing, or not one that :func:`write_manifest` wrote.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `spg prepare` first") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not readable ({error}); run `spg prepare` again") from None
    if table.schema.names != SCHEMA.names:
        raise UserError(f"{path}: unexpected columns; run `spg prepare` again")
    rows = table.to_pandas()
    _check(rows, path)
    return rows


def boxes_of(row_boxes: object) -> NDArray[np.float64]:
    """Return a row's ``boxes`` as ``Float[N, 4]`` xyxy."""
    return np.array([list(box) for box in row_boxes], dtype=np.float64).reshape(-1, 4)  # type: ignore[attr-defined]


def class_names(rows: pd.DataFrame) -> list[str]:
    """Return the names of a manifest's classes, in the order of their ids."""
    named = rows.drop_duplicates("class_id").sort_values("class_id")
    return [str(name) for name in named["class_name"]]


def _check(rows: pd.DataFrame, path: Path) -> None:
    problems = {
        "no image": rows.empty,
        "an image_id twice": bool(rows["image_id"].duplicated().any()),
        "an unknown split": not set(rows["split"]) <= set(SPLITS),
        "a class without training image": set(rows["class_id"])
        != set(rows.loc[rows["split"] == TRAIN_WEAKSUP, "class_id"]),
        "class ids that do not count from 0": rows["class_id"].nunique()
        != rows["class_id"].max() + 1,
    }
    found = [problem for problem, holds in problems.items() if holds]
    if found:
        raise UserError(f"{path}: the manifest has {' and '.join(found)}")
