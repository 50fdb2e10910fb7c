"""A prepared data set in the words of wsolevaluation, so that its users can use our splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP, boxes_of, read_manifest
from spg.data.layouts.spec import spec_of
from spg.data.layouts.wsol_metadata import Box, WsolImage, write_metadata
from spg.evaluate.cross_fitting import boxed_in
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Workspace

FOLDERS = {TRAIN_WEAKSUP: "train", TRAIN_FULLSUP: "val", TEST: "test"}


def export_metadata(workspace: Workspace, params: Params, dataset: str, output: Path) -> None:
    """Write the metadata folder of each split.

    Far corners are as wsolevaluation's own files have them: for ILSVRC the last pixel of the box;
    for CUB x + width, cut at the image's last pixel (docs/sources.md 7).

    Raises:
        UserError: when no test image has a box; masks are not written.
    """
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    if not boxed_in(manifest, TEST):
        raise UserError(
            f"{dataset}: no test image has a box, and masks are not written; of OpenImages30k give "
            "`spg score` wsolevaluation's own metadata and --masks"
        )
    spec = spec_of(dataset, params.datasets[dataset].source)
    for split, name in FOLDERS.items():
        rows = manifest[manifest["split"] == split]
        write_metadata(output / name, _images(rows, spec.far_corner_is_last_pixel))


def _images(rows: pd.DataFrame, far_is_last_pixel: bool) -> Iterator[WsolImage]:
    for row in rows.itertuples():
        size = (int(row.width), int(row.height))
        boxes = tuple(
            _corners(box, size, far_is_last_pixel) for box in boxes_of(row.boxes).tolist()
        )
        yield WsolImage(row.image_id, int(row.class_id), size, boxes, (), None)


def _corners(box: list[float], size: tuple[int, int], far_is_last_pixel: bool) -> Box:
    """Return a box as whole pixels; one that is less than a pixel wide ends where it begins."""
    x1, y1, x2, y2 = box
    last = size[0] - 1, size[1] - 1
    far = (x2 - 1, y2 - 1) if far_is_last_pixel else (min(x2, last[0]), min(y2, last[1]))
    left, top = min(round(x1), last[0]), min(round(y1), last[1])
    return left, top, max(left, round(far[0])), max(top, round(far[1]))
