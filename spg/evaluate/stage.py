"""Stage ``evaluate``: from every threshold's boxes to the errors of every cell, in one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from spg.data.images.manifest import TEST
from spg.data.results.columns import Columns, read_columns, select, write_columns
from spg.evaluate.choice import choose_places, fitted_places, read_wrong
from spg.evaluate.cross_fitting import deal_folds, fold_count
from spg.evaluate.curves import Curves, accuracies, read_curves
from spg.evaluate.cuts import Cuts, Places, read_cuts
from spg.evaluate.image_errors import class_errors
from spg.evaluate.metrics.pixels import pixel_average_precision, pixel_iou
from spg.evaluate.per_image import (
    COVERED,
    PIXEL_IOU,
    REGIONS,
    guesses_of,
    kind_totals,
    stacked,
    table_at,
)
from spg.evaluate.sweep.table import TABLE, measured_columns
from spg.project.errors import UserError
from spg.project.files import whole_files, write_json
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.schema.evaluation import EvaluationParams
from spg.project.workspace import Cell, Workspace

OUTPUTS = ("per_image.parquet", "curves.parquet", "metrics.json")


@sole_writer(Workspace.evaluations)
def evaluate(workspace: Workspace, params: Params, dataset: str) -> None:
    """Evaluate every cell of params.yaml on ``dataset`` (see :func:`evaluate_cell`)."""
    manifest = read_columns(workspace.packed(dataset) / "manifest.parquet")
    for cell in tqdm(params.cells(dataset), desc="evaluate", unit="cell"):
        extractors = params.extractors_of(cell.dataset, cell.method)
        _evaluate(workspace, cell, manifest, extractors, params.evaluation)


@sole_writer(Workspace.evaluation)
def evaluate_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``per_image.parquet`` (test images), ``curves.parquet`` and ``metrics.json``."""
    manifest = read_columns(workspace.packed(cell.dataset) / "manifest.parquet")
    extractors = params.extractors_of(cell.dataset, cell.method)
    _evaluate(workspace, cell, manifest, extractors, params.evaluation)


def _evaluate(
    workspace: Workspace,
    cell: Cell,
    manifest: Columns,
    extractors: Sequence[str],
    rule: EvaluationParams,
) -> None:
    swept, delta = workspace.sweep(cell), rule.iou_threshold
    cuts = read_cuts(swept)
    fixed = cuts.place(rule.map_threshold, rule.percentile)
    measured = _in_order(measured_columns(swept / TABLE))
    tests = _tests(manifest, workspace.maps(cell))
    count = fold_count(manifest, rule.folds)
    folds = None if count is None else deal_folds(tests["class_id"], count)
    tables, curves, metrics = [], [], {}
    for extractor in extractors:
        wrong = read_wrong(swept / TABLE, extractor, delta)
        fitted = None
        if folds is not None:
            fitted = fitted_places(swept / TABLE, extractor, folds, delta, cuts)
        places = choose_places(wrong, cuts, fixed, fitted)
        counts = read_curves(swept / TABLE, extractor, delta, places, cuts)
        table = table_at(
            swept / TABLE, extractor, places, cuts, counts, tests, measured=measured,
            iou_threshold=delta,
        )  # fmt: skip
        for kind, place in places.items():
            table[f"map_threshold_{kind}"] = cuts.thresholds[cuts.steps(place)]
            table[f"percentile_{kind}"] = cuts.percentiles[cuts.ways(place)]
        totals = kind_totals(table, delta)
        for kind, place in places.items():
            fitted_by_fold = kind == "selected" and folds is not None
            said = _chosen(place, cuts, folds if fitted_by_fold else None)
            said[PIXEL_IOU] = _mean_or_none(table[f"{PIXEL_IOU}_{kind}"])
            totals[kind] = totals.get(kind, {}) | said
        metrics[extractor] = totals | _means(table, counts, places, measured)
        tables.append(table | {"extractor": np.full(len(table["image_id"]), extractor)})
        curve = {"map_threshold": cuts.thresholds, "gt_known_loc_err": counts.wrong}
        curves.append(curve | {"extractor": np.full(len(cuts.thresholds), extractor)})
    with whole_files(workspace.evaluation(cell), *OUTPUTS) as temporary:
        write_columns(temporary / "per_image.parquet", stacked(tables))
        write_columns(temporary / "curves.parquet", stacked(curves))
        write_json(temporary / "metrics.json", metrics)


def _means(
    table: Mapping[str, Any], counts: Curves, places: Iterable[str], measured: Sequence[str]
) -> dict[str, Any]:
    """Return what metrics.json has of an extractor's maps beside its kinds of threshold."""
    pixels = counts.pixels[:2]
    precision = pixel_average_precision(pixels)
    return {
        **{name: float(found.mean()) for name, found in _class_errors(table).items()},
        **accuracies(counts),
        **{name: _mean_or_none(table[name]) for name in measured},
        **_covered(table, places),
        "px_ap": precision,
        "peak_p_iou": None if precision is None else float(pixel_iou(pixels).max()),
    }


def _in_order(names: list[str]) -> list[str]:
    first = [name for name in REGIONS if name in names]
    return [*first, *(name for name in names if name not in first)]


def _tests(manifest: Columns, maps: Path) -> Columns:
    """Return columns of manifest and scores for the test images, in the maps' order."""
    scores = read_columns(maps / "scores.parquet")
    places = {image_id: place for place, image_id in enumerate(manifest["image_id"])}
    try:
        rows = np.array([places[image_id] for image_id in scores["image_id"]])
    except KeyError as error:
        raise UserError(f"{maps}: image {error} is not in the manifest; localize again") from None
    images = select(manifest, rows) | scores
    return select(images, images["split"] == TEST)


def _class_errors(table: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
    return class_errors(guesses_of(table), np.asarray(table["class_id"]))


def _chosen(place: Places, cuts: Cuts, folds: NDArray[np.int64] | None) -> dict[str, Any]:
    """Return the threshold that all images share, or each fold's, and so the percentile."""
    found = {"map_threshold": cuts.thresholds[cuts.steps(place)]}
    if cuts.curves > 1:
        found["percentile"] = cuts.percentiles[cuts.ways(place)]
    if folds is None:
        return {name: float(values[0]) for name, values in found.items()}
    return {
        f"{name}s": [float(values[folds == fold][0]) for fold in range(folds.max() + 1)]
        for name, values in found.items()
    }


def _covered(table: Mapping[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """Return the mean shares that maps cover, by kind of threshold."""
    return {
        f"{name}_{kind}": _mean_or_none(table[f"{name}_{kind}"])
        for kind in places
        for name in COVERED
    }


def _mean_or_none(shares: NDArray[np.float64]) -> float | None:
    """Return the mean over the images that have it, which may be none."""
    known = shares[~np.isnan(shares)]
    return float(known.mean()) if len(known) else None
