"""Localization and classification errors, per image and in total (spg_facts 4.1).

All are errors in [0, 1], lower is better. A guess is a class and a box; it is right when the class
is and the box has IoU >= delta with any true box. The box of class k comes from the map of class
k, so a right guess always uses the map of the true class: top-k localization is wrong unless the
true class is among the first k and *its* box is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ERRORS = ("gt_known_loc_err", "top1_loc_err", "top5_loc_err", "top1_cls_err", "top5_cls_err")


def image_errors(
    iou: NDArray[np.float64],
    top5: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    iou_threshold: float,
) -> Mapping[str, NDArray[np.bool_]]:
    """Return each image's error under each of :data:`ERRORS`.

    Args:
        iou: ``Float[N]``, best IoU of the true class's box with any true box.
        top5: ``Int[N, 5]``, predicted classes, best first (fewer columns for fewer classes).
        labels: ``Int[N]``, true classes.
        iou_threshold: delta, 0.5 in the paper; an IoU equal to it is right.

    Returns:
        ``bool [N]`` for each name, true where the image is wrong.
    """
    wrong_box = iou < iou_threshold
    hits = top5 == labels[:, None]  # [N, 5]
    wrong_top1, wrong_top5 = ~hits[:, 0], ~hits.any(axis=1)
    return {
        "gt_known_loc_err": wrong_box,
        "top1_loc_err": wrong_box | wrong_top1,
        "top5_loc_err": wrong_box | wrong_top5,
        "top1_cls_err": wrong_top1,
        "top5_cls_err": wrong_top5,
    }


def threshold_grid(count: int) -> NDArray[np.float64]:
    """Return ``count`` thresholds evenly inside (0, 1): ``1 / (count + 1)`` and its multiples."""
    return np.arange(1, count + 1) / (count + 1)


def error_curve(iou: NDArray[np.floating[Any]], iou_threshold: float) -> NDArray[np.float64]:
    """Return the GT-known error at each threshold of a grid.

    Args:
        iou: ``Float[N, T]``, best IoU of each image's box at each threshold.
        iou_threshold: delta.

    Returns:
        ``Float[T]``.
    """
    curve: NDArray[np.float64] = (iou < iou_threshold).mean(axis=0)
    return curve


def select_threshold(errors: NDArray[np.float64], thresholds: NDArray[np.float64]) -> float:
    """Return the threshold with the lowest error; of equal ones the middle of the longest run.

    Args:
        errors: ``Float[T]``, error at each threshold.
        thresholds: ``Float[T]``, ascending.

    Example:
        >>> float(select_threshold(np.array([3, 1, 2, 1, 1, 1]), np.arange(6) / 10))
        0.4
    """
    best = np.flatnonzero(errors == errors.min())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(runs, key=len)
    return float(thresholds[longest[(len(longest) - 1) // 2]])


def outcome(
    box: NDArray[np.float64], true_boxes: NDArray[np.float64], iou: float, *, iou_threshold: float
) -> str:
    """Name what went right or wrong with an image's box.

    ``correct`` when IoU >= delta; ``elsewhere`` when it meets no true box; ``part`` when at least
    half of the box lies in the true box it overlaps most (too small); else ``too_large``.
    """
    if iou >= iou_threshold:
        return "correct"
    top_left = np.maximum(box[:2], true_boxes[:, :2])
    overlap = (np.minimum(box[2:], true_boxes[:, 2:]) - top_left).clip(min=0).prod(axis=1)
    if overlap.max() <= 0:
        return "elsewhere"
    area = (box[2:] - box[:2]).prod()
    return "part" if overlap.max() / area >= 0.5 else "too_large"
