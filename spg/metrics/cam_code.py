"""The box generator of the CAM code, which the SPG author says he used (spg_facts 4.1).

Re-told from bboxgenerator/dt_box.cpp and dt.c of zhoubolei/CAM: three fixed thresholds on an 8-bit
heat map instead of a fraction of the maximum, and several boxes an image (PROTOCOL 17).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.metrics.maps import Map

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
    boxes = np.array(_without_overlaps(ranked), dtype=np.int64).reshape(-1, 4)
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.hstack([np.minimum(boxes[:, :2], ends), np.maximum(boxes[:, :2], ends)])


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


def _without_overlaps(ranked: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    boxes = list(ranked)
    first = 0
    while first < len(boxes):
        other = first + 1
        while other < len(boxes):
            if _overlap_much(boxes[first], boxes[other]):
                del boxes[other]
            other += 1  # also after a deletion, as published
        first += 1
    return boxes


def _overlap_much(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    half = int(max(first[2] * first[3], second[2] * second[3]) * 0.5)
    sides = [
        max(0, min(first[k] + first[k + 2], second[k] + second[k + 2]) - max(first[k], second[k]))
        for k in (0, 1)
    ]
    return sides[0] * sides[1] > half
