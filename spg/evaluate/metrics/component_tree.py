"""The component tree of a map: one pass over its pixels, brightest first.

Contouring the mask of each threshold anew costs a pass a threshold. Here each pixel joins the
component of a brighter neighbor (union-find on the max-tree; Najman and Couprie, "Building the
component tree in quasi-linear time", IEEE TIP 2006), and each component's state is noted whenever
it changes. What makes it fast: most pixels touch one component alone, which their eight neighbors
show before the pass, so that they need one look-up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.compiled import compiled

Levels = NDArray[np.int32]
Ints = NDArray[np.int32]

X1, Y1, X2, Y2, SEED, AREA, START, STOP = range(8)  # columns of the table
UNSEEN = -1
PLACE, JOINS, BLOCKS = (1 << 32) - 1, 1 << 32, 33  # bits of _surroundings


@compiled
def component_table(levels: Levels, diagonals: bool) -> Any:
    """Return one row ``X1 ... STOP`` for each change of a component, in falling order of level."""
    width = levels.shape[1]
    shift = _bits(width + 2)  # pixel (y, x) has the place (y + 1) << shift | (x + 1)
    order, ends = _sorted_places(levels, shift)
    keys = _keys(levels, shift)
    surroundings = _surroundings(keys, width, diagonals)
    flat_keys = keys.ravel()
    labels = np.zeros(keys.size, np.int32)
    peaks = _count_peaks(surroundings)
    parents = np.arange(peaks)
    rows = np.full(peaks, UNSEEN)  # of each component's present state in the table
    states = np.zeros((peaks, 8), np.int32)
    changed = np.empty(peaks, np.int64)
    stride = 1 << shift
    steps = np.array([1, -1, stride, -stride, stride + 1, stride - 1, 1 - stride, -1 - stride])
    steps = steps[: 8 if diagonals else 4]
    table = np.empty((256, 8), np.int32)
    num_rows, num_peaks = 0, 0
    # Brightest level first. After a level, the components that stand are those of the mask
    # ``levels >= level``: every pixel has been born, or has joined what its neighbors belong to.
    for level in range(len(ends) - 1, 0, -1):
        num_changed = 0
        for place in order[ends[level - 1] : ends[level]]:
            around = surroundings[place]
            if around & PLACE == place:  # nothing brighter around: a component is born
                own = num_peaks
                num_peaks += 1
                _start(states, own, place, shift)
            else:
                own = _find(parents, labels[around & PLACE])
                if around & JOINS:  # the pixel may touch several components: look at each of them
                    for step in steps:
                        if flat_keys[place + step] > flat_keys[place]:
                            other = _find(parents, labels[place + step])
                            own = _merge(own, other, parents, states, rows, table, level)
                _extend(states, own, place, shift)
            states[own, AREA] += around >> BLOCKS
            labels[place] = own
            if states[own, STOP] != level:  # its first change on this level ends its last state
                states[own, STOP] = level
                if rows[own] != UNSEEN:
                    table[rows[own], START] = level
                changed[num_changed] = own
                num_changed += 1
        table, num_rows = _note(changed[:num_changed], parents, states, rows, table, num_rows)
    return _pixel_table(table[:num_rows], shift, width)


@compiled
def _note(
    changed: Any, parents: Any, states: Ints, rows: Any, table: Ints, num_rows: int
) -> tuple[Ints, int]:
    """Add a row for each component that changed and still stands."""
    for own in changed:
        if parents[own] == own:
            if num_rows == len(table):
                table = np.concatenate((table, np.empty_like(table)))
            table[num_rows] = states[own]
            rows[own] = num_rows
            num_rows += 1
    return table, num_rows


@compiled
def _pixel_table(table: Ints, shift: int, width: int) -> Any:
    """Return the table with half-open boxes and seeds of pixels, not of places."""
    pixels = table.copy()
    for row in range(len(table)):
        pixels[row, X1] -= 1
        pixels[row, Y1] -= 1
        place = table[row, SEED]
        y, x = (place >> shift) - 1, (place & ((1 << shift) - 1)) - 1
        pixels[row, SEED] = y * width + x
    return pixels


@compiled
def _bits(count: int) -> int:
    bits = 0
    while (1 << bits) < count:
        bits += 1
    return bits


@compiled
def _sorted_places(levels: Levels, shift: int) -> tuple[Any, Any]:
    """Counting sort, places of a level in falling order: level l is ``ends[l - 1] : ends[l]``."""
    height, width = levels.shape
    ends = np.zeros(levels.max() + 1, np.int64)
    for y in range(height):
        for x in range(width):
            ends[levels[y, x]] += 1
    ends = np.cumsum(ends)
    order = np.empty(levels.size, np.int64)
    fill = np.concatenate((np.zeros(1, np.int64), ends))
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            level = levels[y, x]
            order[fill[level]] = (y + 1) << shift | (x + 1)
            fill[level] += 1
    return order, ends


@compiled
def _keys(levels: Levels, shift: int) -> Any:
    """Return a total order of the pixels, ``int64 [H + 2, 2 ** shift]``: by level, then place.

    Pixels of level 0, and the ring around the map, have the key 0: never in the foreground.
    """
    height, width = levels.shape
    keys = np.zeros((height + 2, 1 << shift), np.int64)
    for y in range(height):
        for x in range(width):
            if levels[y, x] > 0:
                keys[y + 1, x + 1] = np.int64(levels[y, x]) << 32 | (y + 1) << shift | (x + 1)
    return keys


@compiled
def _surroundings(keys: Any, width: int, diagonals: bool) -> Any:
    """Look at the eight neighbors of each place that come before it.

    Returns:
        in the bits of one integer a place: the place of the first of all, or its own (``PLACE``);
        whether they are more than one component among themselves, by Yokoi's crossing number, so
        that the place joins several (``JOINS``); from bit ``BLOCKS`` on, the area that the place
        adds in halves: one for each of its four 2 x 2 blocks with two or three of them.
    """
    around = np.zeros(keys.shape, np.int64)
    for y in range(1, keys.shape[0] - 1):
        for x in range(1, width + 1):
            key = keys[y, x]
            east, west = keys[y, x + 1], keys[y, x - 1]
            north, south = keys[y - 1, x], keys[y + 1, x]
            ne, nw = keys[y - 1, x + 1], keys[y - 1, x - 1]
            se, sw = keys[y + 1, x + 1], keys[y + 1, x - 1]
            e, n, w, s = int(east > key), int(north > key), int(west > key), int(south > key)
            a, b, c, d = int(ne > key), int(nw > key), int(sw > key), int(se > key)
            first = max(max(key, max(east, west)), max(north, south))
            if diagonals:
                first = max(first, max(max(ne, nw), max(se, sw)))
                crossings = (
                    (1 - e) * (1 - (1 - a) * (1 - n))
                    + (1 - n) * (1 - (1 - b) * (1 - w))
                    + (1 - w) * (1 - (1 - c) * (1 - s))
                    + (1 - s) * (1 - (1 - d) * (1 - e))
                )
                halves = (
                    int(e + a + n >= 2) + int(n + b + w >= 2)
                    + int(w + c + s >= 2) + int(s + d + e >= 2)
                )  # fmt: skip
            else:
                halves = 0
                crossings = e * (1 - a * n) + n * (1 - b * w) + w * (1 - c * s) + s * (1 - d * e)
            around[y, x] = first & PLACE | int(crossings > 1) << 32 | halves << BLOCKS
    return around.ravel()


@compiled
def _count_peaks(surroundings: Any) -> int:
    count = 0
    for place in range(len(surroundings)):
        count += int(surroundings[place] & PLACE == place)
    return count


@compiled
def _find(parents: Any, label: int) -> int:
    while parents[label] != label:
        parents[label] = parents[parents[label]]
        label = parents[label]
    return label


@compiled
def _start(states: Ints, own: int, place: int, shift: int) -> None:
    y, x = place >> shift, place & ((1 << shift) - 1)  # one more than the pixel's, as is the seed
    states[own, X1], states[own, Y1], states[own, X2], states[own, Y2] = x, y, x, y
    states[own, SEED] = place


@compiled
def _extend(states: Ints, own: int, place: int, shift: int) -> None:
    y, x = place >> shift, place & ((1 << shift) - 1)
    if x < states[own, X1]:  # comparing first is faster than min and max: few pixels extend a box
        states[own, X1] = x
    if x > states[own, X2]:
        states[own, X2] = x
    if y < states[own, Y1]:
        states[own, Y1] = y
    if y > states[own, Y2]:
        states[own, Y2] = y
    if place < states[own, SEED]:
        states[own, SEED] = place


@compiled
def _merge(
    own: int, other: int, parents: Any, states: Ints, rows: Any, table: Ints, level: int
) -> int:
    """Unite two components at ``level``; return the survivor."""
    if own == other:
        return own
    kept, gone = min(own, other), max(own, other)
    parents[gone] = kept
    if rows[gone] != UNSEEN:
        table[rows[gone], START] = level
    for column in (X1, Y1, SEED):
        states[kept, column] = min(states[kept, column], states[gone, column])
    for column in (X2, Y2):
        states[kept, column] = max(states[kept, column], states[gone, column])
    states[kept, AREA] += states[gone, AREA]
    return kept
