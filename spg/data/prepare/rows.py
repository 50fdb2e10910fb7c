"""The rows of manifest.parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spg.data.images.manifest import SCHEMA
from spg.data.layouts.annotations import Annotation
from spg.data.prepare.boxes import clipped

ROWS_AT_A_TIME = 1024  # as Python objects all of them would take far more memory


def manifest_rows(
    images: Sequence[Annotation], splits: Sequence[str], sizes: NDArray[np.int64]
) -> pa.Table:
    """Return one row an image, its boxes cut at the border.

    Args:
        images: all images, in the order in which they are packed.
        splits: of each.
        sizes: of each, ``int64 [N, 2]``, width and height, pixels.
    """
    return pa.concat_tables(_tables(images, splits, sizes)).combine_chunks()


def _tables(
    images: Sequence[Annotation], splits: Sequence[str], sizes: NDArray[np.int64]
) -> Iterator[pa.Table]:
    for start in range(0, len(images), ROWS_AT_A_TIME):
        stop = start + ROWS_AT_A_TIME
        own, edges = images[start:stop], sizes[start:stop].tolist()
        columns = {
            "image_id": [item.image_id for item in own],
            "class_id": [item.class_id for item in own],
            "class_name": [item.class_name for item in own],
            "split": splits[start:stop],
            "width": [width for width, _ in edges],
            "height": [height for _, height in edges],
            "boxes": [clipped(i.boxes, edge) for i, edge in zip(own, edges, strict=True)],
            "pseudo_boxes": [
                clipped(i.pseudo_boxes, edge) for i, edge in zip(own, edges, strict=True)
            ],
        }
        yield pa.table(columns, schema=SCHEMA)
