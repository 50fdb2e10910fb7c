"""PxAP: average precision over the pixels of all images.

Choe et al., CVPR 2020; docs/sources.md 4.2.
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
