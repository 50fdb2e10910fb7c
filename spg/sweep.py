"""Stage ``sweep``: everything about a cell's maps that no chosen threshold changes.

Boxes and IoU of each image at every threshold of a grid, the boxes of the CAM code and of GraphCut,
the shares of the map's energy on the object and on its telling parts, and the histogram of pixels
for PxAP.
Choosing a threshold afterwards costs nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spg.config import Params
from spg.data.manifest import TEST, boxes_of, read_manifest
from spg.data.pack import PackedImages
from spg.files import whole_file, write_json
from spg.metrics.boxes import Boxes, best_iou
from spg.metrics.cam_code import cam_code_boxes
from spg.metrics.component_tree import Ints
from spg.metrics.graph_cut import graph_cut_box
from spg.metrics.maps import Map, energy_share, localization_map
from spg.metrics.pixels import pixel_average_precision, pixel_histogram
from spg.metrics.protocols import PROTOCOLS, Protocol, Size
from spg.metrics.rules import RANKS
from spg.metrics.sweeps import sweep_map
from spg.schema import GraphCutParams
from spg.workspace import Cell, Workspace

ROWS_PER_GROUP = 512
CURVE = pa.list_(pa.float64())
Places = NDArray[np.int64]

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


class Images:
    """The localized images, in the order of their maps.

    Args:
        manifest: all rows.
        packed: for masks and pixels.
        places: ``Int[N]``, rows of the manifest.
    """

    def __init__(self, manifest: pd.DataFrame, packed: PackedImages, places: Places) -> None:
        self._manifest, self._packed, self._places = manifest, packed, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Image:
        place = int(self._places[index])
        row = self._manifest.loc[place]
        return Image(
            row["image_id"],
            row["split"],
            (int(row["width"]), int(row["height"])),
            boxes_of(row["boxes"]),
            self._packed.object_mask(place),
            self._packed.part_mask(place),
        )

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Return the packed image, ``uint8 [h, w, 3]``, which may be smaller than the original."""
        return self._packed.image(int(self._places[index]))


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

    def px_ap(self, raw_maps: NDArray[np.float32], images: Images) -> float | None:
        """Return PxAP over the test images, or ``None`` where they have no masks."""
        total = np.zeros((2, len(self.thresholds) + 2), dtype=np.int64)
        for at, raw_map in enumerate(raw_maps):
            image = images[at]
            if image.split == TEST and image.object_mask is not None:
                frame = self.protocol.frame(image.size)
                grey = image.object_mask.astype(np.uint8)
                mask = cv2.resize(grey, frame, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
                loc_map = self.protocol.loc_map(raw_map, image.size)
                total += pixel_histogram(loc_map, mask, self.thresholds)
        return pixel_average_precision(total)

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


def sweep_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``sweep.parquet``, one row for each extractor and localized image, and ``sweep.json``.

    The latter holds the thresholds of the rows' curves and each extractor's PxAP on the test split.
    """
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(cell.dataset))
    image_ids = pd.read_parquet(workspace.maps(cell) / "scores.parquet")["image_id"]
    places = manifest.reset_index().set_index("image_id").loc[image_ids, "index"].to_numpy()
    images = Images(manifest, packed, places)
    evaluator = Evaluator(PROTOCOLS[params.sweep.protocol], params.sweep.thresholds)
    folder, precisions = workspace.evaluation(cell), {}
    with (
        whole_file(folder / "sweep.parquet") as temporary,
        pq.ParquetWriter(temporary, SCHEMA) as writer,
    ):
        for extractor in params.localization.extractors[cell.method]:
            raw_maps = np.load(workspace.maps(cell) / f"{extractor}.npy", mmap_mode="r")
            rule = params.sweep.graph_cut
            cuts = extractor in rule.extractors
            for start in range(0, len(raw_maps), ROWS_PER_GROUP):
                group = range(start, min(start + ROWS_PER_GROUP, len(raw_maps)))
                rows = []
                for at in group:
                    row = {"extractor": extractor, **evaluator.measure(raw_maps[at], images[at])}
                    if cuts:
                        row |= graph_cut_columns(raw_maps[at], images.pixels(at), images[at], rule)
                    rows.append(row)
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
            precisions[extractor] = evaluator.px_ap(raw_maps, images)
    facts = {"thresholds": evaluator.thresholds.tolist(), "px_ap": precisions}
    write_json(folder / "sweep.json", facts)
