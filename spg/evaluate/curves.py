"""What all test images of an extractor add up to: right boxes and pixels at every threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.choice import tests_of
from spg.evaluate.cuts import Cuts, Places
from spg.evaluate.image_errors import AT_LEVELS, IOU_LEVELS, count_correct, max_box_acc

Counts = NDArray[np.int64]


class Curves(NamedTuple):
    """Counts over the test images, each normalized as its *selected* threshold says."""

    wrong: NDArray[np.float64]
    """``Float[T]``, the GT-known error; NaN without boxes."""
    correct: Counts
    """``int64 [L, T]``, images with IoU >= level, rule ``largest``."""
    correct_all: Counts
    """``int64 [L, T]``, the same of the rule ``all``."""
    images: int
    boxed: bool
    """Whether they have boxes."""
    pixels: Counts
    """``int64 [3, T + 2]``: background, object and telling parts between thresholds."""
    overlaps: Mapping[str, tuple[int, int]]
    """By kind of threshold: pixels in both map and object, and in either of them."""


def read_curves(
    path: Path, extractor: str, iou_threshold: float, places: Mapping[str, Places], cuts: Cuts
) -> Curves:
    """Count in ``sweep.parquet``, in constant memory.

    Args:
        path: the file.
        extractor: whose rows.
        iou_threshold: delta.
        places: of each kind of threshold, for each test image.
        cuts: all places.
    """
    wrong: Any = 0
    correct: Any = 0
    correct_all: Any = 0
    pixels: Any = 0
    overlaps: dict[str, Any] = dict.fromkeys(places, np.zeros(2, dtype=np.int64))
    start, boxed = 0, True
    for rows in tests_of(path, extractor, ("iou", "iou_all", "pixels")):
        own = {kind: place[start : start + len(rows["split"])] for kind, place in places.items()}
        start += len(rows["split"])
        ways = cuts.ways(own["selected"])
        iou, every = at_way(rows["iou"], ways, cuts), at_way(rows["iou_all"], ways, cuts)
        boxed &= not np.isnan(iou).any()
        wrong = wrong + (iou < iou_threshold).sum(axis=0)
        correct, correct_all = correct + count_correct(iou), correct_all + count_correct(every)
        pixels = pixels + pixels_at(rows["pixels"], ways, cuts).sum(axis=0)
        for kind, place in own.items():
            inside, either = overlaps_of(*reached(rows["pixels"], place, cuts))
            overlaps[kind] = overlaps[kind] + [inside.sum(), either.sum()]
    totals = {kind: (int(total[0]), int(total[1])) for kind, total in overlaps.items()}
    share = wrong / start if boxed else np.full(len(cuts.thresholds), np.nan)
    return Curves(share, correct, correct_all, start, boxed, pixels, totals)


def accuracies(curves: Curves) -> dict[str, float | None]:
    """Return MaxBoxAcc and MaxBoxAccV2, whose thresholds are oracles by definition.

    MaxBoxAccV2 is the mean of what is right at IoU 0.3, 0.5 and 0.7, which stand beside it.
    """
    if not curves.boxed:
        return dict.fromkeys(["max_box_acc", "max_box_acc_v2", *AT_LEVELS])
    largest = max_box_acc(curves.correct, curves.images)
    every = max_box_acc(curves.correct_all, curves.images)
    return {
        "max_box_acc": float(largest[IOU_LEVELS.index(0.5)]),
        "max_box_acc_v2": float(every.mean()),
        **dict(zip(AT_LEVELS, every.tolist(), strict=True)),
    }


def at_way(values: NDArray[Any], ways: Places, cuts: Cuts) -> NDArray[Any]:
    """Return the part of a column that is of each image's percentile.

    Args:
        values: ``[n, P M]``, a column of sweep.parquet.
        ways: ``Int[n]``, from 0 to P - 1.
        cuts: all places.

    Returns:
        ``[n, M]``.
    """
    return values.reshape(len(values), cuts.curves, -1)[np.arange(len(values)), ways]


def pixels_at(pixels: NDArray[Any], ways: Places, cuts: Cuts) -> NDArray[Any]:
    """Return the column ``pixels`` as ``Int[n, 3, T + 2]``, of each image's percentile."""
    return at_way(pixels, ways, cuts).reshape(len(pixels), 3, -1)


def reached(pixels: NDArray[Any], place: Places, cuts: Cuts) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return how many pixels of each region reach a place, and how many there are.

    Args:
        pixels: the column.
        place: ``Int[n]``.
        cuts: all places.

    Returns:
        ``Int[n, 3]`` twice: background, object, telling parts.
    """
    regions = pixels_at(pixels, cuts.ways(place), cuts)
    # Column k holds the pixels that reach k thresholds, so those from step + 1 on reach it.
    inside = np.arange(regions.shape[2]) > cuts.steps(place)[:, None]
    return (regions * inside[:, None]).sum(axis=2), regions.sum(axis=2)


def overlaps_of(inside: NDArray[Any], whole: NDArray[Any]) -> tuple[Counts, Counts]:
    """Return each image's pixels in both map and object, and in either of them, ``Int[n]``.

    Args:
        inside: of :func:`reached`, as is ``whole``.
        whole: all pixels of the regions.
    """
    return inside[:, 1], inside[:, 0] + whole[:, 1]
