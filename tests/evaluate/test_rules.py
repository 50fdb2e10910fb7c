"""The rules `largest` and `all` at every threshold, against plain loops over cv2.findContours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from test_components import (
    EIGHT,
    adversarial,
    half_open,
    level_maps,
    random_maps,
    thresholds_of,
)

from spg.evaluate.metrics.components import fill_holes
from spg.evaluate.metrics.rules import (
    NONE,
    all_candidates,
    best_at_thresholds,
    largest_box,
    rank_components,
)

EMPTY = (0, 0, 0, 0)


# ---- The published loop ----


def contours_of(mask):
    image = mask.astype(np.uint8)
    contours, _ = cv2.findContours(image, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return contours


def largest_by_cv2(mask):
    """Of equal areas the one that cv2 lists first, as Python's max has it."""
    contours = contours_of(mask)
    return half_open(max(contours, key=cv2.contourArea)) if contours else EMPTY


def without_largest(mask):
    """The mask less its largest component and all that lies in its holes."""
    contours = contours_of(mask)
    if not contours:
        return mask
    x, y = max(contours, key=cv2.contourArea)[0, 0]
    labels, _ = scipy.ndimage.label(mask, EIGHT)
    return mask & ~scipy.ndimage.binary_fill_holes(labels == labels[y, x])


def boxes_by_cv2(mask):
    return sorted(half_open(contour) for contour in contours_of(mask))


def check_rules(levels):
    filled = fill_holes(levels)
    count = int(levels.max()) + 1  # nothing passes the last threshold
    ranking = rank_components(filled, count)
    candidates = all_candidates(levels, filled)
    assert ranking.boxes.shape == (2, count, 4)
    for threshold in thresholds_of(levels):
        mask = levels > threshold
        first, second = map(tuple, ranking.boxes[:, threshold].tolist())
        assert first == largest_by_cv2(mask)
        assert second == largest_by_cv2(without_largest(mask))
        assert ((ranking.winners[:, threshold] == NONE) == [first == EMPTY, second == EMPTY]).all()
        there = (candidates.starts <= threshold) & (threshold < candidates.stops)
        assert sorted(map(tuple, candidates.boxes[there].tolist())) == boxes_by_cv2(mask)


@adversarial
def test_boxes_of_adversarial_maps_are_those_of_contours(levels):
    check_rules(levels)
    for turns in (1, 2, 3):
        check_rules(np.ascontiguousarray(np.rot90(levels, turns)))


@given(level_maps())
def test_boxes_are_those_of_contours(levels):
    check_rules(levels)


@given(level_maps(max_level=1, max_side=7))
def test_boxes_of_masks_are_those_of_contours(levels):
    check_rules(levels)


def test_boxes_of_thousands_of_maps_are_those_of_contours():
    for levels in random_maps(2000, seed=4):
        check_rules(levels)


def test_boxes_of_sparse_and_dense_noise_are_those_of_contours():
    rng = np.random.default_rng(7)
    for share in (0.02, 0.2, 0.4, 0.5, 0.6, 0.8, 0.98):
        for _ in range(20):
            noise = rng.random((25, 31))
            check_rules(
                (noise < share).astype(np.int32) * rng.integers(1, 3, noise.shape, np.int32)
            )


def test_boxes_of_large_maps_are_those_of_contours():
    rng = np.random.default_rng(8)
    for sigma in (0.0, 1.0, 6.0):
        smooth = scipy.ndimage.gaussian_filter(rng.random((224, 224)), sigma)
        spread = (smooth - smooth.min()) / np.ptp(smooth)
        check_rules((spread * 8).astype(np.int32))


# ---- Ties ----


def blocks(*places, side=3, shape=(12, 14)):
    mask = np.zeros(shape, dtype=bool)
    for y, x in places:
        mask[y : y + side, x : x + side] = True
    return mask


@pytest.mark.parametrize(
    ("places", "winner", "second"),
    [
        ([(0, 0), (5, 0)], (0, 5, 3, 8), (0, 0, 3, 3)),  # the lower one
        ([(2, 0), (2, 8)], (8, 2, 11, 5), (0, 2, 3, 5)),  # in a row the right one
        ([(1, 8), (2, 0)], (0, 2, 3, 5), (8, 1, 11, 4)),  # lower beats right
        ([(0, 0), (4, 4), (8, 8)], (8, 8, 11, 11), (4, 4, 7, 7)),
    ],
)
def test_of_equal_areas_the_one_that_begins_last_wins(places, winner, second):
    mask = blocks(*places)
    assert largest_box(mask).tolist() == list(winner)
    assert half_open(contours_of(mask)[0]) == winner  # cv2 lists it first
    ranking = rank_components(mask.astype(np.int32), 1)
    assert ranking.boxes[:, 0].tolist() == [list(winner), list(second)]


def test_the_first_pixel_decides_not_the_last():
    """The right block begins a row lower; the left one ends two rows lower."""
    mask = np.zeros((9, 9), dtype=bool)
    mask[1:6, 0:2] = True  # polygon of 4 x 1
    mask[2:4, 4:9] = True  # polygon of 1 x 4
    assert largest_box(mask).tolist() == [4, 2, 9, 4]
    assert largest_by_cv2(mask) == (4, 2, 9, 4)


def test_cv2_lists_outermost_contours_from_the_last_first_pixel_on():
    """What the rule for ties rests on, for whatever shapes."""
    for levels in random_maps(300, seed=9):
        mask = levels > levels.max() // 2
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        first_pixels = [min((int(y), int(x)) for x, y in contour[:, 0]) for contour in contours]
        assert first_pixels == sorted(first_pixels, reverse=True)


def test_points_and_lines_have_no_area_and_the_last_one_wins():
    mask = np.zeros((5, 9), dtype=bool)
    mask[0, :] = mask[2, 3] = mask[4, 1] = True
    assert largest_box(mask).tolist() == [1, 4, 2, 5]
    assert largest_by_cv2(mask) == (1, 4, 2, 5)


# ---- Largest: what the contour encloses ----


def test_largest_is_the_area_a_contour_encloses_not_the_number_of_pixels():
    mask = np.zeros((9, 16), dtype=bool)
    mask[0:4, 0:5] = True  # 20 pixels, encloses 12
    mask[2:7, 8:13] = True
    mask[3:6, 9:12] = False  # 16 pixels, encloses 16 with its hole
    assert largest_box(mask).tolist() == [8, 2, 13, 7]


def test_a_block_in_a_ring_is_not_the_second_largest():
    mask = blocks((4, 4))
    mask[1, 1:11] = mask[10, 1:11] = mask[1:11, 1] = mask[1:11, 10] = True
    mask[0, 13] = True
    ranking = rank_components(fill_holes(mask.astype(np.int32)), 1)
    assert ranking.boxes[:, 0].tolist() == [[1, 1, 11, 11], [13, 0, 14, 1]]


def test_diagonal_neighbors_belong_together():
    assert largest_box(np.eye(4, dtype=bool)).tolist() == [0, 0, 4, 4]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (4, 6)])
def test_an_empty_mask_gives_no_box_and_a_full_one_the_whole_map(shape):
    assert largest_box(np.zeros(shape, dtype=bool)).tolist() == [0, 0, 0, 0]
    full = largest_box(np.ones(shape, dtype=bool))
    assert full.tolist() == [0, 0, shape[1], shape[0]]
    assert full.dtype == np.float64


@given(level_maps(max_level=1))
def test_the_box_of_a_mask_is_that_of_its_largest_contour(levels):
    assert tuple(largest_box(levels > 0)) == largest_by_cv2(levels > 0)


# ---- All: every contour ----


def test_the_box_of_a_hole_is_a_pixel_larger_than_the_hole():
    levels = np.ones((9, 9), np.int32)
    levels[3:5, 2:6] = 0
    candidates = all_candidates(levels, fill_holes(levels))
    assert candidates.boxes.tolist() == [[0, 0, 9, 9], [1, 2, 7, 6]]
    assert candidates.starts.tolist() == [0, 0]
    assert candidates.stops.tolist() == [1, 1]


# ---- The best at each threshold ----


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.integers(0, 15)), max_size=12),
    st.integers(1, 12),
    st.floats(0, 1),
)
def test_the_best_at_each_threshold_by_looking_at_all(rows, count, empty):
    values = np.array([value for value, _, _ in rows], dtype=np.float64)
    starts = np.array([start for _, start, _ in rows], dtype=np.int32)
    stops = np.array([stop for _, _, stop in rows], dtype=np.int32)
    want = [
        max((value for value, start, stop in rows if start <= t < stop), default=empty)
        for t in range(count)
    ]
    assert best_at_thresholds(values, starts, stops, count, empty).tolist() == want


def test_fewer_thresholds_than_levels():
    levels = np.array([[0, 3, 9, 5, 0, 7, 7]], np.int32)
    filled = fill_holes(levels)
    whole, part = rank_components(filled, 10), rank_components(filled, 4)
    assert part.boxes.tolist() == whole.boxes[:, :4].tolist()
