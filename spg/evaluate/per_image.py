"""From sweep.parquet to a table of images at the few thresholds that are reported.

Kinds of threshold: those of :mod:`spg.evaluate.choice`, on the grid; ``cam_code``, the three of the
CAM code's box generator; ``graph_cut``, none at all, where params.yaml asks for it (PROTOCOL 11).
What no threshold changes is taken with the percentile of the *selected* one, the CAM code's boxes
with the fixed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.data.images.manifest import boxes_of
from spg.data.results.columns import Columns
from spg.evaluate.choice import tests_of
from spg.evaluate.curves import Curves, at_way, overlaps_of, pixels_at, reached
from spg.evaluate.cuts import Cuts, Places
from spg.evaluate.image_errors import (
    AT_LEVELS,
    IOU_LEVELS,
    best_places,
    count_correct,
    image_errors,
)
from spg.evaluate.metrics.pixels import (
    iou_shares,
    peak_shares,
    pixel_average_precision,
    precision_shares,
)
from spg.evaluate.outcomes import OUTCOMES, UNKNOWN, outcome

REGIONS = ("part_energy", "object_energy", "part_area", "object_area")
"""The order in which tables show the measure `energy`; others follow."""
KINDS = ("fixed", "selected", "pseudo", "oracle", "cam_code", "graph_cut")
COVERED = ("covered_object", "covered_parts", "covered_background")
"""Shares of an image's pixels that its map covers at a kind of threshold (PROTOCOL 29)."""
PIXEL_IOU = "p_iou"
"""pIoU at a kind of threshold: of all images' pixels together (PROTOCOL 18)."""
WHOLE_MAP = ("px_ap", "peak_p_iou", "max_box_acc_v2", *AT_LEVELS)
"""Numbers of an image that no kind of threshold changes; their means are PxAP, pIoU at the
threshold that is best for it, MaxBoxAccV2, and what that is the mean of."""


def table_at(
    path: Path,
    extractor: str,
    places: Mapping[str, Places],
    cuts: Cuts,
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
        cuts: all places.
        curves: of the same rows.
        tests: columns of the test images, in the rows' order.
        measured: columns of ``sweep.measures`` to take over.
        iou_threshold: delta.

    Returns:
        columns ``image_id``, ``class_id``, ``top1`` ..., what was measured, `WHOLE_MAP`, and for
        each kind of threshold IoU (of the first and second largest component, of the best contour),
        box, outcome and, for a threshold of the grid, `COVERED` and `PIXEL_IOU`; the IoU of a kind
        that the extractor has not is NaN, and so is what needs a mask or box that an image has not.
    """
    names = ("iou", "second_iou", "iou_all", "box", "cam_code_iou", "cam_code_box",
             "graph_cut_iou", "graph_cut_box", "pixels")  # fmt: skip
    picked, start = [], 0
    for rows in tests_of(path, extractor, (*names, *measured)):
        end = start + len(rows["split"])
        own = {kind: chosen[start:end] for kind, chosen in places.items()}
        picked.append(_pick(rows, own, cuts, curves, measured))
        start = end
    known = {n: tests[n] for n in tests if n in ("image_id", "class_id") or _is_guess(n)}
    table: dict[str, Any] = known | stacked(picked)
    right = table["top1"] == table["class_id"]
    for kind in (kind for kind in KINDS if f"iou_{kind}" in table):
        found = zip(table[f"box_{kind}"], tests["boxes"], table[f"iou_{kind}"], right, strict=True)
        table[f"outcome_{kind}"] = [
            outcome(box, boxes_of(true), iou, class_is_right=ok, iou_threshold=iou_threshold)
            if len(true)
            else UNKNOWN
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
    """Return the kinds of threshold that a per-image table has numbers for: none without boxes."""
    return [
        kind
        for kind in kinds
        if f"iou_{kind}" in table and not np.isnan(np.asarray(table[f"iou_{kind}"])).any()
    ]


def cell_errors(
    table: Mapping[str, Any], kind: str, *, iou_threshold: float
) -> dict[str, NDArray[np.bool_]]:
    """Return the per-image errors of a table of this module at one kind of threshold."""
    second = table.get(f"second_iou_{kind}")
    return image_errors(
        np.asarray(table[f"iou_{kind}"]),
        guesses_of(table),
        np.asarray(table["class_id"]),
        iou_threshold=iou_threshold,
        second_iou=None if second is None else np.asarray(second),
    )


def guesses_of(table: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the classes that were guessed for each image, best first, ``Int[N, 5]`` at most."""
    return np.column_stack([table[name] for name in table if _is_guess(name)])


def stacked(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put tables with the same columns under each other; boxes stay lists."""
    stacked = {name: [value for table in tables for value in table[name]] for name in tables[0]}
    return {
        name: values if name.startswith("box_") else np.array(values)
        for name, values in stacked.items()
    }


def _pick(
    rows: Columns,
    places: Mapping[str, Places],
    cuts: Cuts,
    curves: Curves,
    measured: Sequence[str],
) -> dict[str, Any]:
    """Return the columns of a per-image table at the chosen thresholds."""
    images = np.arange(len(rows["split"]))
    boxes = rows["box"].reshape(len(rows["box"]), -1, 4)  # [n, G, 4]
    ways = cuts.ways(places["selected"])
    picked: dict[str, Any] = {
        name: at_way(rows[name], ways, cuts)[:, 0].astype(np.float64) for name in measured
    }
    picked |= _whole_map(rows, ways, cuts, curves)
    for kind, place in places.items():
        inside, whole = reached(rows["pixels"], place, cuts)
        picked |= {f"{name}_{kind}": share for name, share in _covered(inside, whole).items()}
        picked[f"{PIXEL_IOU}_{kind}"] = _pixel_iou(inside, whole, curves, kind)
        for name in ("iou", "second_iou", "iou_all"):
            picked[f"{name}_{kind}"] = rows[name][images, place].astype(np.float64)
        picked[f"box_{kind}"] = list(boxes[images, place].astype(np.float64))
    fixed = cuts.ways(places["fixed"])
    cam_code = at_way(rows["cam_code_iou"], fixed, cuts)
    picked["iou_cam_code"], picked["second_iou_cam_code"] = cam_code.T
    picked["box_cam_code"] = list(at_way(rows["cam_code_box"], fixed, cuts))
    picked["iou_graph_cut"] = rows["graph_cut_iou"]
    picked["box_graph_cut"] = list(rows["graph_cut_box"])
    return picked


def _whole_map(
    rows: Columns, ways: Places, cuts: Cuts, curves: Curves
) -> dict[str, NDArray[np.float64]]:
    """Return what each image contributes to the numbers of `WHOLE_MAP`; NaN where there is none."""
    nothing = np.full(len(ways), np.nan)
    found: dict[str, NDArray[np.float64]] = dict.fromkeys(WHOLE_MAP, nothing)
    total = curves.pixels[:2]
    if pixel_average_precision(total) is not None:
        pixels = pixels_at(rows["pixels"], ways, cuts)[:, :2]
        found["px_ap"] = precision_shares(total, pixels, images=curves.images)
        found["peak_p_iou"] = peak_shares(total, pixels, images=curves.images)
    if curves.boxed:
        chosen = best_places(curves.correct_all)
        every = at_way(rows["iou_all"], ways, cuts)
        hits = [every[:, p] >= level for level, p in zip(IOU_LEVELS, chosen, strict=True)]
        found["max_box_acc_v2"] = np.mean(hits, axis=0, dtype=np.float64)
        found |= {name: hit.astype(np.float64) for name, hit in zip(AT_LEVELS, hits, strict=True)}
    return found


def _covered(inside: NDArray[Any], whole: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return the shares of object, parts and background from a threshold on; NaN without pixels."""
    nothing = np.full(whole.shape, np.nan)
    background, objects, parts = np.divide(inside, whole, out=nothing, where=whole > 0).T
    return dict(zip(COVERED, (objects, parts, background), strict=True))


def _pixel_iou(
    inside: NDArray[Any], whole: NDArray[Any], curves: Curves, kind: str
) -> NDArray[np.float64]:
    """Return what each image contributes to pIoU; NaN where no image has a mask."""
    if not curves.pixels[1].any():
        return np.full(len(inside), np.nan)
    overlaps, totals = overlaps_of(inside, whole), curves.overlaps[kind]
    return iou_shares(*overlaps, totals, images=curves.images)


def _is_guess(name: str) -> bool:
    return name.startswith("top")
