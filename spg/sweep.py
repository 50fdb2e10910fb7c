"""Stage ``sweep``: everything about a cell's maps that no chosen threshold changes.

The IoU of each image's box at every threshold of a grid, and the shares of the map's energy on the
object and on its telling parts. Choosing a threshold afterwards costs nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.config import Params
from spg.data.manifest import boxes_of, read_manifest
from spg.data.pack import PackedImages
from spg.files import whole_file
from spg.metrics.boxes import box_iou, largest_box
from spg.metrics.localization import threshold_grid
from spg.metrics.maps import energy_share, localization_map
from spg.workspace import Cell, Workspace


def sweep_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``sweep.parquet``: one row for each extractor and image of ``scores.parquet``."""
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    packed = PackedImages(workspace.packed(cell.dataset))
    scores = pd.read_parquet(workspace.maps(cell) / "scores.parquet")
    places = manifest.reset_index().set_index("image_id").loc[scores["image_id"], "index"]
    grid = threshold_grid(params.sweep.thresholds)
    rows = []
    for extractor in params.localization.extractors[cell.method]:
        raw_maps = np.load(workspace.maps(cell) / f"{extractor}.npy", mmap_mode="r")
        for raw_map, place in zip(raw_maps, places, strict=True):
            image = manifest.loc[place]
            loc_map = localization_map(raw_map, (image["width"], image["height"]))
            rows.append(
                {
                    "extractor": extractor,
                    "image_id": image["image_id"],
                    "split": image["split"],
                    "iou": iou_at_thresholds(loc_map, boxes_of(image["boxes"]), grid),
                    **energies(loc_map, packed, place),
                }
            )
    with whole_file(workspace.evaluation(cell) / "sweep.parquet") as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)


def iou_at_thresholds(
    loc_map: NDArray[np.float32], true_boxes: NDArray[np.float64], grid: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the best IoU with any true box at each threshold.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1].
        true_boxes: ``Float[M, 4]`` xyxy.
        grid: ``Float[T]``, ascending.

    Returns:
        ``float32 [T]``.
    """
    boxes = np.stack([largest_box(loc_map, float(threshold)) for threshold in grid])
    best: NDArray[np.float32] = box_iou(boxes, true_boxes).max(axis=1).astype(np.float32)
    return best


def energies(
    loc_map: NDArray[np.float32], packed: PackedImages, place: int
) -> dict[str, float | None]:
    """Return energy and area shares of the object and the telling parts, where masks exist."""
    shares: dict[str, float | None] = {}
    for region, mask in (("object", packed.object_mask(place)), ("part", packed.part_mask(place))):
        shares[f"{region}_energy"] = None if mask is None else energy_share(loc_map, mask)
        shares[f"{region}_area"] = None if mask is None else float(mask.mean())
    return shares
