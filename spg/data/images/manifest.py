"""manifest.parquet: one row an image. The only definition of the annotation columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spg.project.errors import UserError
from spg.project.files import readable, whole_file

if TYPE_CHECKING:
    import pandas as pd  # only named here: who reads columns need not load it

TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST = "train_weaksup", "train_fullsup", "test"
SPLITS = (TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST)

SCHEMA = pa.schema(
    {
        "image_id": pa.string(),  # the image's path, as wsolevaluation names it
        "class_id": pa.int64(),  # from 0
        "class_name": pa.string(),
        "split": pa.string(),  # one of SPLITS
        "width": pa.int64(),  # of the original image, pixels
        "height": pa.int64(),
        "boxes": pa.list_(pa.list_(pa.float64(), 4)),  # xyxy, half-open, original pixels
        # the same that someone proposes for images of train_fullsup (PROTOCOL 10)
        "pseudo_boxes": pa.list_(pa.list_(pa.float64(), 4)),
    }
)


def write_manifest(path: Path, rows: pa.Table) -> None:
    """Write the rows, in the order of the packed images, after checking them."""
    _check(rows, path)
    with whole_file(path) as temporary:
        pq.write_table(rows, temporary)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read the rows; the index is the position of the image among the packed ones.

    Raises:
        UserError: when the file is missing, or not one that :func:`write_manifest` wrote.
    """
    return _read(path).to_pandas()


class Labels(NamedTuple):
    """What a network needs to know of the packed images: columns, and no Python object for a row.

    A data frame of ILSVRC's 1.33 million rows is 1 GiB of strings and lists in every process.
    """

    image_ids: pa.ChunkedArray
    """``string [N]``, in the order of the packed images."""
    class_ids: NDArray[np.int64]
    """``int64 [N]``, from 0."""
    splits: NDArray[np.int64]
    """``int64 [N]``, places in `SPLITS`."""
    classes: list[str]
    """Names of the classes, in the order of their ids."""

    def rows_of(self, *splits: str) -> NDArray[np.int64]:
        """Return the positions of the images of ``splits``, ascending."""
        return np.flatnonzero(np.isin(self.splits, [SPLITS.index(split) for split in splits]))


def read_labels(path: Path) -> Labels:
    """Read the columns that trainings and localization need; raises what `read_manifest` does."""
    rows = _read(path)
    class_ids = rows["class_id"].to_numpy()
    first_of_each = np.unique(class_ids, return_index=True)[1]
    names = rows["class_name"].take(first_of_each).to_pylist()
    labels = Labels(rows["image_id"], class_ids, _places(rows["split"]), names)
    del rows
    pa.default_memory_pool().release_unused()  # 0.4 GiB of ILSVRC's, which Arrow would keep
    return labels


def _read(path: Path) -> pa.Table:
    with readable(path, maker="`spg prepare`"):
        table = pq.read_table(path)
    if not table.schema.equals(SCHEMA):
        raise UserError(f"{path}: unexpected columns; run `spg prepare` again")
    _check(table, path)
    return table


def _places(splits: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the place of each in `SPLITS`, -1 for any other word."""
    places = pc.fill_null(pc.index_in(splits, pa.array(SPLITS)), -1).to_numpy()
    return np.asarray(places, dtype=np.int64)


def boxes_of(row_boxes: object) -> NDArray[np.float64]:
    """Return a row's ``boxes`` as ``Float[N, 4]`` xyxy."""
    return np.array([list(box) for box in row_boxes], dtype=np.float64).reshape(-1, 4)  # type: ignore[attr-defined]


def class_names(rows: pd.DataFrame) -> list[str]:
    """Return the names of a manifest's classes, in the order of their ids."""
    named = rows.drop_duplicates("class_id").sort_values("class_id")
    return [str(name) for name in named["class_name"]]


def _check(rows: pa.Table, path: Path) -> None:
    """Refuse what no reader may hand on; whole columns, since there may be millions of rows."""
    if not rows.num_rows:
        raise UserError(f"{path}: the manifest has no image")
    split, class_id = _places(rows["split"]), rows["class_id"].to_numpy()
    weaksup, fullsup, test = (SPLITS.index(one) for one in (TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST))
    sizes = np.stack([rows["width"].to_numpy(), rows["height"].to_numpy()], axis=1)
    count, boxes_inside = _counted(rows["boxes"], sizes)
    pseudo_count, pseudo_inside = _counted(rows["pseudo_boxes"], sizes)
    tests_boxed, held_out = count[split == test] > 0, split == fullsup
    trained = np.unique(class_id[split == weaksup])
    problems = {
        "an empty cell": any(column.null_count for column in rows.columns),
        "an image_id twice": pc.count_distinct(rows["image_id"]).as_py() != rows.num_rows,
        "an unknown split": bool((split < 0).any()),
        "an image without pixels": bool((sizes < 1).any()),
        "class ids that do not count from 0": bool((np.unique(class_id)
            != np.arange(len(np.unique(class_id)))).any()),
        "a class without training image": not np.array_equal(trained, np.unique(class_id)),
        "test images with boxes and others without": bool(tests_boxed.any()
            and not tests_boxed.all()),
        "a held-out image without a box": bool(count.any()
            and (count + pseudo_count < 1)[held_out].any()),
        "pseudo-boxes of an image that is not held out": bool((pseudo_count > 0)[~held_out].any()),
        "a box without area or outside its image": not (boxes_inside and pseudo_inside),
    }  # fmt: skip
    found = [problem for problem, holds in problems.items() if holds]
    if found:
        raise UserError(f"{path}: the manifest has {' and '.join(found)}")


def _counted(column: pa.ChunkedArray, sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """Return how many boxes each image has, and whether all have area and lie in their images."""
    boxes = column.combine_chunks()
    count = pc.list_value_length(boxes).to_numpy(zero_copy_only=False)
    corners = boxes.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 2, 2)
    ends = np.repeat(sizes, count, axis=0)
    fit = (corners[:, 0] >= 0) & (corners[:, 0] < corners[:, 1]) & (corners[:, 1] <= ends)
    return count, bool(fit.all())


def spread(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return up to ``count`` of ``places``, evenly spaced and off both ends: images to show.

    Example:
        >>> spread(np.arange(100), 3)
        array([24, 49, 74])
    """
    inner = np.linspace(0, len(places) - 1, count + 2).astype(int)[1:-1]
    chosen: NDArray[np.int64] = places[np.unique(inner)]
    return chosen
