"""The evaluators of the field: in which frame, by which thresholds, with which IoU.

``paper``: what the paper's text and the CAM paper say, with this suite's conventions. Maps have
the original image's size; thresholds are fractions of a map's range; boxes are half-open.

``official``: the same with maps normalized before they are resized, as the authors' code saves them
(344-348); it computes no boxes.

``wsolevaluation``: what its evaluation.py counts (docs/sources.md 4.2), to the last digit: maps
and true boxes squashed to 224 x 224, eight bits a pixel, inclusive boxes of which the guessed one
is a pixel too large.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.boxes import Boxes
from spg.evaluate.metrics.compiled import compiled
from spg.evaluate.metrics.components import Ints, Levels
from spg.evaluate.metrics.maps import Map, localization_map
from spg.evaluate.metrics.normalization import Normalize, min_max

Size = tuple[int, int]
"""Width and height, pixels."""
FloatArray = NDArray[np.float64]

WSOL_SIDE = 224


class Quantized(NamedTuple):
    """A map whose foreground at threshold ``t`` is ``levels > cuts[t]``."""

    levels: Levels
    cuts: Ints
    """``int32 [T]``, not falling."""


class Protocol(NamedTuple):
    """One evaluator."""

    name: str
    side: int | None
    """Of the square in which maps and boxes are compared, and in which map files come finished;
    ``None``: they are compared in the original image, and map files are raw."""
    loc_map: Callable[..., Map]
    """From a raw map and the image's size to ``Float[H, W]`` in [0, 1], in the frame; ``normalize``
    says how (:mod:`spg.evaluate.metrics.normalization`)."""
    true_boxes: Callable[[Boxes, Size], Boxes]
    """From half-open boxes in the image, ``Float[M, 4]``, to boxes in the frame."""
    guessed_boxes: Callable[[Boxes, Size], Boxes]
    """From half-open boxes in the frame of the given size to boxes as they are compared."""
    inclusive: bool
    """The IoU's convention."""
    thresholds: Callable[[int], FloatArray]
    """The map thresholds, ascending, for a step of ``1 / (count + 1)``."""
    quantize: Callable[[Map, FloatArray], Quantized]

    def frame(self, size: Size) -> Size:
        """Return the size in which an image of ``size`` is compared."""
        return (self.side, self.side) if self.side else size


@compiled
def count_passed(loc_map: Any, thresholds: Any) -> Any:
    """Return for each pixel how many of the ascending thresholds its value reaches (``>=``)."""
    count = len(thresholds)
    passed = np.empty(loc_map.shape, np.int32)
    for y in range(loc_map.shape[0]):
        for x in range(loc_map.shape[1]):
            value = loc_map[y, x]
            guess = min(max(int(value * (count + 1)), 0), count)
            while guess < count and value >= thresholds[guess]:
                guess += 1
            while guess > 0 and value < thresholds[guess - 1]:
                guess -= 1
            passed[y, x] = guess
    return passed


def _paper_quantize(loc_map: Map, thresholds: FloatArray) -> Quantized:
    cuts = np.arange(len(thresholds), dtype=np.int32)
    return Quantized(count_passed(loc_map, thresholds), cuts)


def _clipped(boxes: Boxes, size: Size) -> Boxes:
    clipped: Boxes = boxes.clip(0, np.array([*size, *size]))
    return clipped


def _wsol_true_boxes(boxes: Boxes, size: Size) -> Boxes:
    scaled: Boxes = np.trunc(boxes * WSOL_SIDE / np.array([*size, *size], dtype=np.float64))
    return scaled


def _wsol_guessed_boxes(boxes: Boxes, size: Size) -> Boxes:
    width, height = size
    cut: Boxes = np.minimum(boxes, np.array([width, height, width - 1, height - 1]))
    return cut


def _wsol_quantize(loc_map: Map, thresholds: FloatArray) -> Quantized:
    levels = (loc_map * 255).astype(np.uint8).astype(np.int32)  # rounds down
    return Quantized(levels, (thresholds * levels.max()).astype(np.int32))


def _wsol_loc_map(raw_map: NDArray[Any], size: Size, *, normalize: Normalize = min_max) -> Map:
    """Return a map as wsolevaluation makes it of a raw one, whatever the image's size."""
    side = (WSOL_SIDE, WSOL_SIDE)
    return localization_map(raw_map, side, interpolation=cv2.INTER_CUBIC, normalize=normalize)


PAPER = Protocol(
    name="paper",
    side=None,
    loc_map=localization_map,
    true_boxes=_clipped,
    guessed_boxes=lambda boxes, size: boxes,
    inclusive=False,
    thresholds=lambda count: np.arange(1, count + 1) / (count + 1),
    quantize=_paper_quantize,
)

PROTOCOLS = {
    "paper": PAPER,
    "official": PAPER._replace(
        name="official", loc_map=partial(localization_map, normalize_first=True)
    ),
    "wsolevaluation": Protocol(
        name="wsolevaluation",
        side=WSOL_SIDE,
        loc_map=_wsol_loc_map,
        true_boxes=_wsol_true_boxes,
        guessed_boxes=_wsol_guessed_boxes,
        inclusive=True,
        thresholds=lambda count: np.arange(0, 1, 1 / (count + 1))[: count + 1],  # as published
        quantize=_wsol_quantize,
    ),
}
