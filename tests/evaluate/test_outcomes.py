"""The name of what became of an image: one for each way to be right or wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.evaluate.metrics.boxes import best_iou
from spg.evaluate.outcomes import OUTCOMES, box_outcome, outcome

ONE = [[10, 10, 30, 30]]
TWO = [[10, 10, 30, 30], [40, 10, 60, 30]]  # side by side
NESTED = [[0, 0, 60, 60], [10, 10, 20, 20]]

CASES = [
    ("the true box", ONE, [10, 10, 30, 30], "correct"),
    ("IoU is 0.5", ONE, [10, 10, 30, 20], "correct"),
    ("a part", ONE, [12, 12, 18, 18], "too_small"),
    ("a part that reaches out by half", ONE, [25, 15, 35, 25], "too_small"),
    ("less than half of the part inside", ONE, [26, 15, 36, 25], "elsewhere"),
    ("IoU is a little below 0.5", ONE, [10, 10, 30, 19.9], "too_small"),
    ("much more", ONE, [0, 0, 60, 60], "too_large"),
    ("a larger one with half of the object", ONE, [20, 0, 60, 40], "too_large"),
    ("a larger one with less than half", ONE, [21, 0, 60, 40], "elsewhere"),
    ("as large as the object, half of it", ONE, [20, 10, 40, 30], "too_large"),
    ("as large as the object, less than half", ONE, [21, 10, 41, 30], "elsewhere"),
    ("far away", ONE, [40, 40, 50, 50], "elsewhere"),
    ("touches", ONE, [30, 10, 50, 30], "elsewhere"),
    ("no box", ONE, [0, 0, 0, 0], "elsewhere"),
    ("no box, in the object", ONE, [15, 15, 15, 20], "elsewhere"),
    ("no true box", [], [10, 10, 30, 30], "elsewhere"),
    ("one of two", TWO, [40, 10, 60, 30], "correct"),
    ("both", TWO, [10, 10, 60, 30], "merged"),
    ("both and much more", TWO, [0, 0, 100, 100], "merged"),
    ("half of both", TWO, [20, 10, 50, 30], "merged"),
    ("half of one and less of the other", TWO, [20, 10, 49, 30], "too_large"),
    ("between both", TWO, [30, 10, 40, 30], "elsewhere"),
    ("a part of the second", TWO, [42, 12, 48, 18], "too_small"),
    ("a part with less of its neighbor", TWO, [28, 10, 45, 30], "elsewhere"),
    ("more of the first than of the second", TWO, [16, 0, 44, 60], "too_large"),
    ("a part of the outer one around the inner one", NESTED, [8, 8, 30, 30], "too_small"),
    ("a part beside the inner one", NESTED, [40, 40, 50, 50], "too_small"),
    ("most of the outer one and the inner one", NESTED, [0, 0, 60, 29], "too_small"),
]


def at_half(box, true_boxes):
    box = np.array(box, dtype=np.float64)
    true_boxes = np.array(true_boxes, dtype=np.float64).reshape(-1, 4)
    return box, true_boxes, float(best_iou(box[None], true_boxes)[0])


@pytest.mark.parametrize(
    ("true_boxes", "box", "name"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_names(true_boxes, box, name):
    case = at_half(box, true_boxes)
    assert box_outcome(*case, iou_threshold=0.5) == name
    assert outcome(*case, class_is_right=True, iou_threshold=0.5) == name
    wrong = outcome(*case, class_is_right=False, iou_threshold=0.5)
    assert wrong == ("wrong_class" if name == "correct" else name)


def test_every_name_has_a_case():
    assert {name for *_, name in CASES} | {"wrong_class"} == set(OUTCOMES)


def test_the_iou_is_taken_as_given():
    """It may be of another convention than that of the overlaps."""
    box, true_boxes, _ = at_half([12, 12, 18, 18], ONE)
    assert box_outcome(box, true_boxes, 0.5, iou_threshold=0.5) == "correct"
    assert box_outcome(box, true_boxes, 0.4999, iou_threshold=0.5) == "too_small"


def test_a_stricter_level_makes_a_right_box_wrong():
    case = at_half([10, 10, 30, 26], ONE)  # IoU 0.8
    assert box_outcome(*case, iou_threshold=0.8) == "correct"
    assert box_outcome(*case, iou_threshold=0.81) == "too_small"


def test_empty_true_boxes_merge_nothing():
    true_boxes = [[10, 10, 30, 30], [5, 5, 5, 5], [12, 12, 12, 40]]
    assert box_outcome(*at_half([0, 0, 60, 60], true_boxes), iou_threshold=0.5) == "too_large"


coordinates = st.integers(0, 14)
boxes = st.tuples(*[coordinates] * 4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)


@given(boxes, st.lists(boxes, max_size=4), st.booleans(), st.floats(0.05, 1))
def test_every_image_has_one_name_and_inputs_stay_as_they_are(box, true_boxes, right, level):
    box, true_boxes, iou = at_half(box, true_boxes)
    before = box.copy(), true_boxes.copy()
    name = outcome(box, true_boxes, iou, class_is_right=right, iou_threshold=level)
    assert name in OUTCOMES
    assert (name in ("correct", "wrong_class")) == (iou >= level)
    assert (name == "wrong_class") <= (not right)
    assert (box == before[0]).all()
    assert (true_boxes == before[1]).all()


@given(boxes, st.lists(boxes, max_size=4), st.floats(0.05, 1))
def test_names_by_counting_pixels(box, true_boxes, level):
    """Box and true boxes as sets of pixels; the definitions word by word."""
    pixels = {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}
    truths = [{(x, y) for x in range(t[0], t[2]) for y in range(t[1], t[3])} for t in true_boxes]
    ious = [len(pixels & t) / len(pixels | t) for t in truths if pixels | t]
    halves = [t for t in truths if pixels & t and 2 * len(pixels & t) >= len(t)]
    nearest = max(truths, key=lambda t: len(pixels & t), default=set())
    shared = len(pixels & nearest)
    if max(ious, default=0) >= level:
        want = "correct"
    elif len(halves) > 1:
        want = "merged"
    elif shared and len(pixels) < len(nearest) and 2 * shared >= len(pixels):
        want = "too_small"
    elif shared and len(pixels) >= len(nearest) and 2 * shared >= len(nearest):
        want = "too_large"
    else:
        want = "elsewhere"
    assert box_outcome(*at_half(box, true_boxes), iou_threshold=level) == want


@given(boxes.filter(lambda box: box[0] < box[2] and box[1] < box[3]), st.lists(boxes, max_size=3))
def test_a_true_box_is_correct(box, others):
    assert box_outcome(*at_half(box, [*others, box]), iou_threshold=1.0) == "correct"
