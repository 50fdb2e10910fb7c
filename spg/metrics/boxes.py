"""Boxes: ``(x1, y1, x2, y2)`` in pixels, half-open, ``0 <= x1 < x2 <= width``."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def largest_box(loc_map: NDArray[np.float32], threshold: float) -> Boxes:
    """Return the box around the largest connected component of ``loc_map >= threshold``.

    The rule of the CAM paper (PROTOCOL 11). Components are 8-connected and measured in pixels; of
    equal ones the first in row order wins.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1].
        threshold: in (0, 1), a fraction of the map's maximum.

    Returns:
        ``Float[4]``; zeros when no pixel passes.

    Example:
        >>> largest_box(np.array([[0, 1, 1], [0, 0, 1]], dtype=np.float32), 0.5)
        array([1., 0., 3., 2.])
    """
    mask = (loc_map >= threshold).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if len(stats) < 2:  # row 0 is the background
        return np.zeros(4)
    x, y, width, height, _ = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())]
    return np.array([x, y, x + width, y + height], dtype=np.float64)


def box_iou(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return the IoU of each pair.

    Args:
        boxes: ``Float[N, 4]``.
        others: ``Float[M, 4]``.

    Returns:
        ``Float[N, M]`` in [0, 1]; 0 where both boxes have no area.

    Example:
        >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3)
        array([[0.333]])
    """
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    overlap = (bottom_right - top_left).clip(min=0).prod(axis=2)  # [N, M]
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - overlap
    iou: NDArray[np.float64] = np.zeros(overlap.shape)
    np.divide(overlap, union, out=iou, where=union > 0)
    return iou


def box_area(boxes: Boxes) -> NDArray[np.float64]:
    """Return the area of each box, ``Float[N]``; 0 where it is empty or inverted."""
    areas: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    return areas


def whole_image_box(width: int, height: int) -> Boxes:
    """Return the naive baseline that guesses the whole image."""
    return np.array([0, 0, width, height], dtype=np.float64)


def center_box(width: int, height: int) -> Boxes:
    """Return the naive baseline of a centered box with half of the image's area."""
    inset = (1 - np.sqrt(0.5)) / 2
    box: Boxes = np.array([width, height, width, height]) * [inset, inset, 1 - inset, 1 - inset]
    return box
