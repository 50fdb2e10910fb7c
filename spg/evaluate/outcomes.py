"""What became of an image: one name for each way to be right or wrong."""

from __future__ import annotations

from spg.evaluate.metrics.boxes import Boxes, box_area

OUTCOMES = ("correct", "wrong_class", "too_small", "too_large", "merged", "elsewhere")
UNKNOWN = "unknown"
"""The outcome of an image without a true box."""
HALF = 0.5


def outcome(
    box: Boxes, true_boxes: Boxes, iou: float, *, class_is_right: bool, iou_threshold: float
) -> str:
    """Name an image's outcome: :func:`box_outcome`, or ``wrong_class`` where that is the fault.

    Args:
        box: ``Float[4]``, half-open.
        true_boxes: ``Float[M, 4]``, in the same frame.
        iou: the best with any true box, in whatever convention.
        class_is_right: of the first guess.
        iou_threshold: delta.
    """
    name = box_outcome(box, true_boxes, iou, iou_threshold=iou_threshold)
    return "wrong_class" if name == "correct" and not class_is_right else name


def box_outcome(box: Boxes, true_boxes: Boxes, iou: float, *, iou_threshold: float) -> str:
    """Name what is right or wrong with a box, whatever its class.

    - ``correct``: IoU >= delta;
    - ``merged``: at least half of each of several true boxes lies in the box;
    - ``too_small``: at least half of the box lies in the true box that it shares the largest part
      with, and it is the smaller one of both: a part of the object;
    - ``too_large``: at least half of that true box lies in the box, which is the larger one;
    - ``elsewhere``: the rest, also an empty box.

    Args: as :func:`outcome`.
    """
    if iou >= iou_threshold:
        return "correct"
    area, true_areas = float(box_area(box[None])[0]), box_area(true_boxes)
    overlaps = box_area(_intersections(box, true_boxes))
    if area == 0 or overlaps.max(initial=0) == 0:
        return "elsewhere"
    if ((overlaps > 0) & (overlaps >= HALF * true_areas)).sum() > 1:
        return "merged"
    best = int(overlaps.argmax())
    if overlaps[best] < HALF * min(area, float(true_areas[best])):
        return "elsewhere"
    return "too_small" if area < true_areas[best] else "too_large"


def _intersections(box: Boxes, others: Boxes) -> Boxes:
    met: Boxes = others.copy()
    met[:, :2] = met[:, :2].clip(min=box[:2])
    met[:, 2:] = met[:, 2:].clip(max=box[2:])
    return met
