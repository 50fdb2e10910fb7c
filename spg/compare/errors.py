"""Every image's errors in every cell: what all tables, intervals and verdicts are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.variants import Variant
from spg.data.images.manifest import boxes_of
from spg.evaluate.image_errors import ERRORS, class_errors
from spg.evaluate.metrics.boxes import box_iou, center_box, whole_image_box
from spg.evaluate.per_image import (
    COVERED,
    KINDS,
    PIXEL_IOU,
    WHOLE_MAP,
    cell_errors,
    guesses_of,
    kinds_of,
)
from spg.project.errors import UserError

BASELINES = {"center_box": center_box, "whole_image": whole_image_box}

HIGHER_IS_BETTER = frozenset({*WHOLE_MAP, PIXEL_IOU, "covered_object", "covered_parts"})
"""Metrics that are no errors: a gain in them is an increase."""
NO_THRESHOLD = "none"
"""The kind of threshold of what needs none, or takes its own."""

Errors = dict[tuple[Variant, str, str], NDArray[np.float64]]
"""(variant, threshold kind, metric) -> ``Float[S, N]``: seeds by images, whose mean is the metric.

Errors are 0 and 1; what a map covers is a share of each image (PROTOCOL 29)."""
Tables = Mapping[Variant, Sequence[pd.DataFrame]]
"""The per-image tables of each variant's seeds (:mod:`spg.evaluate.per_image`)."""


def collect_errors(
    tables: Tables,
    *,
    iou_threshold: float,
    kinds: tuple[str, ...] = KINDS,
) -> Errors:
    """Stack the per-image errors of each variant's seeds.

    Raises:
        UserError: when two cells were not evaluated on the same images.
    """
    images = [table["image_id"].to_numpy() for seeds in tables.values() for table in seeds]
    if any(not np.array_equal(ids, images[0]) for ids in images):
        raise UserError("eval/: cells were evaluated on different images; run `dvc repro`")
    errors: Errors = {}
    for variant, seeds in tables.items():
        found = {
            kind: [cell_errors(table, kind, iou_threshold=iou_threshold) for table in seeds]
            for kind in kinds_of(seeds[0], kinds)
        }
        if not kinds_of(seeds[0]):  # the images have no boxes: what is left needs none
            found[NO_THRESHOLD] = [_class_errors(table) for table in seeds]
        for kind, cells in found.items():
            for metric in (name for name in ERRORS if name in cells[0]):
                stacked = np.stack([cell[metric] for cell in cells]).astype(np.float64)
                errors[variant, kind, metric] = stacked  # [S, N]
    return errors


def _class_errors(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    columns = {str(name): table[name].to_numpy() for name in table}
    return class_errors(guesses_of(columns), columns["class_id"])


def collect_values(tables: Tables) -> Errors:
    """Stack what maps are worth beside their boxes: PxAP, pIoU, MaxBoxAccV2, what they cover.

    What a data set has no masks for is left out, and so is an image whose mask lacks what is
    covered: the same ones in all variants, and of what is covered at a kind of threshold the same
    ones in all regions, since claims compare regions image by image.
    """
    columns = {(NO_THRESHOLD, name): name for name in WHOLE_MAP}
    columns |= {(k, name): f"{name}_{k}" for k in KINDS for name in (*COVERED, PIXEL_IOU)}
    values: Errors = {}
    for variant, seeds in tables.items():
        stacked = {
            key: np.stack([table[column].to_numpy(np.float64) for table in seeds])
            for key, column in columns.items()
            if column in seeds[0]
        }
        known = {key: np.isfinite(found).all(axis=0) for key, found in stacked.items()}
        known = {key: images for key, images in known.items() if images.any()}
        for kind, metric in known:
            beside = COVERED if metric in COVERED else (metric,)
            images = np.all([known[kind, n] for n in beside if (kind, n) in known], axis=0)
            if images.any():
                values[variant, kind, metric] = stacked[kind, metric][:, images]
    return values


def baseline_errors(
    manifest: pd.DataFrame, classifier: Sequence[pd.DataFrame], *, iou_threshold: float
) -> Errors:
    """Return the errors of the naive boxes, which need no threshold (PROTOCOL 16).

    Args:
        manifest: sizes and true boxes.
        classifier: per-image tables of one variant, a seed each; a naive box names no class, so
            these classes stand beside it in top-1 and top-5.
        iou_threshold: delta.

    Returns:
        nothing where the images have no boxes.
    """
    tests = manifest.set_index("image_id").loc[classifier[0]["image_id"]]
    if not tests["boxes"].map(len).all():
        return {}
    errors: Errors = {}
    for name, guess in BASELINES.items():
        # A naive box is the same at every seed; what differs between them are the guessed classes.
        boxes = zip(tests["width"], tests["height"], tests["boxes"], strict=True)
        iou = [box_iou(guess(w, h)[None], boxes_of(true)).max() for w, h, true in boxes]
        tables = {Variant("none", name, "none"): [t.assign(iou_none=iou) for t in classifier]}
        errors |= collect_errors(tables, iou_threshold=iou_threshold, kinds=("none",))
    return errors
