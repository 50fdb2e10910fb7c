"""From a map to boxes at every threshold: the rules ``largest`` and ``all``.

``largest`` takes the component whose contour encloses the largest area (the CAM paper's rule,
wsolevaluation's MaxBoxAcc); ``all`` takes every component and, as published, every hole
(MaxBoxAccV2). Sources: docs/sources.md 4.1, 4.2; PROTOCOL 11.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.compiled import compiled
from spg.evaluate.metrics.components import Ints, Levels, Regions, bright_regions, fill_holes, holes

RANKS = 2  # boxes a class: SPG* guesses with two
NONE = -1


class Candidates(NamedTuple):
    """Boxes and the thresholds at which they exist."""

    boxes: Ints
    """``int32 [K, 4]``, xyxy, half-open."""
    starts: Ints
    """``int32 [K]``: exists where ``starts <= t < stops``."""
    stops: Ints
    """``int32 [K]``."""


class Ranking(NamedTuple):
    """The components with the largest contours at each threshold."""

    regions: Regions
    """Components with their holes filled."""
    winners: NDArray[np.int64]
    """``Int[2, T]``, rows of ``regions``, the largest first; -1 where there is none."""

    @property
    def boxes(self) -> Ints:
        """``int32 [2, T, 4]``, xyxy, half-open; zeros where there is none."""
        boxes = np.vstack([self.regions.boxes, np.zeros((1, 4), dtype=np.int32)])
        return boxes[self.winners]


def largest_box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the box of the rule ``largest`` for one mask, ``Float[4]``; zeros for an empty one.

    Example:
        >>> largest_box(np.array([[0, 1, 1], [0, 0, 1]], dtype=bool))
        array([1., 0., 3., 2.])
    """
    filled = fill_holes(mask.astype(np.int32))
    box: NDArray[np.float64] = rank_components(filled, 1).boxes[0, 0].astype(np.float64)
    return box


def rank_components(filled: Levels, count: int) -> Ranking:
    """Return the largest and second largest component of ``levels > t`` for ``t < count``.

    Largest is the area that the outer contour encloses, holes included (``cv2.contourArea``); of
    equal ones the component whose first pixel in row order comes last, which is the one that
    ``cv2.findContours`` lists first. (A hole's contour can tie only with the contour around it.)

    Args:
        filled: :func:`~spg.evaluate.metrics.components.fill_holes` of the levels.
        count: number of thresholds.
    """
    regions = bright_regions(filled)
    winners = _ranked(regions.areas, regions.seeds, regions.starts, regions.stops, count)
    return Ranking(regions, winners)


def all_candidates(levels: Levels, filled: Levels) -> Candidates:
    """Return the box of every contour that ``levels > t`` has for any ``t >= 0``.

    A hole's contour runs through the pixels around it, so its box is a pixel larger on each side.

    Args:
        levels: ``int32 [H, W]``, not negative.
        filled: :func:`~spg.evaluate.metrics.components.fill_holes` of them.
    """
    bright, dark = bright_regions(levels), holes(levels, filled)
    grown = dark.boxes + np.array([-1, -1, 1, 1], dtype=np.int32)
    return Candidates(
        np.vstack([bright.boxes, grown]),
        np.concatenate([bright.starts, dark.starts]),
        np.concatenate([bright.stops, dark.stops]),
    )


@compiled
def best_at_thresholds(values: Any, starts: Ints, stops: Ints, count: int, empty: float) -> Any:
    """Return the best value among the candidates that exist at each threshold.

    Args:
        values: ``Float[K]``, e.g. the IoU of each candidate.
        starts: ``int32 [K]``.
        stops: ``int32 [K]``.
        count: number of thresholds.
        empty: the value where no candidate exists.

    Returns:
        ``Float[count]``.
    """
    best = np.full(count, -np.inf)
    for row in range(len(values)):
        for threshold in range(starts[row], min(stops[row], count)):
            best[threshold] = max(best[threshold], values[row])
    for threshold in range(count):
        if best[threshold] == -np.inf:
            best[threshold] = empty
    return best


@compiled
def _ranked(areas: Any, seeds: Ints, starts: Ints, stops: Ints, count: int) -> Any:
    winners = np.full((RANKS, count), NONE, np.int64)
    for row in range(len(areas)):
        for threshold in range(starts[row], min(stops[row], count)):
            # Insertion into a list of RANKS: whoever is displaced is offered the next rank.
            lower = row
            for rank in range(RANKS):
                holder = winners[rank, threshold]
                if holder == NONE or _larger(lower, holder, areas, seeds):
                    winners[rank, threshold], lower = lower, holder
                if lower == NONE:
                    break
    return winners


@compiled
def _larger(first: int, second: int, areas: Any, seeds: Ints) -> bool:
    if areas[first] == areas[second]:
        return bool(seeds[first] > seeds[second])
    return bool(areas[first] > areas[second])
