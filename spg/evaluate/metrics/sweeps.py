"""One map against its true boxes, at every threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spg.evaluate.metrics.boxes import Boxes, best_iou
from spg.evaluate.metrics.components import Ints, fill_holes
from spg.evaluate.metrics.maps import Map
from spg.evaluate.metrics.protocols import FloatArray, Protocol
from spg.evaluate.metrics.rules import all_candidates, best_at_thresholds, rank_components


class MapSweep(NamedTuple):
    """What a map's boxes are worth at each of T thresholds."""

    boxes: Ints
    """``int32 [2, T, 4]``: around the largest and the second largest component, xyxy, half-open,
    in the protocol's frame; zeros where there is none."""
    iou: FloatArray
    """``Float[2, T]``: of those boxes with the true box that each fits best."""
    iou_all: FloatArray
    """``Float[T]``: the best of any contour's box with any true box."""


def sweep_map(
    loc_map: Map, true_boxes: Boxes, thresholds: FloatArray, protocol: Protocol
) -> MapSweep:
    """Measure both box rules at all thresholds.

    Args:
        loc_map: ``Float[H, W]`` in [0, 1], in the protocol's frame.
        true_boxes: ``Float[M, 4]``, in the frame, as ``protocol.true_boxes`` gives them.
        thresholds: ``Float[T]``, ascending.
        protocol: the evaluator.
    """
    levels, cuts = protocol.quantize(loc_map, thresholds)
    filled = fill_holes(levels)
    boxes, iou = _ranked(filled, cuts, true_boxes, protocol)
    iou_all = _best_of_all(levels, filled, cuts, true_boxes, protocol)
    return MapSweep(boxes, iou, iou_all)


def _ranked(
    filled: Ints, cuts: Ints, true_boxes: Boxes, protocol: Protocol
) -> tuple[Ints, FloatArray]:
    ranking = rank_components(filled, int(cuts[-1]) + 1)
    winners = ranking.winners[:, cuts]  # [2, T]
    values = _iou_or_empty(ranking.regions.boxes, filled, true_boxes, protocol)
    return ranking.boxes[:, cuts], values[winners]


def _best_of_all(
    levels: Ints, filled: Ints, cuts: Ints, true_boxes: Boxes, protocol: Protocol
) -> FloatArray:
    found = all_candidates(levels, filled)
    values = _iou_or_empty(found.boxes, levels, true_boxes, protocol)
    count = int(cuts[-1]) + 1
    best: FloatArray = best_at_thresholds(
        values[:-1], found.starts, found.stops, count, empty=values[-1]
    )[cuts]
    return best


def _iou_or_empty(boxes: Ints, levels: Ints, true_boxes: Boxes, protocol: Protocol) -> FloatArray:
    """Return each box's best IoU and, last (-1), that of the empty box ``(0, 0, 0, 0)``.

    In the inclusive convention the empty box is the first pixel, as wsolevaluation counts it.
    """
    height, width = levels.shape
    with_empty = np.vstack([boxes, np.zeros((1, 4))])
    guessed = protocol.guessed_boxes(with_empty, (width, height))
    return best_iou(guessed, true_boxes, inclusive=protocol.inclusive)
