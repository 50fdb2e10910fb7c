"""sweep.parquet: a row for each extractor and localized image, with its curves over thresholds.

Where maps are normalized in P ways, one for each percentile of ``ivr``, the curves of all of them
lie behind each other: G = P T numbers instead of T. P is 1 for every other normalization.

Its first columns are those of :data:`SCHEMA`; what ``sweep.measures`` of params.yaml measures
follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spg.project.files import readable
from spg.project.plugins import find_plugin

TABLE, FACTS = "sweep.parquet", "sweep.json"
CURVE = pa.list_(pa.float64())

SCHEMA = pa.schema(
    {
        "extractor": pa.string(),
        "image_id": pa.string(),
        "split": pa.string(),
        # [G], NaN where the image has no true box: IoU with it at each threshold
        "iou": CURVE,  # of the largest component's box
        "second_iou": CURVE,  # of the second largest one's
        "iou_all": CURVE,  # the best of every component and hole
        "pseudo_iou": CURVE,  # as `iou`, with the image's pseudo-boxes instead (PROTOCOL 10)
        "box": pa.list_(pa.float32()),  # the largest one's, flattened [G, 4], xyxy in the image
        "cam_code_iou": CURVE,  # of that code's first two boxes, flattened [P, 2]
        "cam_code_box": CURVE,  # its first, flattened [P, 4]
        # of background, object and telling parts between thresholds, flattened [P, 3, T + 2]; zeros
        # where there is no such mask
        "pixels": pa.list_(pa.int32()),
        "graph_cut_iou": pa.float64(),  # null for extractors that are not asked for it
        "graph_cut_box": pa.list_(pa.float64(), 4),
    }
)


def schema_with(measures: Sequence[str]) -> pa.Schema:
    """Return :data:`SCHEMA` and a column, ``Float[P]``, for each number of the measures.

    NaN stands for what an image has not.

    Args:
        measures: files in spg/evaluate/sweep/measures.
    """
    fields = [pa.field(n, CURVE) for m in measures for n in find_plugin("measure", m).COLUMNS]
    return pa.schema([*SCHEMA, *fields])


def measured_columns(path: Path) -> list[str]:
    """Return the columns of a sweep.parquet that its measures have written, in their order.

    Raises:
        UserError: when the file is missing or no Parquet file.
    """
    with readable(path, maker="`spg sweep`"):
        return [name for name in pq.read_schema(path).names if name not in SCHEMA.names]
