"""Stage ``sweep``: everything about a cell's maps that no chosen threshold changes.

Boxes and IoU of each image at every threshold of a grid, the boxes of the CAM code and of GraphCut,
the shares of the map's energy on the object and on its telling parts, and the histogram of pixels
for PxAP and pIoU.
Choosing a threshold afterwards costs nothing. Any process may measure any maps: rows come in order,
so the files are the same for any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.results.tables import read_maps, read_table
from spg.evaluate.metrics.evaluator import MAPS_A_TASK
from spg.evaluate.metrics.normalization import IVR
from spg.evaluate.sweep.image import Image
from spg.evaluate.sweep.rows import evaluator_of, find_measures, graph_cut_columns, measure_map
from spg.evaluate.sweep.table import FACTS, TABLE, schema_with
from spg.project.files import whole_files, write_json
from spg.project.locks import sole_writer
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params
from spg.project.schema.evaluation import SweepParams
from spg.project.workspace import Cell, Workspace

ROWS_PER_GROUP = 512  # of the file
TASKS_A_PROCESS = 8  # fewer do not pay for its start


class Source:
    """A cell's maps and packed images, memory-mapped; any other process opens them once for itself.

    Args:
        maps: folder of ``<extractor>.npy``, each ``float32 [N, h, w]``.
        extractors: whose maps to open.
        packed: what ``prepare`` wrote.
    """

    def __init__(self, maps: Path, extractors: tuple[str, ...], packed: Path) -> None:
        self._places = maps, extractors, packed
        self.maps = {name: read_maps(maps / f"{name}.npy") for name in extractors}
        self.packed = PackedImages(packed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, self._places

    def image(self, place: int, row: Any) -> Image:
        """Return what is known of packed image ``place``, whose row of the manifest is ``row``."""
        return Image(
            row.image_id,
            row.split,
            (int(row.width), int(row.height)),
            boxes_of(row.boxes),
            boxes_of(row.pseudo_boxes),
            self.packed.object_mask(place),
            self.packed.part_mask(place),
            self.packed.left_out(place),
        )


@cache  # used by other processes only, none of which outlives its cell
def _opened(maps: Path, extractors: tuple[str, ...], packed: Path) -> Source:
    return Source(maps, extractors, packed)


class Task(NamedTuple):
    """What one process measures at a time: some maps of one extractor, in order."""

    extractor: str
    first: int
    """Number of the first map."""
    images: pd.DataFrame
    """Their rows of the manifest; the index is the place among the packed images."""


def measure_some(source: Source, rule: SweepParams, task: Task) -> pa.Table:
    """Measure the maps of a task, in this process; returns rows of sweep.parquet."""
    evaluator, measures = evaluator_of(rule), find_measures(rule.measures)
    raw_maps = source.maps[task.extractor][task.first : task.first + len(task.images)]
    rows = []
    for raw_map, known in zip(raw_maps, task.images.itertuples(), strict=True):
        image = source.image(known.Index, known)
        row = measure_map(raw_map, image, evaluator, measures)
        if task.extractor in rule.graph_cut.extractors:
            pixels = source.packed.image(known.Index)
            row |= graph_cut_columns(raw_map, pixels, image, rule.graph_cut)
        rows.append({"extractor": task.extractor, **row})
    return pa.Table.from_pylist(rows, schema_with(rule.measures))


@sole_writer(Workspace.sweep)
def sweep_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``sweep.parquet``, one row for each extractor and localized image, and ``sweep.json``.

    The latter holds the thresholds of the rows' curves and, for ``ivr``, the percentiles.
    """
    extractors = tuple(params.extractors_of(cell.dataset, cell.method))
    tasks = _tasks(extractors, _localized(workspace, cell))
    source = Source(workspace.maps(cell), extractors, workspace.packed(cell.dataset))
    rule = params.sweep
    run = partial(measure_some, source, rule)
    workers = min(default_workers(), len(tasks) // TASKS_A_PROCESS)
    parts = in_order(run, tasks, workers=workers)
    with whole_files(workspace.sweep(cell), TABLE, FACTS) as folder:
        with pq.ParquetWriter(folder / TABLE, schema_with(rule.measures)) as writer:
            for group in _row_groups(tasks, parts):
                writer.write_table(group)
        thresholds = evaluator_of(rule).thresholds.tolist()
        percentiles = rule.percentiles if rule.normalization == IVR else []
        write_json(folder / FACTS, {"thresholds": thresholds, "percentiles": percentiles})


def _localized(workspace: Workspace, cell: Cell) -> pd.DataFrame:
    """Return the manifest's rows of the cell's images, in the order of their maps."""
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    image_ids = read_table(workspace.maps(cell) / "scores.parquet")["image_id"]
    places = manifest.reset_index().set_index("image_id").loc[image_ids, "index"]
    return manifest.loc[places]


def _tasks(extractors: Sequence[str], images: pd.DataFrame) -> list[Task]:
    return [
        Task(extractor, first, images.iloc[first : first + MAPS_A_TASK])
        for extractor in extractors
        for first in range(0, len(images), MAPS_A_TASK)
    ]


def _row_groups(tasks: Sequence[Task], parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield what came of the tasks of each row group of the file."""
    found = zip(tasks, parts, strict=True)
    for _, pairs in groupby(
        found, key=lambda pair: (pair[0].extractor, pair[0].first // ROWS_PER_GROUP)
    ):
        yield pa.concat_tables(part for _, part in pairs).combine_chunks()
