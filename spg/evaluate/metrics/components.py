"""Connected components of a map at every threshold, in one pass.

A map of levels is a stack of masks: at threshold ``t`` the foreground is ``levels > t``. Components
are 8-connected and holes 4-connected, as ``cv2.findContours`` has them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.compiled import compiled
from spg.evaluate.metrics.component_tree import AREA, SEED, START, STOP, component_table

Levels = NDArray[np.int32]
Ints = NDArray[np.int32]


class Regions(NamedTuple):
    """Every component (or hole) that a map has at any threshold, one row for each change."""

    boxes: Ints
    """``int32 [K, 4]``, xyxy, half-open, the tight bounds of the pixels."""
    seeds: Ints
    """``int32 [K]``, the first pixel in row order, ``y * W + x``."""
    areas: NDArray[np.float64]
    """``Float[K]``, as :func:`bright_regions` says; 0 for holes."""
    starts: Ints
    """``int32 [K]``: the region exists at the thresholds ``starts <= t < stops``."""
    stops: Ints
    """``int32 [K]``."""


def bright_regions(levels: Levels) -> Regions:
    """Return the 8-connected components of ``levels > t`` for every ``t >= 0``.

    The area is that of the polygon through the centers of the component's outer pixels
    (``cv2.contourArea`` of its contour): 1 for each 2 x 2 block of its pixels, 1/2 for each block
    with three of them. It equals the area of the *outer* contour where the component has no hole,
    so fill holes first where areas matter.

    Args:
        levels: ``int32 [H, W]``, not negative.
    """
    return _regions(component_table(levels, True))


def holes(levels: Levels, filled: Levels) -> Regions:
    """Return the holes in the components of ``levels > t`` for every ``t >= 0``.

    A hole is a 4-connected component of ``levels <= t`` that does not reach the map's border.

    Args:
        levels: ``int32 [H, W]``, not negative.
        filled: :func:`fill_holes` of them.
    """
    inside = filled > levels
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return _regions(np.zeros((0, 8), dtype=np.int32))
    y, x = int(rows[0]), int(columns[0])
    window = slice(y, rows[-1] + 1), slice(x, columns[-1] + 1)  # most maps have few holes
    top = int(filled[window].max())
    depths = np.where(inside[window], top - levels[window], 0).astype(np.int32)  # deepest first
    found = _regions(component_table(depths, False))
    down, right = np.divmod(found.seeds, depths.shape[1])
    drowned = filled[y + down, x + right]  # the threshold from which on it is background
    return Regions(
        boxes=found.boxes + np.array([x, y, x, y], dtype=np.int32),
        seeds=(y + down) * levels.shape[1] + x + right,
        areas=np.zeros(len(drowned)),
        starts=top - found.stops,
        stops=np.minimum(top - found.starts, drowned),
    )


def _regions(table: Ints) -> Regions:
    return Regions(
        boxes=table[:, :4],
        seeds=table[:, SEED],
        areas=table[:, AREA] / 2,
        starts=table[:, START],
        stops=table[:, STOP],
    )


@compiled
def fill_holes(levels: Levels) -> Any:
    """Raise every pixel to the threshold from which on it is connected to the border.

    ``filled > t`` is then ``levels > t`` with its holes filled, for every ``t``. Grey-scale
    reconstruction by erosion in two scans and a queue (Vincent, IEEE TIP 1993), 4-connected.

    Args:
        levels: ``int32 [H, W]``.
    """
    height, width = levels.shape
    filled = levels.copy()
    # Down and to the right: water that stands at the border flows in from above and from the left,
    # over the lowest dam of the way.
    for y in range(1, height - 1):
        left = filled[y, 0]
        for x in range(1, width - 1):
            left = max(levels[y, x], min(left, filled[y - 1, x]))
            filled[y, x] = left
    # Up and to the left, the rest of the ways with two turns at most. A pixel from which a higher
    # neighbor could still fall is queued.
    queue = [(0, 0)]
    for y in range(height - 2, 0, -1):
        right = filled[y, width - 1]
        for x in range(width - 2, 0, -1):
            below = filled[y + 1, x]
            here = max(levels[y, x], min(filled[y, x], min(right, below)))
            filled[y, x] = here
            if (right > here and right > levels[y, x + 1]) or (
                below > here and below > levels[y + 1, x]
            ):
                queue.append((y, x))
            right = here
    # Winding ways: neighbors fall to what stands here, until nothing falls any more.
    head = 0
    while head < len(queue):
        y, x = queue[head]
        head += 1
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            v, u = y + dy, x + dx
            if 0 < v < height - 1 and 0 < u < width - 1:
                lower = max(levels[v, u], filled[y, x])
                if lower < filled[v, u]:
                    filled[v, u] = lower
                    queue.append((v, u))
    return filled
