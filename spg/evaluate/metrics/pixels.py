"""PxAP and pIoU: average precision and intersection over union of the pixels of all images.

PxAP: Choe et al., CVPR 2020; docs/sources.md 4.2. pIoU: intersection over union of the pixels that
a threshold keeps and those of the objects, at a chosen threshold or at the best one (its *peak*).
Both count the pixels of all images together, so that a large object weighs more than a small one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.maps import Map
from spg.evaluate.metrics.protocols import FloatArray, count_passed

Counts = NDArray[np.int64]
OBJECT, IGNORED = 1, 255
"""Values of a mask's pixels; background is 0."""


def pixel_histogram(loc_map: Map, mask: NDArray[np.uint8], thresholds: FloatArray) -> Counts:
    """Count the pixels of object and background between neighboring thresholds.

    Histograms of many images add up to that of the data set.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1].
        mask: ``uint8 [H, W]``: 1 object, 0 background, 255 left out.
        thresholds: ``Float[T]``, ascending; 1 is added as a last one, as published.

    Returns:
        ``int64 [2, T + 2]``, background first; column ``k`` holds the pixels that reach exactly
        ``k`` of the thresholds.
    """
    edges = np.append(thresholds, 1.0)
    passed = count_passed(loc_map, edges)
    return np.stack([np.bincount(passed[mask == k], minlength=len(edges) + 1) for k in (0, 1)])


def pixel_average_precision(histogram: Counts) -> float | None:
    """Return the sum of precision times gain in recall from the highest threshold down.

    Args:
        histogram: a sum of :func:`pixel_histogram`.

    Returns:
        a fraction in [0, 1]; ``None`` where no pixel of an object was counted.

    Example:
        >>> pixel_average_precision(np.array([[1, 1, 0], [0, 0, 2]]))
        1.0
    """
    false, true = histogram[:, ::-1].cumsum(axis=1)  # [T + 2], the highest threshold first
    if true[-1] == 0:
        return None
    guessed = true + false
    precision = np.divide(true, guessed, out=np.zeros(len(true)), where=guessed > 0)
    recall = true / true[-1]
    return float((precision * np.diff(recall, prepend=0)).sum())


def precision_shares(
    histogram: Counts, some: NDArray[np.integer[Any]], *, images: int
) -> NDArray[np.float64]:
    """Return what each image contributes to PxAP: numbers whose mean over all is PxAP itself.

    PxAP is of all pixels together and no mean over images. These are its jackknife pseudo-values
    in the limit of small weights, ``PxAP + N * dPxAP/dw_i`` for a weight ``w_i`` of image i (Efron,
    The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6). Their spread over
    images is that of PxAP, so intervals and tests take them like any number of an image (PROTOCOL
    14).

    Args:
        histogram: of all images, with pixels of an object.
        some: ``Int[n, 2, T + 2]``, histograms of some of the images that were added up.
        images: how many were added up, N.

    Returns:
        ``Float[n]``, up to rounding.

    Example:
        >>> one = np.array([[1, 1, 0], [0, 0, 2]])
        >>> precision_shares(2 * one, np.stack([one, one]), images=2).tolist()
        [1.0, 1.0]
    """
    slopes = _precision_slopes(histogram)  # [2, T + 2]
    changes = np.einsum("nkt,kt->n", some.astype(np.float64), slopes)
    shares: NDArray[np.float64] = (pixel_average_precision(histogram) or 0.0) + images * changes
    return shares


def pixel_iou(histogram: Counts) -> NDArray[np.float64]:
    """Return the intersection over union of map and objects at each threshold.

    Args:
        histogram: a sum of :func:`pixel_histogram`, ``int64 [2, T + 2]``.

    Returns:
        ``Float[T]`` in [0, 1]; 0 where neither has a pixel.

    Example:
        >>> pixel_iou(np.array([[2, 1, 0], [1, 1, 0]]))  # one threshold, which two pixels reach
        array([0.33333333])
    """
    false, true = (counts[::-1].cumsum()[::-1][1:-1] for counts in histogram)  # that reach it
    either = false + histogram[1].sum()
    iou: NDArray[np.float64] = np.zeros(len(true))
    np.divide(true, either, out=iou, where=either > 0)
    return iou


def iou_shares(
    inside: NDArray[np.integer[Any]],
    either: NDArray[np.integer[Any]],
    totals: tuple[int, int],
    *,
    images: int,
) -> NDArray[np.float64]:
    """Return what each image contributes to pIoU: numbers whose mean over all is pIoU itself.

    Its jackknife pseudo-values in the limit of small weights, as for :func:`precision_shares`: of a
    ratio A / B with parts a and b, ``A / B + N (a - b A / B) / B``.

    Args:
        inside: ``Int[n]``, pixels of each image that are in both map and object.
        either: ``Int[n]``, pixels in either of them.
        totals: the sums of both over all images.
        images: how many were added up, N.

    Returns:
        ``Float[n]``; NaN where no image has a pixel in either.

    Example:
        >>> iou_shares(np.array([1, 3]), np.array([4, 4]), (4, 8), images=2).tolist()
        [0.25, 0.75]
    """
    both, union = totals
    if union == 0:
        return np.full(len(inside), np.nan)
    iou = both / union
    shares: NDArray[np.float64] = iou + images * (inside - either * iou) / union
    return shares


def peak_shares(
    histogram: Counts, some: NDArray[np.integer[Any]], *, images: int
) -> NDArray[np.float64]:
    """Return what each image contributes to pIoU at the threshold that is best for it.

    Args:
        histogram: of all images, with pixels of an object.
        some: ``Int[n, 2, T + 2]``, histograms of some of the images that were added up.
        images: how many were added up.

    Returns:
        ``Float[n]``, of :func:`iou_shares`.
    """
    first = int(pixel_iou(histogram).argmax()) + 1  # the first column that reaches the threshold
    (false, true), (_, whole) = some[..., first:].sum(axis=2).T, some.sum(axis=2).T
    guessed, held = histogram[:, first:].sum(axis=1), histogram[1].sum()
    totals = int(guessed[1]), int(guessed[0] + held)
    return iou_shares(true, false + whole, totals, images=images)


def _precision_slopes(histogram: Counts) -> NDArray[np.float64]:
    """Return how PxAP changes by one more pixel of each kind in each column, ``Float[2, T + 2]``.

    With true positives ``A``, guessed pixels ``G`` and gains ``a`` of true ones, from the highest
    threshold down, and ``P`` true pixels in all: PxAP = sum(A / G * a) / P. One more true pixel in
    column ``b`` adds 1 to ``a`` there, to ``A`` and ``G`` from there on, and to ``P``.
    """
    gains = histogram[:, ::-1].astype(np.float64)
    false, true = gains.cumsum(axis=1)
    guessed, total = true + false, true[-1]
    used = guessed > 0
    precision = np.divide(true, guessed, out=np.zeros(len(true)), where=used)
    square = np.where(used, guessed, np.inf) ** 2
    # what a pixel changes in all later columns: sums from a column to the end
    more_true, more_false = (
        (change / square * gains[1])[::-1].cumsum()[::-1] for change in (false, -true)
    )
    whole = (precision * gains[1]).sum() / total
    slopes = np.stack([more_false, precision + more_true - whole]) / total
    ordered: NDArray[np.float64] = slopes[:, ::-1]
    return ordered
