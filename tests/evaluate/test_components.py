"""Components and holes of a map at every threshold, against the mask of each threshold alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate.metrics.components import bright_regions, fill_holes, holes

EIGHT = np.ones((3, 3))


# ---- Maps: random ones, and those that trip contour code ----


def level_maps(max_level=4, max_side=9):
    """Hypothesis: small maps with many ties, thin ones and single pixels among them."""
    shapes = st.tuples(st.integers(1, max_side), st.integers(1, max_side))
    return hnp.arrays(np.int32, shapes, elements=st.integers(0, max_level))


def random_maps(count, seed):
    """Maps of any shape: noise, smooth noise and rings of noise, with 1 to 12 levels."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(1, 20, 2)
        values = rng.random((height, width))
        if number % 3 == 1:
            values = scipy.ndimage.gaussian_filter(values, rng.uniform(0.4, 2))
        elif number % 3 == 2:
            y, x = np.mgrid[:height, :width] - rng.uniform(0, 15, 2)[:, None, None]
            values = values * 0.6 + np.cos(np.hypot(y, x) * rng.uniform(0.5, 2))
        low, high = values.min(), values.max() + 1e-9
        yield ((values - low) / (high - low) * rng.integers(2, 14)).astype(np.int32)


def _square_rings(side):
    """1 on the rings at even distance from the border, one pixel thick."""
    y, x = np.mgrid[:side, :side]
    border = np.minimum(np.minimum(y, x), np.minimum(side - 1 - y, side - 1 - x))
    return (border % 2 == 0).astype(np.int32), border


def _spiral(side):
    """A path of 1 that turns inwards, with a path of 0 of the same width between its turns."""
    spiral, y, x, dy, dx = np.zeros((side, side), np.int32), 0, -1, 0, 1
    for length in [side, *np.repeat(np.arange(side - 1, 0, -2), 2)]:
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[y, x] = 1
        dy, dx = dx, -dy
    return spiral


def _adversarial():
    y, x = np.mgrid[:16, :16]
    rings, depth = _square_rings(17)
    single = np.zeros((7, 9), np.int32)
    single[3, 4] = 3
    corners = np.zeros((6, 8), np.int32)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = [2, 1, 2, 3]
    twins = np.zeros((9, 12), np.int32)
    for top, left in ((0, 0), (0, 8), (5, 1), (5, 7)):
        twins[top : top + 3, left : left + 4] = 2
    diamond = (np.abs(y - 8) + np.abs(x - 8) == 5).astype(np.int32)
    touching = np.kron(np.eye(5, dtype=np.int32), np.ones((3, 3), np.int32))
    return {
        "zeros": np.zeros((5, 4), np.int32),
        "constant": np.full((5, 4), 3, np.int32),
        "one_pixel": np.array([[2]], np.int32),
        "one_dark_pixel": np.array([[0]], np.int32),
        "one_row": np.array([[0, 2, 2, 1, 0, 3, 0, 0, 2, 1, 1]], np.int32),
        "one_column": np.array([[0, 2, 2, 1, 0, 3, 0, 0, 2, 1, 1]], np.int32).T,
        "two_rows": np.array([[1, 0, 2, 0, 1, 1], [0, 1, 0, 2, 0, 1]], np.int32),
        "three_columns_with_a_hole": np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.int32),
        "single_pixel": single,
        "corners": corners,
        "checkerboard": ((x + y) % 2).astype(np.int32),
        "graded_checkerboard": ((x + y) % 2 * (1 + x // 4)).astype(np.int32),
        "coarse_checkerboard": ((x // 3 + y // 3) % 2).astype(np.int32),
        "ring": rings * (depth == 2),
        "nested_rings": rings,
        "rings_brighter_inside": rings * (1 + depth),
        "rings_brighter_outside": rings * (10 - depth),
        "ring_over_a_floor": rings * 3 + 1,
        "spiral": _spiral(16),
        "spiral_walls": 1 - _spiral(17),
        "spiral_climbing": _spiral(15) * (1 + np.arange(15, dtype=np.int32)[:, None] // 4),
        "diamond": diamond,
        "diamond_walls_around_a_peak": diamond * 2 + ((y == 8) & (x == 8)) * 3,
        "plateaus": (x // 4 + 4 * (y // 4)).astype(np.int32) % 7,
        "steps": np.minimum(x, y).astype(np.int32),
        "pit": np.maximum(np.abs(x - 7), np.abs(y - 7)).astype(np.int32),
        "open_pit": np.where((x == 7) & (y < 7), 2, np.maximum(np.abs(x - 7), np.abs(y - 7))),
        "equal_blocks": twins,
        "blocks_that_touch_at_corners": touching,
        "comb": np.where(y < 3, 2, 3 * (x % 2)).astype(np.int32),
        "wide": np.tile([0, 3, 1, 3, 0, 2], (3, 20)).astype(np.int32),
    }


ADVERSARIAL = {name: levels.astype(np.int32) for name, levels in _adversarial().items()}
adversarial = pytest.mark.parametrize("levels", ADVERSARIAL.values(), ids=ADVERSARIAL)


def thresholds_of(levels):
    return range(int(levels.max()) + 1)


# ---- What the mask of one threshold holds, by scipy and OpenCV ----


def regions_by_scipy(mask, structure):
    """(x1, y1, x2, y2, first pixel in row order, area) of each component, sorted.

    The area is counted by 2 x 2 blocks: full ones 1, those with three pixels 1/2.
    """
    labels, _ = scipy.ndimage.label(mask, structure)
    found = []
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(labels), start=1):
        one = (labels == number).astype(int)
        blocks = one[1:, 1:] + one[1:, :-1] + one[:-1, 1:] + one[:-1, :-1]
        area = float((blocks == 4).sum() + (blocks == 3).sum() / 2)
        seed = int(np.flatnonzero(one)[0])
        found.append((columns.start, rows.start, columns.stop, rows.stop, seed, area))
    return sorted(found)


def holes_by_scipy(mask):
    """The same of the dark 4-connected parts that miss the border, without an area."""
    padded = np.pad(~mask, 1, constant_values=True)
    labels, _ = scipy.ndimage.label(padded)
    inside = (labels != labels[0, 0])[1:-1, 1:-1] & ~mask
    return [(*row[:5], 0.0) for row in regions_by_scipy(inside, None)]


def outer_contours(mask):
    """(x1, y1, x2, y2, area) of each outermost contour, sorted."""
    image = mask.astype(np.uint8)
    contours, _ = cv2.findContours(image, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return sorted((*half_open(contour), cv2.contourArea(contour)) for contour in contours)


def half_open(contour):
    x, y, width, height = cv2.boundingRect(contour)
    return x, y, x + width, y + height


def rows_at(regions, threshold):
    there = (regions.starts <= threshold) & (threshold < regions.stops)
    columns = [*regions.boxes[there].T, regions.seeds[there], regions.areas[there]]
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


# ---- Components ----


def check_components(levels):
    regions = bright_regions(levels)
    filled = fill_holes(levels)
    of_filled = bright_regions(filled)
    for threshold in thresholds_of(levels):
        assert rows_at(regions, threshold) == regions_by_scipy(levels > threshold, EIGHT)
        contours = [(*row[:4], row[5]) for row in rows_at(of_filled, threshold)]
        assert sorted(contours) == outer_contours(levels > threshold)


@adversarial
def test_components_of_adversarial_maps_are_those_of_each_mask(levels):
    check_components(levels)


@given(level_maps())
def test_components_are_those_of_each_mask(levels):
    check_components(levels)


def test_components_of_many_maps_are_those_of_each_mask():
    for levels in random_maps(500, seed=1):
        check_components(levels)


def test_each_component_is_listed_once_while_it_does_not_change():
    """One row from the threshold where a component appears to the one where it grows."""
    levels = np.array([[0, 9, 0, 5, 2]], np.int32)
    regions = bright_regions(levels)
    rows = zip(regions.boxes[:, [0, 2]].tolist(), regions.starts, regions.stops, strict=True)
    assert sorted((span, int(a), int(b)) for span, a, b in rows) == [
        ([1, 2], 0, 9),
        ([3, 4], 2, 5),
        ([3, 5], 0, 2),
    ]


def test_more_rows_than_the_table_begins_with():
    levels = np.arange(1, 4001, dtype=np.int32).reshape(40, 100)
    regions = bright_regions(levels)
    assert len(regions.starts) == 4000  # each pixel changes the one component
    for threshold in (0, 1, 255, 256, 1999, 3899, 3900, 3999):
        assert rows_at(regions, threshold) == regions_by_scipy(levels > threshold, EIGHT)


def test_large_maps_of_noise():
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 6, (150, 333)).astype(np.int32)
    check_components(levels)


# ---- Holes ----


def check_holes(levels):
    filled = fill_holes(levels)
    found = holes(levels, filled)
    assert filled.dtype == levels.dtype
    for threshold in thresholds_of(levels):
        mask = levels > threshold
        want = scipy.ndimage.binary_fill_holes(mask)
        assert (filled > threshold).tolist() == want.tolist()
        assert rows_at(found, threshold) == holes_by_scipy(mask)


@adversarial
def test_holes_of_adversarial_maps_are_those_of_each_mask(levels):
    check_holes(levels)


@given(level_maps())
def test_holes_are_those_of_each_mask(levels):
    check_holes(levels)


def test_holes_of_many_maps_are_those_of_each_mask():
    for levels in random_maps(500, seed=2):
        check_holes(levels)


def test_holes_of_a_large_map_of_noise():
    levels = np.random.default_rng(6).integers(0, 5, (150, 140)).astype(np.int32)
    check_holes(levels)


def test_a_diagonal_gap_opens_no_hole():
    """The foreground is 8-connected, so that the background is 4-connected."""
    closed = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.int32)
    assert fill_holes(closed)[1, 1] == 1
    broken = closed.copy()
    broken[0, 1] = 0
    assert (fill_holes(broken) == broken).all()


def test_filling_changes_nothing_but_holes_and_only_once():
    for levels in random_maps(100, seed=3):
        filled = fill_holes(levels)
        assert (filled >= levels).all()
        assert (fill_holes(filled) == filled).all()
        assert (filled[[0, -1]] == levels[[0, -1]]).all()
        assert (filled[:, [0, -1]] == levels[:, [0, -1]]).all()
