"""The CAM code's box generator against a slow one that is written from its description alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate.metrics.cam_code import cam_code_boxes
from spg.evaluate.metrics.maps import localization_map

SIDE = 60


# ---- A slow generator: pixels by scipy, boxes as lists of corners ----


def slow_boxes(loc_map):
    """All boxes, in no order, as (x1, y1, x2, y2); then those that stay, the largest first."""
    heat = np.rint(loc_map.astype(np.float32) * 255)
    found = [box for threshold in (20, 100, 110) for box in slow_contour_boxes(heat > threshold)]
    return found, slow_choice(sorted(found, key=extent, reverse=True))


def slow_contour_boxes(mask):
    core = slow_core(mask)
    labels, _ = scipy.ndimage.label(core, np.ones((3, 3)))
    spans = list(scipy.ndimage.find_objects(labels))
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in spans]
    outside, _ = scipy.ndimage.label(np.pad(~core, 1, constant_values=True))
    hollow = (outside > 0) & (outside != outside[0, 0])
    holes = scipy.ndimage.find_objects(scipy.ndimage.label(hollow)[0])
    # the padding moves a hole by one; its contour runs through the pixels around it
    boxes += [(x.start - 2, y.start - 2, x.stop, y.stop) for y, x in holes]
    height, width = mask.shape
    return [with_margin(box, width, height) for box in boxes]


def slow_core(mask):
    if mask.all() or not mask.any():
        return mask
    distance = scipy.ndimage.distance_transform_edt(mask)
    return np.floor(distance / distance.max() * 255 + 0.5) > 10


def with_margin(box, width, height):
    """Cut five pixels before the right and lower border; the start moves in as well."""
    x1, y1, x2, y2 = box
    w, h = min(x2 - x1, width - x1 - 5), min(y2 - y1, height - y1 - 5)
    x, y = min(x1, width - 5), min(y1, height - 5)
    return x, y, x + w, y + h


def extent(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, width) * max(0, height)


def slow_choice(ranked):
    """Mark what is dropped instead of deleting it; who follows a dropped one is not looked at."""
    dropped = set()
    for first, box in enumerate(ranked):
        if first in dropped:
            continue
        skip = False
        for other in range(first + 1, len(ranked)):
            if other in dropped:
                continue
            half = int(0.5 * max(extent(box), extent(ranked[other])))
            skip = not skip and shared(box, ranked[other]) > half
            if skip:
                dropped.add(other)
    return [box for at, box in enumerate(ranked) if at not in dropped]


def smooth_map(seed, shape=(SIDE, SIDE + 9), sigma=4.0):
    noise = np.random.default_rng(seed).random(shape)
    return localization_map(
        scipy.ndimage.gaussian_filter(noise, sigma).astype(np.float32), shape[::-1]
    )


# ---- Random maps ----


def check(loc_map):
    """Equal to the slow generator wherever no two boxes of one size leave the order open."""
    boxes = [tuple(box) for box in cam_code_boxes(loc_map).tolist()]
    found, want = slow_boxes(loc_map)
    assert not Counter(boxes) - Counter(map(ordered, found))
    assert len(boxes) > 0 or not found
    decided = len({extent(box) for box in found}) == len(set(found))
    if decided:
        assert boxes == list(map(ordered, want))
    return decided


def ordered(box):
    """A box that begins in the margin ends before it begins."""
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def test_boxes_of_smooth_maps_are_those_of_the_slow_generator():
    compared = [check(smooth_map(seed, sigma=3 + seed % 5)) for seed in range(150)]
    assert sum(compared) > 90


def test_boxes_of_wide_and_high_maps_are_those_of_the_slow_generator():
    for seed in range(20):
        assert cam_code_boxes(smooth_map(seed, (30, 140))).shape[1] == 4
        check(smooth_map(seed, (30, 140)))
        check(smooth_map(seed, (140, 30)))


def test_boxes_of_maps_with_holes_are_those_of_the_slow_generator():
    y, x = np.mgrid[:90, :100]
    radius = np.hypot(x - 47, y - 40)
    compared = 0
    for inner in range(5, 25, 3):
        ring = np.exp(-(((radius - inner) / 6) ** 2)).astype(np.float32)
        ring[40, 47] = 0
        compared += check(ring / ring.max())
    assert compared


# ---- Made by hand ----


def spots(*boxes, shape=(80, 100), value=1.0):
    """A map of flat rectangles (x1, y1, x2, y2)."""
    loc_map = np.zeros(shape, dtype=np.float32)
    for x1, y1, x2, y2 in boxes:
        loc_map[y1:y2, x1:x2] = value
    return loc_map


def test_one_spot_gives_its_box_once():
    """All three thresholds find it; the smallest distance, 1 of 10, is above 10 of 255."""
    loc_map = spots((20, 30, 50, 50))
    assert cam_code_boxes(loc_map).tolist() == [[20, 30, 50, 50], [20, 30, 50, 50]]
    # of three equal boxes the second is dropped and the third, behind it, not looked at


def test_the_border_of_a_thick_spot_is_taken_off():
    """Where the distance is 1 of more than 24 pixels: 255 / 25 = 10.2 rounds to 10, not above."""
    thick = spots((20, 10, 70, 60), shape=(90, 100))
    assert cam_code_boxes(thick)[0].tolist() == [21, 11, 69, 59]
    thinner = spots((20, 10, 68, 58), shape=(90, 100))  # 24 pixels deep: 10.6 rounds to 11
    assert cam_code_boxes(thinner)[0].tolist() == [20, 10, 68, 58]


def test_the_three_thresholds_are_of_256_steps():
    for step, number in ((20, 0), (21, 1), (100, 1), (101, 2), (110, 2), (111, 3)):
        # a second, fixed spot of full brightness, far away, is found by all three
        loc_map = spots((60, 50, 80, 60)) + spots((10, 10, 22, 19), value=step / 255)
        boxes = cam_code_boxes(loc_map).tolist()
        found, _ = slow_boxes(loc_map)
        assert found.count((10, 10, 22, 19)) == number
        assert ([10, 10, 22, 19] in boxes) == (number > 0)


def test_steps_are_rounded_not_cut():
    assert len(cam_code_boxes(spots((10, 10, 22, 19), value=20.4 / 255))) == 0
    assert len(cam_code_boxes(spots((10, 10, 22, 19), value=20.6 / 255))) == 1


@pytest.mark.parametrize("value", [0.0, 20 / 255])
def test_nothing_passes(value):
    boxes = cam_code_boxes(np.full((30, 40), value, dtype=np.float32))
    assert boxes.shape == (0, 4)
    assert boxes.dtype == np.int64


def test_everything_passes():
    boxes = cam_code_boxes(np.ones((30, 40), dtype=np.float32))
    assert boxes[0].tolist() == [0, 0, 35, 25]  # five pixels before both ends


@pytest.mark.parametrize(
    ("spot", "box"),
    [
        ((80, 60, 100, 80), [80, 60, 95, 75]),  # in the corner
        ((70, 50, 95, 75), [70, 50, 95, 75]),  # ends just there
        ((70, 50, 96, 76), [70, 50, 95, 75]),
        ((0, 0, 30, 20), [0, 0, 30, 20]),  # the other borders have no margin
        ((90, 10, 98, 30), [90, 10, 95, 30]),
    ],
)
def test_boxes_end_five_pixels_before_the_right_and_lower_border(spot, box):
    assert cam_code_boxes(spots(spot))[0].tolist() == box


def test_a_spot_that_lies_in_the_margin_has_no_width():
    boxes = cam_code_boxes(spots((95, 10, 100, 30), (20, 40, 30, 50)))
    assert boxes[0].tolist() == [20, 40, 30, 50]
    assert [95, 10, 95, 30] in boxes.tolist()


def test_a_spot_that_begins_in_the_margin_ends_before_it_begins():
    """As published the width is negative there; the corners come out in order."""
    boxes = cam_code_boxes(spots((97, 10, 100, 30), (20, 40, 30, 50)))
    assert boxes[0].tolist() == [20, 40, 30, 50]
    assert [93, 10, 95, 30] in boxes.tolist()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (5, 5), (4, 50), (6, 6)])
def test_maps_smaller_than_the_margin(shape):
    loc_map = np.ones(shape, dtype=np.float32)
    boxes = cam_code_boxes(loc_map)
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    loc_map[0, 0] = 0
    cam_code_boxes(loc_map)


def test_a_box_that_overlaps_a_larger_one_by_more_than_half_of_it_is_dropped():
    """Bright middles in a dim spot: from step 100 on only they remain."""
    dim = spots((10, 10, 50, 40), value=0.3)
    kept, dropped = dim.copy(), dim.copy()
    kept[10:40, 10:30] = 1  # exactly half: 600 of 1200
    dropped[10:40, 10:31] = 1
    assert [10, 10, 30, 40] in cam_code_boxes(kept).tolist()
    boxes = cam_code_boxes(dropped).tolist()
    assert boxes[0] == [10, 10, 50, 40]
    assert boxes[1:] == [[10, 10, 31, 40]]  # of two the first is dropped, its neighbor skipped


def test_the_box_behind_a_dropped_one_is_not_looked_at():
    """Three boxes in a row overlap the first: the second goes, the third stays, the fourth goes."""
    a, b, c, d = (0, 0, 40, 40), (0, 0, 40, 39), (0, 0, 40, 38), (0, 0, 40, 37)
    assert slow_choice([a, b, c, d]) == [a, c]  # d goes as it overlaps a; c is not looked at
    loc_map = spots((10, 10, 50, 50), value=0.2)
    loc_map[10:49, 10:50] = 105 / 255
    loc_map[10:48, 10:50] = 1
    assert cam_code_boxes(loc_map).tolist() == [[10, 10, 50, 50], [10, 10, 50, 48]]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 14), st.integers(1, 14)),
        elements=st.sampled_from([0, 0.1, 0.4, 0.42, 1]),
    )
)
def test_boxes_of_any_map_are_found_by_the_slow_generator_and_end_in_it(loc_map):
    check(loc_map)
    boxes = cam_code_boxes(loc_map)
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    assert (boxes[:, 2:] <= loc_map.shape[::-1]).all()
