"""Stage ``evaluate``: from maps to boxes to errors, at a fixed and a selected threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.config import EvaluationParams, Params
from spg.data.manifest import TEST, TRAIN_FULLSUP, boxes_of, read_manifest
from spg.files import whole_file, write_json
from spg.metrics.boxes import box_iou, largest_box
from spg.metrics.localization import ERRORS, image_errors, outcome, select_threshold
from spg.metrics.maps import localization_map
from spg.sweep import threshold_grid
from spg.workspace import Cell, Workspace

REGIONS = ("part_energy", "object_energy", "part_area", "object_area")


def evaluate_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``per_image.parquet`` (test images) and ``metrics.json`` of ``cell``."""
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    sweep = pd.read_parquet(workspace.evaluation(cell) / "sweep.parquet")
    scores = pd.read_parquet(workspace.maps(cell) / "scores.parquet")
    images = scores.merge(manifest, on="image_id", validate="one_to_one")
    tables, metrics = [], {}
    for extractor in params.localization.extractors[cell.method]:
        raw_maps = np.load(workspace.maps(cell) / f"{extractor}.npy", mmap_mode="r")
        own = sweep[sweep["extractor"] == extractor]
        table, metrics[extractor] = evaluate_maps(raw_maps, images, own, params)
        tables.append(table.assign(extractor=extractor))
    with whole_file(workspace.evaluation(cell) / "per_image.parquet") as temporary:
        pd.concat(tables, ignore_index=True).to_parquet(temporary, index=False)
    write_json(workspace.evaluation(cell) / "metrics.json", metrics)


def evaluate_maps(
    raw_maps: NDArray[np.float32], images: pd.DataFrame, sweep: pd.DataFrame, params: Params
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Evaluate one extractor's maps.

    Args:
        raw_maps: ``float32 [N, h, w]``.
        images: N rows of manifest and scores, in the order of the maps.
        sweep: N rows of the sweep, in the same order.
        params: all parameters.

    Returns:
        the table of the test images, and totals with the thresholds used.
    """
    evaluation = params.evaluation
    grid = threshold_grid(params.sweep.thresholds)
    thresholds = {
        "fixed": evaluation.map_threshold,
        "selected": choose_threshold(sweep, grid, evaluation),
    }
    is_test = (images["split"] == TEST).to_numpy()
    tests = images[is_test].reset_index(drop=True)
    table = tests[["image_id", "class_id", *(c for c in tests if c.startswith("top"))]].copy()
    for region in REGIONS:
        table[region] = sweep[region].to_numpy()[is_test]
    totals: dict[str, object] = {
        region: None if table[region].isna().any() else float(table[region].mean())
        for region in REGIONS
    }
    for kind, threshold in thresholds.items():
        boxes = _add_boxes(table, kind, raw_maps[is_test], tests, threshold, evaluation)
        totals[kind] = {"map_threshold": threshold, **boxes}
    curve = error_curve(sweep[sweep["split"] == TEST], evaluation.iou_threshold)
    totals["oracle"] = {
        "map_threshold": float(grid[curve.argmin()]),
        "gt_known_loc_err": float(curve.min()),
    }
    return table, totals


def choose_threshold(
    sweep: pd.DataFrame, grid: NDArray[np.float64], evaluation: EvaluationParams
) -> float:
    """Return the map threshold with the lowest GT-known error on ``train_fullsup``.

    Never on test images (PROTOCOL 10).
    """
    held_out = sweep[sweep["split"] == TRAIN_FULLSUP]
    return select_threshold(error_curve(held_out, evaluation.iou_threshold), grid)


def error_curve(sweep: pd.DataFrame, iou_threshold: float) -> NDArray[np.float64]:
    """Return the GT-known error at each threshold of the sweep, ``Float[T]``."""
    iou = np.stack(sweep["iou"].to_list())  # [N, T]
    curve: NDArray[np.float64] = (iou < iou_threshold).mean(axis=0)
    return curve


def _add_boxes(
    table: pd.DataFrame,
    kind: str,
    raw_maps: NDArray[np.float32],
    tests: pd.DataFrame,
    threshold: float,
    evaluation: EvaluationParams,
) -> dict[str, float]:
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
    errors = cell_errors(table, kind, iou_threshold=delta)
    return {name: float(errors[name].mean()) for name in ERRORS}


def cell_errors(
    table: pd.DataFrame, kind: str, *, iou_threshold: float
) -> dict[str, NDArray[np.bool_]]:
    """Return the per-image errors of a table of this module at one kind of threshold."""
    top5 = table[[c for c in table if c.startswith("top")]].to_numpy()
    labels = table["class_id"].to_numpy()
    return dict(
        image_errors(table[f"iou_{kind}"].to_numpy(), top5, labels, iou_threshold=iou_threshold)
    )
