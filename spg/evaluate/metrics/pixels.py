"""PxAP: average precision over the pixels of all images.

Choe et al., CVPR 2020; docs/sources.md 4.2.
"""

from __future__ import annotations

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
