"""Localization and classification errors, per image and in total (docs/sources.md 4.1).

All are errors in [0, 1], lower is better. A guess is a class and a box; it is right when the class
is and the box has IoU >= delta with any true box. The box of class k comes from the map of class
k, so a right guess always uses the map of the true class: top-k localization is wrong unless the
true class is among the first k and *its* box is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ERRORS = (
    "gt_known_loc_err",
    "top1_loc_err",
    "top5_loc_err",
    "top5_loc_star_err",
    "top1_cls_err",
    "top5_cls_err",
)
IOU_LEVELS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2 (wsolevaluation config.py:42-50)
AT_LEVELS = tuple(f"max_box_acc_v2_{round(100 * level)}" for level in IOU_LEVELS)
"""What is right at each of them, of which MaxBoxAccV2 is the mean."""


def image_errors(
    iou: NDArray[np.floating[Any]],
    top5: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    iou_threshold: float,
    second_iou: NDArray[np.floating[Any]] | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Return each image's error under each of :data:`ERRORS`.

    ``top5_loc_star_err`` is that of the tables' SPG* row (docs/sources.md 1): two boxes for each
    class, the list cut at five guesses, so that the first two classes have both boxes and the third
    has one. It is left out where there is no second box.

    Args:
        iou: ``Float[N]``, best IoU of the true class's box with any true box.
        top5: ``Int[N, 5]``, predicted classes, best first (fewer columns for fewer classes).
        labels: ``Int[N]``, true classes.
        iou_threshold: delta, 0.5 in the paper; an IoU equal to it is right.
        second_iou: ``Float[N]``, the same of the true class's second box.

    Returns:
        ``bool [N]`` for each name, true where the image is wrong.
    """
    wrong_box, wrong_class = iou < iou_threshold, class_errors(top5, labels)
    errors = {
        "gt_known_loc_err": wrong_box,
        "top1_loc_err": wrong_box | wrong_class["top1_cls_err"],
        "top5_loc_err": wrong_box | wrong_class["top5_cls_err"],
        **wrong_class,
    }
    if second_iou is not None:
        hits = top5 == labels[:, None]  # [N, 5]
        either = ~wrong_box | (second_iou >= iou_threshold)
        first_two, third = hits[:, :2].any(axis=1), hits[:, 2:3].any(axis=1)
        errors["top5_loc_star_err"] = ~((first_two & either) | (third & ~wrong_box))
    return errors


def class_errors(
    top5: NDArray[np.int64], labels: NDArray[np.int64]
) -> dict[str, NDArray[np.bool_]]:
    """Return the errors of :func:`image_errors` that need no box.

    Args:
        top5: ``Int[N, 5]``, predicted classes, best first (fewer columns for fewer classes).
        labels: ``Int[N]``, true classes.
    """
    hits = top5 == labels[:, None]  # [N, 5]
    return {"top1_cls_err": ~hits[:, 0], "top5_cls_err": ~hits.any(axis=1)}


def max_box_acc(correct: NDArray[np.integer[Any]], images: int) -> NDArray[np.float64]:
    """Return the accuracy at the best threshold, for each IoU level.

    MaxBoxAcc is this of the rule ``largest`` at IoU 0.5; MaxBoxAccV2 is the mean over
    :data:`IOU_LEVELS` of this of the rule ``all``. The threshold is an oracle's: chosen, for each
    level anew, on the very images that are scored (docs/sources.md 4.2).

    Args:
        correct: ``Int[L, T]``, images with IoU >= the level, at each threshold.
        images: how many there are.

    Returns:
        ``Float[L]`` in [0, 1].
    """
    best: NDArray[np.float64] = correct.max(axis=1) / images
    return best


def best_places(correct: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return where on the grid each IoU level's accuracy is best, ``int64 [L]``; the first of ties.

    Args:
        correct: ``Int[L, T]``, as for :func:`max_box_acc`.
    """
    places: NDArray[np.int64] = correct.argmax(axis=1)
    return places


def count_correct(iou: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return how many images reach each of :data:`IOU_LEVELS`, ``int64 [L, T]``.

    Args:
        iou: ``Float[N, T]``, of each image at each threshold.
    """
    return np.stack([(iou >= level).sum(axis=0) for level in IOU_LEVELS])


def select_threshold(errors: NDArray[np.float64], thresholds: NDArray[np.float64]) -> float:
    """Return the threshold with the lowest error; of equal ones the middle of the longest run.

    Args:
        errors: ``Float[T]``, error at each threshold.
        thresholds: ``Float[T]``, ascending.

    Example:
        >>> float(select_threshold(np.array([3, 1, 2, 1, 1, 1]), np.arange(6) / 10))
        0.4
    """
    return float(thresholds[select_places(errors[None])[0]])


def select_places(errors: NDArray[np.floating[Any]], *, curves: int = 1) -> NDArray[np.intp]:
    """Return where :func:`select_threshold` finds its threshold, for many at once.

    Args:
        errors: ``Float[M, P T]``, one row a choice.
        curves: how many grids of thresholds lie behind each other in a row, P: one for each
            percentile of a normalization. A run of best ones ends where its grid does.

    Returns:
        ``Int[M]``.
    """
    best = errors == errors.min(axis=1, keepdims=True)
    places = np.arange(errors.shape[1])
    starts = places - places % (errors.shape[1] // curves) - 1  # the place before each one's grid
    last_other = np.maximum.accumulate(np.where(best, starts, places), axis=1)
    lengths = np.where(best, places - last_other, 0)  # of the run of best ones, up to each place
    longest = lengths.max(axis=1)
    ends = lengths.argmax(axis=1)  # the first of equally long runs, at its last place
    middles: NDArray[np.intp] = ends - longest + 1 + (longest - 1) // 2
    return middles
