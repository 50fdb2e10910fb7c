"""The box generator of the CAM code, which the SPG author says he used (docs/sources.md 4.1).

Re-told from bboxgenerator/dt_box.cpp and dt.c of zhoubolei/CAM: three fixed thresholds on an 8-bit
heat map instead of a fraction of the maximum, and several boxes an image (PROTOCOL 17).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.compiled import compiled
from spg.evaluate.metrics.maps import Map

THRESHOLDS = (20, 100, 110)  # generate_bbox.m; the binary's own default is 30, 90, 150
CORE = 10  # of the distance transform, scaled to 255
MARGIN = 5  # pixels that a box keeps from the right and lower border

IntBoxes = NDArray[np.int64]


def cam_code_boxes(loc_map: Map) -> IntBoxes:
    """Return the generator's boxes, the largest first.

    For each threshold: the mask of brighter pixels, shrunk to where the distance to its outside,
    scaled so that its maximum is 255, is above 10; the bounding box of each outer and inner
    contour, cut five pixels before the right and lower border. Then, from the largest on, a box
    drops the later ones that overlap it by more than half of the larger one's area. As published,
    the box behind a dropped one is not looked at.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1], in the original image's size; taken in 256 steps.

    Returns:
        ``int64 [K, 4]``, xyxy, half-open; no row when nothing passes.
    """
    heat = np.rint(loc_map * 255).astype(np.uint8)
    masks = [_core(heat > threshold) for threshold in THRESHOLDS]
    found = [box for mask in masks for box in _contour_boxes(mask)]
    ranked = sorted(found, key=lambda box: box[2] * box[3], reverse=True)
    boxes = _without_overlaps(np.array(ranked, dtype=np.int64).reshape(-1, 4))
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.hstack([np.minimum(boxes[:, :2], ends), np.maximum(boxes[:, :2], ends)])


def first_boxes(loc_map: Map, count: int) -> NDArray[np.float64]:
    """Return the generator's first boxes, ``Float[count, 4]``; zeros where it has none.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1], in the original image's size.
        count: how many.
    """
    boxes = np.zeros((count, 4))
    found = cam_code_boxes(loc_map)[:count]
    boxes[: len(found)] = found
    return boxes


def _core(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    if mask.all() or not mask.any():
        return mask.astype(np.uint8)  # no outside or no inside: no distance to speak of
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    scaled = distance.astype(np.float64) * (255 / float(distance.max()))
    core: NDArray[np.uint8] = (np.floor(scaled + 0.5) > CORE).astype(np.uint8)
    return core


def _contour_boxes(mask: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Return (x, y, width, height) of every contour."""
    height, width = mask.shape
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append(
            (
                _limit(x, width - MARGIN),
                _limit(y, height - MARGIN),
                _limit(w, width - x - MARGIN),
                _limit(h, height - y - MARGIN),
            )
        )
    return boxes


def _limit(value: int, upper: int) -> int:
    return 0 if value < 0 else min(value, upper)  # the upper limit wins where it is negative


@compiled
def _without_overlaps(ranked: IntBoxes) -> Any:
    """Return the rows (x, y, width, height) that no earlier one drops."""
    boxes, count, first = ranked.copy(), len(ranked), 0
    while first < count:
        kept = other = first + 1
        while other < count:
            if _overlap_much(boxes[first], boxes[other]):
                other += 1  # the next one takes its place and is not looked at, as published
                if other == count:
                    break
            boxes[kept] = boxes[other]
            kept += 1
            other += 1
        count = kept
        first += 1
    return boxes[:count]


@compiled
def _overlap_much(first: IntBoxes, second: IntBoxes) -> Any:
    half = int(max(first[2] * first[3], second[2] * second[3]) * 0.5)
    shared = 1
    for k in range(2):
        end = min(first[k] + first[k + 2], second[k] + second[k + 2])
        shared *= max(0, end - max(first[k], second[k]))
    return shared > half
