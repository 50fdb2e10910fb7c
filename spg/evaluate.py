"""Stage ``evaluate``: from maps to boxes to errors, at a fixed and a selected threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.config import EvaluationParams, Params
from spg.data.columns import Columns, read_columns, select, write_columns
from spg.data.manifest import TEST, TRAIN_FULLSUP, boxes_of
from spg.errors import UserError
from spg.files import write_json
from spg.metrics.boxes import box_iou, largest_box
from spg.metrics.localization import (
    ERRORS,
    error_curve,
    image_errors,
    outcome,
    select_threshold,
    threshold_grid,
)
from spg.metrics.maps import localization_map
from spg.workspace import Cell, Workspace

REGIONS = ("part_energy", "object_energy", "part_area", "object_area")


def evaluate_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``per_image.parquet`` (test images) and ``metrics.json`` of ``cell``."""
    images = _images(workspace, cell)
    sweep = read_columns(workspace.evaluation(cell) / "sweep.parquet")
    tables, metrics = [], {}
    for extractor in params.localization.extractors[cell.method]:
        raw_maps = np.load(workspace.maps(cell) / f"{extractor}.npy", mmap_mode="r")
        own = select(sweep, sweep["extractor"] == extractor)
        table, metrics[extractor] = evaluate_maps(raw_maps, images, own, params)
        tables.append(table | {"extractor": [extractor] * len(table["image_id"])})
    stacked = {name: [v for table in tables for v in table[name]] for name in tables[0]}
    write_columns(workspace.evaluation(cell) / "per_image.parquet", stacked)
    write_json(workspace.evaluation(cell) / "metrics.json", metrics)


def evaluate_maps(
    raw_maps: NDArray[np.float32], images: Columns, sweep: Columns, params: Params
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate one extractor's maps.

    Args:
        raw_maps: ``float32 [N, h, w]``.
        images: columns of manifest and scores for the N images, in the order of the maps.
        sweep: columns of the sweep, in the same order.
        params: all parameters.

    Returns:
        columns of the test images, and totals with the thresholds used.
    """
    evaluation = params.evaluation
    grid = threshold_grid(params.sweep.thresholds)
    thresholds = {
        "fixed": evaluation.map_threshold,
        "selected": choose_threshold(sweep, grid, evaluation),
    }
    is_test = images["split"] == TEST
    tests, regions = select(images, is_test), select(sweep, is_test)
    table: dict[str, Any] = {
        name: tests[name] for name in tests if name in ("image_id", "class_id") or _is_guess(name)
    }
    totals: dict[str, Any] = {}
    for region in REGIONS:
        shares = regions[region].astype(np.float64)  # NaN where a data set has no such mask
        table[region] = shares
        totals[region] = None if np.isnan(shares).any() else float(shares.mean())
    for kind, threshold in thresholds.items():
        _add_boxes(table, kind, raw_maps[is_test], tests, threshold, evaluation)
        errors = cell_errors(table, kind, iou_threshold=evaluation.iou_threshold)
        means = {name: float(errors[name].mean()) for name in ERRORS}
        totals[kind] = {"map_threshold": threshold, **means}
    curve = error_curve(np.stack(list(regions["iou"])), evaluation.iou_threshold)
    best = int(curve.argmin())
    totals["oracle"] = {"map_threshold": float(grid[best]), "gt_known_loc_err": float(curve[best])}
    return table, totals


def choose_threshold(
    sweep: Mapping[str, Any], grid: NDArray[np.float64], evaluation: EvaluationParams
) -> float:
    """Return the map threshold with the lowest GT-known error on ``train_fullsup``.

    Never on test images (PROTOCOL 10).
    """
    held_out = np.asarray(sweep["split"]) == TRAIN_FULLSUP
    iou = np.stack(list(np.asarray(sweep["iou"])[held_out]))
    return select_threshold(error_curve(iou, evaluation.iou_threshold), grid)


def cell_errors(
    table: Mapping[str, Any], kind: str, *, iou_threshold: float
) -> dict[str, NDArray[np.bool_]]:
    """Return the per-image errors of a table of this module at one kind of threshold."""
    top5 = np.column_stack([table[name] for name in table if _is_guess(name)])
    iou, labels = np.asarray(table[f"iou_{kind}"]), np.asarray(table["class_id"])
    return dict(image_errors(iou, top5, labels, iou_threshold=iou_threshold))


def _images(workspace: Workspace, cell: Cell) -> Columns:
    """Return columns of manifest and scores for the localized images, in the maps' order."""
    manifest = read_columns(workspace.packed(cell.dataset) / "manifest.parquet")
    scores = read_columns(workspace.maps(cell) / "scores.parquet")
    places = {image_id: place for place, image_id in enumerate(manifest["image_id"])}
    try:
        rows = np.array([places[image_id] for image_id in scores["image_id"]])
    except KeyError as error:
        raise UserError(
            f"{workspace.maps(cell)}: image {error} is not in the manifest; localize again"
        ) from None
    return select(manifest, rows) | scores


def _is_guess(name: str) -> bool:
    return name.startswith("top")


def _add_boxes(
    table: dict[str, Any],
    kind: str,
    raw_maps: NDArray[np.float32],
    tests: Columns,
    threshold: float,
    evaluation: EvaluationParams,
) -> None:
    delta = evaluation.iou_threshold
    rows = []
    columns = zip(raw_maps, tests["width"], tests["height"], tests["boxes"], strict=True)
    for raw_map, width, height, true in columns:
        box = largest_box(localization_map(raw_map, (width, height)), threshold)
        true_boxes = boxes_of(true)
        iou = float(box_iou(box[None], true_boxes).max())
        rows.append((iou, outcome(box, true_boxes, iou, iou_threshold=delta), box))
    table[f"iou_{kind}"] = [iou for iou, _, _ in rows]
    table[f"outcome_{kind}"] = [name for _, name, _ in rows]
    table[f"box_{kind}"] = [box for _, _, box in rows]
