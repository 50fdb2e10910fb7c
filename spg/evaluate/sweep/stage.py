"""Stage ``sweep``: everything about a cell's maps that no chosen threshold changes.

Boxes and IoU of each image at every threshold of a grid, the boxes of the CAM code and of GraphCut,
the shares of the map's energy on the object and on its telling parts, and the histogram of pixels
for PxAP.
Choosing a threshold afterwards costs nothing. Any process may measure any maps: rows come in order
and pixels are counts that add up, so the files are the same for any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spg.data.images.manifest import TEST, boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.results.tables import read_maps, read_table
from spg.evaluate.metrics.boxes import Boxes, best_iou
from spg.evaluate.metrics.cam_code import cam_code_boxes
from spg.evaluate.metrics.component_tree import Ints
from spg.evaluate.metrics.graph_cut import graph_cut_box
from spg.evaluate.metrics.maps import Map, energy_share, localization_map
from spg.evaluate.metrics.pixels import Counts, pixel_average_precision, pixel_histogram
from spg.evaluate.metrics.protocols import PROTOCOLS, Protocol, Size
from spg.evaluate.metrics.rules import RANKS
from spg.evaluate.metrics.sweeps import sweep_map
from spg.project.files import whole_files, write_json
from spg.project.locks import sole_writer
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params
from spg.project.schema import GraphCutParams, SweepParams
from spg.project.workspace import Cell, Workspace

ROWS_PER_GROUP = 512  # of the file
MAPS_A_TASK = 64
TASKS_A_PROCESS = 8  # fewer do not pay for its start
CURVE = pa.list_(pa.float64())

SCHEMA = pa.schema(
    {
        "extractor": pa.string(),
        "image_id": pa.string(),
        "split": pa.string(),
        "iou": CURVE,  # of the largest component's box, at each threshold
        "second_iou": CURVE,  # of the second largest one's
        "iou_all": CURVE,  # the best of every component and hole
        "box": pa.list_(pa.float32()),  # the largest one's, flattened [T, 4], xyxy in the image
        "cam_code_iou": pa.list_(pa.float64(), RANKS),  # of that code's first two boxes
        "cam_code_box": pa.list_(pa.float64(), 4),  # its first
        "graph_cut_iou": pa.float64(),  # null for extractors that are not asked for it
        "graph_cut_box": pa.list_(pa.float64(), 4),
        "object_energy": pa.float64(),  # shares of the map's energy, null without a mask
        "object_area": pa.float64(),
        "part_energy": pa.float64(),
        "part_area": pa.float64(),
    }
)


class Image(NamedTuple):
    """What is known of an image."""

    image_id: str
    split: str
    size: Size
    boxes: Boxes
    """``Float[M, 4]``, half-open, in the image."""
    object_mask: NDArray[np.bool_] | None
    part_mask: NDArray[np.bool_] | None


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
            self.packed.object_mask(place),
            self.packed.part_mask(place),
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


class Part(NamedTuple):
    """What came of a task, or of the tasks of one row group of the file."""

    rows: pa.Table
    """Of :data:`SCHEMA`."""
    histogram: Counts
    """``int64 [2, T + 2]``, of :func:`~spg.evaluate.metrics.pixels.pixel_histogram`."""


class Evaluator:
    """Measures maps under one protocol.

    Args:
        protocol: the evaluator's rules.
        count: thresholds inside (0, 1).
    """

    def __init__(self, protocol: Protocol, count: int) -> None:
        self.protocol = protocol
        self.thresholds = protocol.thresholds(count)

    def measure(self, raw_map: Map, image: Image) -> dict[str, Any]:
        """Return the columns of :data:`SCHEMA` for one map, ``Float[h, w]``."""
        true_boxes = self.protocol.true_boxes(image.boxes, image.size)
        loc_map = self.protocol.loc_map(raw_map, image.size)
        sweep = sweep_map(loc_map, true_boxes, self.thresholds, self.protocol)
        in_image = localization_map(raw_map, image.size)
        return {
            "image_id": image.image_id,
            "split": image.split,
            "iou": sweep.iou[0],
            "second_iou": sweep.iou[1],
            "iou_all": sweep.iou_all,
            "box": self._unscaled(sweep.boxes[0], image.size).ravel(),
            **cam_code_columns(in_image, image.boxes),
            "graph_cut_box": np.zeros(4),
            **energies(in_image, image),
        }

    def histogram(self, raw_map: Map, image: Image) -> Counts:
        """Return the pixels for PxAP, ``int64 [2, T + 2]``; none but of test images with a mask."""
        if image.split != TEST or image.object_mask is None:
            return np.zeros((2, len(self.thresholds) + 2), dtype=np.int64)
        frame, grey = self.protocol.frame(image.size), image.object_mask.astype(np.uint8)
        mask = cv2.resize(grey, frame, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        return pixel_histogram(self.protocol.loc_map(raw_map, image.size), mask, self.thresholds)

    def _unscaled(self, boxes: Ints, size: Size) -> Boxes:
        """Return boxes of the frame in the image."""
        scale = np.array(size) / np.array(self.protocol.frame(size))
        unscaled: Boxes = boxes * np.array([*scale, *scale])
        return unscaled


def cam_code_columns(loc_map: Map, true_boxes: Boxes) -> dict[str, Any]:
    """Return the first box of the CAM code and the IoU of its first two; zeros where it has none.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1], in the original image's size.
        true_boxes: ``Float[M, 4]``.
    """
    boxes = np.zeros((RANKS, 4))
    found = cam_code_boxes(loc_map)[:RANKS]
    boxes[: len(found)] = found
    return {"cam_code_iou": best_iou(boxes, true_boxes), "cam_code_box": boxes[0]}


def graph_cut_columns(
    raw_map: Map, pixels: NDArray[np.uint8], image: Image, rule: GraphCutParams
) -> dict[str, Any]:
    """Return the box of GraphCut and its IoU.

    Args:
        raw_map: ``Float[h, w]``, any range.
        pixels: ``uint8 [H, W, 3]``, of any size; the box is brought back to the original's.
        image: the image.
        rule: quantiles of the map.
    """
    size = np.array(pixels.shape[1::-1])
    box = graph_cut_box(
        pixels,
        localization_map(raw_map, (int(size[0]), int(size[1]))),
        background=rule.background,
        foreground=rule.foreground,
    )
    box = box * np.tile(np.array(image.size) / size, 2)
    return {"graph_cut_iou": best_iou(box[None], image.boxes)[0], "graph_cut_box": box}


def energies(loc_map: Map, image: Image) -> dict[str, float | None]:
    """Return energy and area shares of the object and the telling parts, where masks exist."""
    shares: dict[str, float | None] = {}
    for region, mask in (("object", image.object_mask), ("part", image.part_mask)):
        shares[f"{region}_energy"] = None if mask is None else energy_share(loc_map, mask)
        shares[f"{region}_area"] = None if mask is None else float(mask.mean())
    return shares


def measure_some(source: Source, rule: SweepParams, task: Task) -> Part:
    """Measure the maps of a task, in this process."""
    evaluator = Evaluator(PROTOCOLS[rule.protocol], rule.thresholds)
    raw_maps = source.maps[task.extractor][task.first : task.first + len(task.images)]
    rows, histograms = [], []
    for raw_map, known in zip(raw_maps, task.images.itertuples(), strict=True):
        image = source.image(known.Index, known)
        row = {"extractor": task.extractor, **evaluator.measure(raw_map, image)}
        if task.extractor in rule.graph_cut.extractors:
            pixels = source.packed.image(known.Index)
            row |= graph_cut_columns(raw_map, pixels, image, rule.graph_cut)
        rows.append(row)
        histograms.append(evaluator.histogram(raw_map, image))
    return Part(pa.Table.from_pylist(rows, SCHEMA), np.sum(histograms, axis=0))


@sole_writer(Workspace.evaluation)
def sweep_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``sweep.parquet``, one row for each extractor and localized image, and ``sweep.json``.

    The latter holds the thresholds of the rows' curves and each extractor's PxAP on the test split.
    """
    extractors = tuple(params.localization.extractors[cell.method])
    tasks = _tasks(extractors, _localized(workspace, cell))
    source = Source(workspace.maps(cell), extractors, workspace.packed(cell.dataset))
    thresholds = PROTOCOLS[params.sweep.protocol].thresholds(params.sweep.thresholds)
    totals = {name: np.zeros((2, len(thresholds) + 2), dtype=np.int64) for name in extractors}
    run = partial(measure_some, source, params.sweep)
    workers = min(default_workers(), len(tasks) // TASKS_A_PROCESS)
    parts = in_order(run, tasks, workers=workers)
    with whole_files(workspace.evaluation(cell), "sweep.parquet", "sweep.json") as folder:
        with pq.ParquetWriter(folder / "sweep.parquet", SCHEMA) as writer:
            for extractor, group in _row_groups(tasks, parts):
                writer.write_table(group.rows)
                totals[extractor] += group.histogram
        precisions = {name: pixel_average_precision(total) for name, total in totals.items()}
        write_json(folder / "sweep.json", {"thresholds": thresholds.tolist(), "px_ap": precisions})


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


def _row_groups(tasks: Sequence[Task], parts: Iterable[Part]) -> Iterator[tuple[str, Part]]:
    """Yield what came of the tasks of each row group, and its extractor."""
    found = zip(tasks, parts, strict=True)
    for (extractor, _), pairs in groupby(
        found, key=lambda pair: (pair[0].extractor, pair[0].first // ROWS_PER_GROUP)
    ):
        rows, histograms = zip(*(part for _, part in pairs), strict=True)
        yield extractor, Part(pa.concat_tables(rows).combine_chunks(), sum(histograms))
