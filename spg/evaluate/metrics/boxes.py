"""Boxes: ``(x1, y1, x2, y2)`` in pixels, half-open, ``0 <= x1 < x2 <= width``, unless said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def box_iou(boxes: Boxes, others: Boxes, *, inclusive: bool = False) -> NDArray[np.float64]:
    """Return the IoU of each pair.

    Args:
        boxes: ``Float[N, 4]``.
        others: ``Float[M, 4]``.
        inclusive: corners are pixels that belong to the box, so a side is ``x2 - x1 + 1`` long
            (the ILSVRC devkit and wsolevaluation); half-open otherwise.

    Returns:
        ``Float[N, M]`` in [0, 1]; 0 where both boxes have no area.

    Example:
        >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3)
        array([[0.333]])
        >>> box_iou(np.array([[0, 0, 1, 1]]), np.array([[1, 0, 2, 1]]), inclusive=True).round(3)
        array([[0.333]])
    """
    end = np.array([0, 0, 1, 1]) if inclusive else 0
    boxes, others = boxes + end, others + end
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])  # [N, M, 2]
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    overlap = (bottom_right - top_left).clip(min=0).prod(axis=2)  # [N, M]
    union = box_area(boxes)[:, None] + box_area(others)[None, :] - overlap
    iou: NDArray[np.float64] = np.zeros(overlap.shape)
    np.divide(overlap, union, out=iou, where=union > 0)
    return iou


def best_iou(boxes: Boxes, true_boxes: Boxes, *, inclusive: bool = False) -> NDArray[np.float64]:
    """Return each box's IoU with the true box that it fits best, ``Float[N]``.

    A match with any of an image's true boxes counts (docs/sources.md 4.1, 4.2); 0 where there
    is none.
    """
    if not len(true_boxes):
        return np.zeros(len(boxes))
    best: NDArray[np.float64] = box_iou(boxes, true_boxes, inclusive=inclusive).max(axis=1)
    return best


def box_area(boxes: Boxes) -> NDArray[np.float64]:
    """Return the area of each half-open box, ``Float[N]``; 0 where it is empty or inverted."""
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
