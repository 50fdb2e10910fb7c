"""From sweep.parquet to a table of images at the few thresholds that are reported.

Kinds of threshold, and every table says which (PROTOCOL 10): ``fixed`` by params.yaml;
``selected`` on held-out images or, where there are none, cross-fitted on the test images
(:mod:`spg.evaluate.cross_fitting`); ``oracle``, the best on the reported images themselves;
``cam_code``, the three of the CAM code's box generator; ``graph_cut``, none at all, where
params.yaml asks for it (PROTOCOL 11). The first three are chosen by the GT-known error and then
hold for all errors, and for what a map covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, boxes_of
from spg.data.results.columns import Columns, read_batches, select
from spg.evaluate.cross_fitting import cross_fitted_places
from spg.evaluate.image_errors import (
    IOU_LEVELS,
    best_places,
    count_correct,
    image_errors,
    max_box_acc,
    select_threshold,
)
from spg.evaluate.metrics.pixels import pixel_average_precision, precision_shares
from spg.evaluate.outcomes import OUTCOMES, outcome
from spg.project.errors import UserError

REGIONS = ("part_energy", "object_energy", "part_area", "object_area")
"""The order in which tables show the measure `energy`; others follow."""
KINDS = ("fixed", "selected", "oracle", "cam_code", "graph_cut")
COVERED = ("covered_object", "covered_parts", "covered_background")
"""Shares of an image's pixels that its map covers at a kind of threshold (PROTOCOL 29)."""
WHOLE_MAP = ("px_ap", "max_box_acc_v2")
"""Numbers of an image that no kind of threshold changes; their means are PxAP and MaxBoxAccV2."""


class Curves(NamedTuple):
    """An extractor's GT-known error at every threshold, and what MaxBoxAcc counts."""

    held_out: NDArray[np.float64] | None
    """``Float[T]``, on train_fullsup; ``None`` where no image is held out."""
    test: NDArray[np.float64]
    """``Float[T]``."""
    correct: NDArray[np.int64]
    """``int64 [L, T]``, test images with IoU >= level, rule ``largest``."""
    correct_all: NDArray[np.int64]
    """``int64 [L, T]``, the same of the rule ``all``."""
    images: int
    """Of the test split."""
    pixels: NDArray[np.int64]
    """``int64 [3, T + 2]``, of all test images: background, object and telling parts between
    thresholds."""


def read_curves(path: Path, extractor: str, iou_threshold: float) -> Curves:
    """Count right boxes at every threshold of ``sweep.parquet``, in constant memory."""
    wrong: dict[str, Any] = {TEST: 0, TRAIN_FULLSUP: 0}
    images = dict.fromkeys(wrong, 0)
    correct: Any = 0
    correct_all: Any = 0
    pixels: Any = 0
    for batch in _batches_of(path, extractor, ("split", "iou", "iou_all", "pixels")):
        for split in wrong:
            iou = batch["iou"][batch["split"] == split]
            wrong[split] = wrong[split] + (iou < iou_threshold).sum(axis=0)
            images[split] += len(iou)
        is_test = batch["split"] == TEST
        correct = correct + count_correct(batch["iou"][is_test])
        correct_all = correct_all + count_correct(batch["iou_all"][is_test])
        pixels = pixels + _regions(batch["pixels"][is_test]).sum(axis=0)
    if not images[TEST]:
        raise UserError(f"{path}: lacks {extractor} on test; run `spg sweep`")
    held_out = images[TRAIN_FULLSUP]
    return Curves(
        held_out=wrong[TRAIN_FULLSUP] / held_out if held_out else None,
        test=wrong[TEST] / images[TEST],
        correct=correct,
        correct_all=correct_all,
        images=images[TEST],
        pixels=pixels,
    )


def choose_places(
    curves: Curves,
    thresholds: NDArray[np.float64],
    map_threshold: float,
    fitted: NDArray[np.intp] | None,
) -> dict[str, NDArray[np.intp]]:
    """Return the place on the grid of each kind of threshold, for each test image: ``Int[N]``.

    ``selected`` never looks at the image that it is for; ``fixed`` is ``map_threshold``, and so is
    ``selected`` where no image is held out and nothing is cross-fitted (PROTOCOL 10).

    Args:
        curves: of the extractor.
        thresholds: ``Float[T]``.
        map_threshold: one of them.
        fitted: the cross-fitted places, ``Int[N]``; ``None``: nothing is cross-fitted.
    """
    chosen = {"fixed": map_threshold, "oracle": select_threshold(curves.test, thresholds)}
    if curves.held_out is not None:
        chosen["selected"] = select_threshold(curves.held_out, thresholds)
    elif fitted is None:
        chosen["selected"] = map_threshold
    places = {
        kind: np.full(curves.images, np.abs(thresholds - value).argmin())
        for kind, value in chosen.items()
    }
    if "selected" not in places and fitted is not None:
        places["selected"] = fitted
    return {kind: places[kind] for kind in ("fixed", "selected", "oracle")}


def fitted_places(
    path: Path,
    extractor: str,
    folds: NDArray[np.int64],
    iou_threshold: float,
) -> NDArray[np.intp]:
    """Return the place of each test image's cross-fitted threshold, ``Int[N]`` (PROTOCOL 10)."""
    tested = (
        batch["iou"][batch["split"] == TEST] < iou_threshold
        for batch in _batches_of(path, extractor, ("split", "iou"))
    )
    return cross_fitted_places(np.concatenate(list(tested)), folds)[folds]


def table_at(
    path: Path,
    extractor: str,
    places: Mapping[str, NDArray[np.intp]],
    curves: Curves,
    tests: Columns,
    *,
    measured: Sequence[str],
    iou_threshold: float,
) -> dict[str, Any]:
    """Return the per-image table of one extractor's maps.

    Args:
        path: ``sweep.parquet``.
        extractor: whose rows.
        places: of the chosen thresholds, by kind, for each test image.
        curves: of the same rows.
        tests: columns of the test images, in the rows' order.
        measured: columns of ``sweep.measures`` to take over.
        iou_threshold: delta.

    Returns:
        columns ``image_id``, ``class_id``, ``top1`` ..., what was measured, `WHOLE_MAP`, and for
        each kind of threshold IoU (of the first and second largest component, of the best contour),
        box, outcome and, for a threshold of the grid, `COVERED`; the IoU of a kind that the
        extractor has not is NaN, and so is what needs a mask that an image has not.
    """
    names = ("split", "iou", "second_iou", "iou_all", "box", "cam_code_iou", "cam_code_box",
             "graph_cut_iou", "graph_cut_box", "pixels")  # fmt: skip
    batches = _batches_of(path, extractor, (*names, *measured))
    picked, start = [], 0
    for batch in batches:
        rows = select(batch, batch["split"] == TEST)
        end = start + len(rows["split"])
        own = {kind: chosen[start:end] for kind, chosen in places.items()}
        picked.append(_pick(rows, own, curves, measured))
        start = end
    known = {n: tests[n] for n in tests if n in ("image_id", "class_id") or _is_guess(n)}
    table: dict[str, Any] = known | stacked(picked)
    right = table["top1"] == table["class_id"]
    for kind in KINDS:
        found = zip(table[f"box_{kind}"], tests["boxes"], table[f"iou_{kind}"], right, strict=True)
        table[f"outcome_{kind}"] = [
            outcome(box, boxes_of(true), iou, class_is_right=ok, iou_threshold=iou_threshold)
            for box, true, iou, ok in found
        ]
    return table


def kind_totals(table: Mapping[str, Any], iou_threshold: float) -> dict[str, dict[str, Any]]:
    """Return the means of a per-image table's errors and outcomes for each kind of threshold.

    ``box_acc_v2`` is what MaxBoxAccV2 maximizes: the share of images that some contour's box finds,
    averaged over its IoU levels.
    """
    totals: dict[str, dict[str, Any]] = {}
    for kind in kinds_of(table):
        errors = cell_errors(table, kind, iou_threshold=iou_threshold)
        totals[kind] = {name: float(wrong.mean()) for name, wrong in errors.items()}
        if f"iou_all_{kind}" in table:
            hits = count_correct(np.asarray(table[f"iou_all_{kind}"])[:, None])
            totals[kind]["box_acc_v2"] = float(hits.mean() / len(table["image_id"]))
        names = np.asarray(table[f"outcome_{kind}"])
        totals[kind]["outcomes"] = {name: float((names == name).mean()) for name in OUTCOMES}
    return totals


def kinds_of(table: Mapping[str, Any], kinds: Sequence[str] = KINDS) -> list[str]:
    """Return the kinds of threshold that a per-image table has numbers for."""
    return [kind for kind in kinds if not np.isnan(np.asarray(table[f"iou_{kind}"])).any()]


def accuracies(curves: Curves, images: int) -> dict[str, float]:
    """Return MaxBoxAcc and MaxBoxAccV2, whose thresholds are oracles by definition."""
    largest = max_box_acc(curves.correct, images)
    return {
        "max_box_acc": float(largest[IOU_LEVELS.index(0.5)]),
        "max_box_acc_v2": float(max_box_acc(curves.correct_all, images).mean()),
    }


def cell_errors(
    table: Mapping[str, Any], kind: str, *, iou_threshold: float
) -> dict[str, NDArray[np.bool_]]:
    """Return the per-image errors of a table of this module at one kind of threshold."""
    second = table.get(f"second_iou_{kind}")
    return image_errors(
        np.asarray(table[f"iou_{kind}"]),
        np.column_stack([table[name] for name in table if _is_guess(name)]),
        np.asarray(table["class_id"]),
        iou_threshold=iou_threshold,
        second_iou=None if second is None else np.asarray(second),
    )


def stacked(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put tables with the same columns under each other; boxes stay lists."""
    stacked = {name: [value for table in tables for value in table[name]] for name in tables[0]}
    return {
        name: values if name.startswith("box_") else np.array(values)
        for name, values in stacked.items()
    }


def _batches_of(path: Path, extractor: str, names: Sequence[str]) -> Iterator[Columns]:
    for batch in read_batches(path, ("extractor", *names)):
        own = select(batch, batch["extractor"] == extractor)
        if len(own["extractor"]):
            yield own


def _pick(
    rows: Columns,
    places: Mapping[str, NDArray[np.intp]],
    curves: Curves,
    measured: Sequence[str],
) -> dict[str, Any]:
    """Return the columns of a per-image table at the chosen thresholds."""
    images = np.arange(len(rows["split"]))
    boxes = rows["box"].reshape(len(rows["box"]), -1, 4)  # [n, T, 4]
    pixels = _regions(rows["pixels"])  # [n, 3, T + 2]
    picked: dict[str, Any] = {name: rows[name].astype(np.float64) for name in measured}
    picked |= {"px_ap": _precision(pixels, curves), "max_box_acc_v2": _found(rows, curves)}
    for kind, place in places.items():
        picked |= {f"{name}_{kind}": share for name, share in _covered(pixels, place).items()}
        for name in ("iou", "second_iou", "iou_all"):
            picked[f"{name}_{kind}"] = rows[name][images, place].astype(np.float64)
        picked[f"box_{kind}"] = list(boxes[images, place].astype(np.float64))
    picked["iou_cam_code"], picked["second_iou_cam_code"] = rows["cam_code_iou"].T
    picked["box_cam_code"] = list(rows["cam_code_box"])
    picked["iou_graph_cut"] = rows["graph_cut_iou"]
    picked["box_graph_cut"] = list(rows["graph_cut_box"])
    return picked


def _regions(pixels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Return the column ``pixels`` as ``Int[n, 3, T + 2]``."""
    return pixels.reshape(len(pixels), 3, -1)


def _precision(pixels: NDArray[np.integer[Any]], curves: Curves) -> NDArray[np.float64]:
    """Return what each image contributes to PxAP; NaN where no image has a mask."""
    total = curves.pixels[:2]
    if pixel_average_precision(total) is None:
        return np.full(len(pixels), np.nan)
    return precision_shares(total, pixels[:, :2], images=curves.images)


def _found(rows: Columns, curves: Curves) -> NDArray[np.float64]:
    """Return in how many of MaxBoxAccV2's levels some contour's box is right, as a share."""
    chosen = best_places(curves.correct_all)
    hits = [
        rows["iou_all"][:, place] >= level for level, place in zip(IOU_LEVELS, chosen, strict=True)
    ]
    share: NDArray[np.float64] = np.mean(hits, axis=0, dtype=np.float64)
    return share


def _covered(
    pixels: NDArray[np.integer[Any]], place: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Return the shares of object, parts and background from a threshold on; NaN without pixels."""
    # Column k holds the pixels that reach k thresholds, so those from place + 1 on reach it.
    reached = np.arange(pixels.shape[2]) > place[:, None]
    background, objects, parts = pixels.transpose(1, 0, 2)
    shares = {}
    for name, region in zip(COVERED, (objects, parts, background), strict=True):
        inside, whole = (region * reached).sum(axis=1), region.sum(axis=1)
        shares[name] = np.divide(inside, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _is_guess(name: str) -> bool:
    return name.startswith("top")
