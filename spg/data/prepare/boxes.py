"""Whether an image's boxes fit it, and what of them lies inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spg.data.layouts.annotations import Annotation, Box

Size = tuple[int, int]


def in_own_pixels(item: Annotation, size: Size) -> Annotation:
    """Return an annotation whose boxes are in the pixels of the file, of ``size``.

    Each axis is scaled by itself, so that a copy of another aspect ratio has the same boxes as
    shares of the image.
    """
    if item.boxes_for in (None, size):
        return item
    width, height = item.boxes_for
    across, down = size[0] / width, size[1] / height
    boxes = tuple((x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in item.boxes)
    return item._replace(boxes=boxes, boxes_for=size)


def is_stretched(item: Annotation, size: Size) -> bool:
    """Return whether the file has another aspect ratio than the image that its boxes are of.

    A copy's sides are whole numbers, so a pixel more or less of the shorter one says nothing.
    """
    if item.boxes_for is None:
        return False
    width, height = item.boxes_for
    return abs(size[0] * height - size[1] * width) > max(width, height)


def clipped(boxes: Sequence[Box], size: Size) -> list[Box]:
    """Return the boxes cut at the border of an image of ``size``; those without area are left out.

    Args:
        boxes: xyxy, half-open, pixels.
        size: width and height, pixels.
    """
    if not boxes:
        return []
    cut = np.clip(np.array(boxes, dtype=np.float64), 0, np.array([*size, *size]))
    inside = (cut[:, 0] < cut[:, 2]) & (cut[:, 1] < cut[:, 3])
    return [tuple(box) for box in cut[inside].tolist()]


def box_faults(item: Annotation, size: Size) -> list[str]:
    """Return why an image cannot be measured, or choose thresholds, by any of its boxes.

    Args:
        item: what is stated of the image.
        size: that the image has: width and height, pixels.
    """
    faults = []
    if item.boxes_wanted:
        faults += [box_fault(item, size)]
    if item.pseudo_boxes:
        pseudo = item._replace(
            boxes=item.pseudo_boxes, boxes_at=item.pseudo_at, box_problem=None, boxes_for=None,
            stated_size=None,
        )  # fmt: skip
        faults += [box_fault(pseudo, size)]
    return [fault for fault in faults if fault]


def box_fault(item: Annotation, size: Size) -> str | None:
    """Return why nothing can be measured by an image's boxes, or ``None``.

    Args:
        item: what is stated of the image.
        size: that the image has: width and height, pixels.
    """
    where = item.boxes_at or "its annotation"
    if item.box_problem:
        return item.box_problem
    if not item.boxes:
        return f"{where}: has no box"
    if item.stated_size not in (None, size):
        width, height = item.stated_size
        return f"{where}: is for {width} x {height} pixels, the image has {size[0]} x {size[1]}"
    for box in item.boxes:
        corners = ", ".join(f"{value:g}" for value in box)
        if not (box[0] < box[2] and box[1] < box[3]):
            return f"{where}: the box {corners} has no area"
        if not clipped([box], size):
            return f"{where}: the box {corners} lies outside the {size[0]} x {size[1]} pixels"
    return None
