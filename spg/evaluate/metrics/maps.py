"""From raw maps to localization maps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.normalization import Normalize, min_max

Map = NDArray[np.float32]
SAFE_MAGNITUDE = 1e37


def localization_map(
    raw_map: Map,
    size_wh: tuple[int, int],
    *,
    interpolation: int = cv2.INTER_LINEAR,
    normalize_first: bool = False,
    normalize: Normalize = min_max,
) -> Map:
    """Resize a raw map to the image and scale it to [0, 1].

    Interpolation first, normalization after: the same order as in training, and the other
    way round on request (PROTOCOL 8). A constant map, and one with NaN or infinity, becomes zeros
    and so yields no box.

    Args:
        raw_map: ``Float[h, w]`` at feature resolution, any range.
        size_wh: width and height of the original image in pixels.
        interpolation: OpenCV's; bilinear, or bicubic as in wsolevaluation (inference.py:79-95).
        normalize_first: as the official code does (344-348); the result may end short of 1.
        normalize: how a map is brought to [0, 1] (PROTOCOL 32).

    Returns:
        ``float32 [H, W]`` in [0, 1].

    Example:
        >>> localization_map(np.array([[0, 2]], dtype=np.float32), (2, 1))
        array([[0., 1.]], dtype=float32)
    """
    if not np.isfinite(raw_map).all():
        return np.zeros(size_wh[::-1], dtype=np.float32)
    largest = float(np.abs(raw_map).max())  # near float32's end, differences would overflow
    safe = raw_map / largest if largest > SAFE_MAGNITUDE else raw_map
    safe = safe.astype(np.float32)
    if normalize_first:
        return _resize(normalize(safe), size_wh, interpolation)
    return normalize(_resize(safe, size_wh, interpolation))


def _resize(raw_map: Map, size_wh: tuple[int, int], interpolation: int) -> Map:
    return np.asarray(cv2.resize(raw_map, size_wh, interpolation=interpolation), dtype=np.float32)


def energy_share(loc_map: Map, region: NDArray[np.bool_]) -> float:
    """Return the share of the map's energy that lies in ``region``.

    ``sum of the map over the region / sum of the map``; 0 for a map of zeros. A uniform map scores
    the region's share of the area, which is what to compare it with.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1].
        region: ``bool [H, W]``.

    Example:
        >>> energy_share(np.array([[1.0, 3.0]]), np.array([[False, True]]))
        0.75
    """
    total = float(loc_map.sum(dtype=np.float64))
    return float(loc_map[region].sum(dtype=np.float64)) / total if total > 0 else 0.0
