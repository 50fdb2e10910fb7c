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
from spg.evaluate.cross_fitting import deal_folds, fold_count
from spg.evaluate.per_image import (
    COVERED,
    REGIONS,
    accuracies,
    choose_places,
    fitted_places,
    kind_totals,
    read_curves,
    stacked,
    table_at,
)
from spg.evaluate.sweep.table import FACTS, TABLE, measured_columns
from spg.project.errors import UserError
from spg.project.files import read_json, whole_files, write_json
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.schema import EvaluationParams
from spg.project.workspace import Cell, Workspace

OUTPUTS = ("per_image.parquet", "curves.parquet", "metrics.json")


@sole_writer(Workspace.evaluations)
def evaluate(workspace: Workspace, params: Params, dataset: str) -> None:
    """Evaluate every cell of params.yaml on ``dataset`` (see :func:`evaluate_cell`)."""
    manifest = read_columns(workspace.packed(dataset) / "manifest.parquet")
    for cell in tqdm(params.cells(dataset), desc="evaluate", unit="cell"):
        extractors = params.localization.extractors[cell.method]
        _evaluate(workspace, cell, manifest, extractors, params.evaluation)


@sole_writer(Workspace.evaluation)
def evaluate_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``per_image.parquet`` (test images), ``curves.parquet`` and ``metrics.json``."""
    manifest = read_columns(workspace.packed(cell.dataset) / "manifest.parquet")
    extractors = params.localization.extractors[cell.method]
    _evaluate(workspace, cell, manifest, extractors, params.evaluation)


def _evaluate(
    workspace: Workspace,
    cell: Cell,
    manifest: Columns,
    extractors: Sequence[str],
    rule: EvaluationParams,
) -> None:
    swept, delta = workspace.sweep(cell), rule.iou_threshold
    facts = read_json(swept / FACTS)
    thresholds = np.array(facts["thresholds"])
    measured = _in_order(measured_columns(swept / TABLE))
    tests = _tests(manifest, workspace.maps(cell))
    count = fold_count(manifest["split"], rule.folds)
    folds = None if count is None else deal_folds(tests["class_id"], count)
    tables, curves, metrics = [], [], {}
    for extractor in extractors:
        counts = read_curves(swept / TABLE, extractor, delta)
        fitted = None
        if folds is not None:
            fitted = fitted_places(swept / TABLE, extractor, folds, delta)
        places = choose_places(counts, thresholds, rule.map_threshold, fitted)
        chosen = {kind: thresholds[place] for kind, place in places.items()}
        table = table_at(
            swept / TABLE, extractor, places, counts, tests, measured=measured, iou_threshold=delta
        ) | {f"map_threshold_{kind}": values for kind, values in chosen.items()}
        totals = kind_totals(table, delta)
        for kind, values in chosen.items():
            fitted_by_fold = kind == "selected" and folds is not None
            totals[kind] |= _thresholds(values, folds if fitted_by_fold else None)
        metrics[extractor] = {
            **totals,
            **accuracies(counts, len(table["image_id"])),
            **{name: _mean_or_none(table[name]) for name in measured},
            **_covered(table, places),
            "px_ap": facts["px_ap"][extractor],
        }
        tables.append(table | {"extractor": np.full(len(table["image_id"]), extractor)})
        curve = {"map_threshold": thresholds, "gt_known_loc_err": counts.test}
        curves.append(curve | {"extractor": np.full(len(thresholds), extractor)})
    with whole_files(workspace.evaluation(cell), *OUTPUTS) as temporary:
        write_columns(temporary / "per_image.parquet", stacked(tables))
        write_columns(temporary / "curves.parquet", stacked(curves))
        write_json(temporary / "metrics.json", metrics)


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


def _thresholds(values: NDArray[np.float64], folds: NDArray[np.int64] | None) -> dict[str, Any]:
    """Return the threshold that all images share, or each fold's."""
    if folds is None:
        return {"map_threshold": float(values[0])}
    return {"map_thresholds": [float(values[folds == fold][0]) for fold in range(folds.max() + 1)]}


def _covered(table: Mapping[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """Return the mean shares that maps cover, by kind of threshold."""
    return {
        f"{name}_{kind}": _mean_or_none(table[f"{name}_{kind}"])
        for kind in places
        for name in COVERED
    }


def _mean_or_none(shares: NDArray[np.float64]) -> float | None:
    return None if np.isnan(shares).any() else float(shares.mean())
