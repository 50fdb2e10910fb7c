from __future__ import annotations

import math

import cv2
import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate import choose_threshold
from spg.metrics.boxes import box_area, box_iou, center_box, largest_box, whole_image_box
from spg.metrics.localization import (
    ERRORS,
    error_curve,
    image_errors,
    outcome,
    select_threshold,
    threshold_grid,
)
from spg.metrics.maps import energy_share, localization_map
from spg.sweep import iou_at_thresholds

coordinates = st.integers(0, 12)


@st.composite
def boxes_strategy(draw):
    rows = draw(st.lists(st.tuples(*[coordinates] * 4), min_size=1, max_size=5))
    corners = np.sort(np.array(rows, dtype=np.float64).reshape(-1, 2, 2), axis=1)
    corners[:, 1] += draw(st.sampled_from([0.0, 0.5, 1.0]))  # 0 leaves some without area
    return corners.reshape(-1, 4)


# ---- Boxes ----


@given(boxes_strategy(), boxes_strategy())
def test_iou_is_torchvisions(boxes, others):
    got = box_iou(boxes, others)
    want = torchvision.ops.box_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy()
    assert got.shape == (len(boxes), len(others))
    assert np.allclose(got, np.nan_to_num(want, nan=0.0), atol=1e-12)  # 0 / 0 there
    assert np.allclose(got, box_iou(others, boxes).T)


def test_iou_by_counting_pixels():
    """Half-open boxes: no pixel is added to a side."""
    first, second = np.zeros((2, 20, 20), dtype=bool)
    first[2:8, 3:13] = True
    second[5:15, 6:10] = True
    want = (first & second).sum() / (first | second).sum()
    assert box_iou(np.array([[3, 2, 13, 8]]), np.array([[6, 5, 10, 15]]))[0, 0] == want


@pytest.mark.parametrize("other", [[2, 0, 4, 2], [5, 5, 6, 6], [0, 2, 2, 3]])
def test_boxes_that_only_touch_have_no_overlap(other):
    assert box_iou(np.array([[0, 0, 2, 2]]), np.array([other]))[0, 0] == 0


def test_a_box_without_area_has_iou_zero_even_with_itself():
    empty = np.zeros((1, 4))
    assert box_iou(empty, empty)[0, 0] == 0
    assert box_area(np.array([[3, 3, 1, 9]])).tolist() == [0]


def largest_box_by_scipy(loc_map, threshold):
    labels, count = scipy.ndimage.label(loc_map >= threshold, structure=np.ones((3, 3)))
    if count == 0:
        return [0, 0, 0, 0]
    sizes = [(labels == number).sum() for number in range(1, count + 1)]
    winner = 1 + int(np.argmax(sizes))  # labels count in row order: the first of equal ones
    rows, columns = np.nonzero(labels == winner)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1]),
    ),
    st.sampled_from([0.2, 0.25, 0.5, 0.6, 0.75, 0.99]),
)
def test_largest_box_is_that_of_the_largest_component(loc_map, threshold):
    assert largest_box(loc_map, threshold).tolist() == largest_box_by_scipy(loc_map, threshold)


def test_largest_box_on_larger_random_maps():
    rng = np.random.default_rng(0)
    for _ in range(30):
        loc_map = cv2.GaussianBlur(rng.random((40, 30)).astype(np.float32), (5, 5), 0)
        threshold = float(np.quantile(loc_map, rng.uniform(0.3, 0.95)))
        want = largest_box_by_scipy(loc_map, threshold)
        assert largest_box(loc_map, threshold).tolist() == want


def test_a_pixel_equal_to_the_threshold_passes():
    loc_map = np.array([[0.5, 0.49, 1.0, 1.0]], dtype=np.float32)
    assert largest_box(loc_map, 0.5).tolist() == [2, 0, 4, 1]
    assert largest_box(loc_map[:, :2], 0.5).tolist() == [0, 0, 1, 1]


def test_diagonal_neighbors_belong_together():
    assert largest_box(np.eye(4, dtype=np.float32), 0.5).tolist() == [0, 0, 4, 4]


def test_size_is_counted_in_pixels_not_in_box_area():
    loc_map = np.zeros((8, 12), dtype=np.float32)
    loc_map[0:3, 0:3] = 1  # 9 pixels, box of 9
    loc_map[4:8, 4] = loc_map[7, 4:8] = 1  # 7 pixels, box of 16
    assert largest_box(loc_map, 0.5).tolist() == [0, 0, 3, 3]


def test_no_pixel_above_gives_no_box():
    assert largest_box(np.zeros((3, 3), dtype=np.float32), 0.5).tolist() == [0, 0, 0, 0]


@given(st.integers(1, 500), st.integers(1, 500))
def test_naive_boxes(width, height):
    whole, center = whole_image_box(width, height), center_box(width, height)
    assert whole.tolist() == [0, 0, width, height]
    assert box_area(center[None])[0] == pytest.approx(width * height / 2)
    assert center[:2] + center[2:] == pytest.approx([width, height])
    size = center[2:] - center[:2]
    assert size[0] * height == pytest.approx(size[1] * width)
    assert box_iou(center[None], whole[None])[0, 0] == pytest.approx(0.5)


# ---- Maps ----


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_localization_maps_have_the_images_size_and_span_zero_to_one(raw, size_wh):
    loc_map = localization_map(raw, size_wh)
    assert loc_map.shape == size_wh[::-1]
    assert loc_map.dtype == np.float32
    assert loc_map.min() == 0
    assert loc_map.max() in (0, 1)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-30, 7e8])
def test_a_constant_map_gives_zeros_and_no_box(value):
    loc_map = localization_map(np.full((3, 3), value, dtype=np.float32), (7, 5))
    assert not loc_map.any()
    assert not largest_box(loc_map, 0.02).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_gives_zeros(bad):
    raw = np.arange(9, dtype=np.float32).reshape(3, 3)
    raw[1, 2] = bad
    loc_map = localization_map(raw, (7, 5))
    assert loc_map.shape == (5, 7)
    assert not loc_map.any()


def test_width_and_height_are_not_swapped():
    """A hot spot at the right edge of a wide image stays there."""
    raw = np.zeros((4, 4), dtype=np.float32)
    raw[1, 3] = 1
    loc_map = localization_map(raw, (40, 20))
    assert loc_map.shape == (20, 40)
    row, column = np.unravel_index(loc_map.argmax(), loc_map.shape)
    assert 5 <= row < 10
    assert column >= 35
    assert largest_box(loc_map, 0.5).tolist()[2] == 40


def test_bilinear_interpolation_has_half_pixel_centers():
    loc_map = localization_map(np.array([[0, 1]], dtype=np.float32), (4, 1))
    assert np.allclose(loc_map, [[0, 0.25, 0.75, 1]])
    torchs = torch.nn.functional.interpolate(
        torch.arange(6.0).view(1, 1, 2, 3) ** 2, size=(7, 5), mode="bilinear"
    )[0, 0].numpy()
    raw = (np.arange(6, dtype=np.float32) ** 2).reshape(2, 3)
    want = (torchs - torchs.min()) / np.ptp(torchs)
    assert np.allclose(localization_map(raw, (5, 7)), want, atol=1e-5)


def test_maps_are_normalized_after_the_resize():
    raw = np.array([[0, 1, 0], [1, 5, 1], [0, 1, 0]], dtype=np.float32)
    assert localization_map(raw, (4, 4)).max() == 1  # no sample hits the peak


@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
    hnp.arrays(np.bool_, (3, 4)),
)
def test_energy_shares_of_a_region_and_the_rest_add_up(loc_map, region):
    inside, outside = energy_share(loc_map, region), energy_share(loc_map, ~region)
    assert 0 <= inside <= 1
    total = float(loc_map.astype(np.float64).sum())
    assert inside + outside == pytest.approx(1 if total > 0 else 0)
    if total > 0:
        want = sum(v for v, r in zip(loc_map.flat, region.flat, strict=True) if r) / total
        assert inside == pytest.approx(want, abs=1e-6)


def test_a_uniform_map_scores_the_area():
    region = np.zeros((10, 10), dtype=bool)
    region[:2] = True
    assert energy_share(np.ones((10, 10), dtype=np.float32), region) == pytest.approx(0.2)


# ---- Errors ----


def test_errors_of_a_table_made_by_hand():
    # image:       right   other class, top 5   bad box   class missed   both wrong
    iou = np.array([0.9, 0.9, 0.4999, 0.5, 0.1])
    labels = np.array([0, 1, 2, 3, 4])
    top5 = np.array(
        [[0, 1, 2, 3, 4], [9, 8, 7, 6, 1], [2, 0, 1, 3, 4], [0, 1, 2, 4, 5], [0, 1, 2, 3, 5]]
    )
    errors = image_errors(iou, top5, labels, iou_threshold=0.5)
    assert tuple(errors) == ERRORS
    assert {name: values.astype(int).tolist() for name, values in errors.items()} == {
        "gt_known_loc_err": [0, 0, 1, 0, 1],
        "top1_loc_err": [0, 1, 1, 1, 1],
        "top5_loc_err": [0, 0, 1, 1, 1],
        "top1_cls_err": [0, 1, 0, 1, 1],
        "top5_cls_err": [0, 0, 0, 1, 1],
    }


@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0.1, 0.9))
def test_how_the_errors_bound_each_other(seed, guesses, delta):
    rng = np.random.default_rng(seed)
    top5 = np.stack([rng.permutation(8)[: min(guesses, 5)] for _ in range(20)])
    labels = rng.integers(0, 8, 20)
    iou = rng.random(20)
    errors = image_errors(iou, top5, labels, iou_threshold=delta)
    assert (errors["top5_loc_err"] <= errors["top1_loc_err"]).all()
    assert (errors["top5_cls_err"] <= errors["top1_cls_err"]).all()
    for k in ("top1", "top5"):
        assert (errors[f"{k}_loc_err"] >= errors[f"{k}_cls_err"]).all()
        assert (errors[f"{k}_loc_err"] >= errors["gt_known_loc_err"]).all()
    stricter = image_errors(iou, top5, labels, iou_threshold=delta + 0.05)
    for name in ERRORS:
        assert (stricter[name] >= errors[name]).all()


def test_an_iou_equal_to_the_threshold_is_right():
    one = np.array([[0]])
    errors = image_errors(np.array([0.5]), one, np.array([0]), iou_threshold=0.5)
    assert not any(values[0] for values in errors.values())
    below = math.nextafter(0.5, 0)
    errors = image_errors(np.array([below]), one, np.array([0]), iou_threshold=0.5)
    assert errors["gt_known_loc_err"][0]


@pytest.mark.parametrize(
    ("errors", "index"),
    [
        ([5, 4, 3, 2, 1], 4),
        ([1, 2, 3], 0),
        ([3, 1, 1, 1, 2], 2),
        ([3, 1, 1, 1, 1, 2], 2),  # the lower of two middles
        ([1, 2, 1, 1, 2, 1, 1, 1], 6),
        ([1, 1, 2, 1, 1], 0),  # the first of equally long runs
        ([2, 2, 2], 1),
        ([0], 0),
    ],
)
def test_the_middle_of_the_longest_best_run_is_selected(errors, index):
    grid = np.linspace(0.1, 0.8, len(errors))
    assert select_threshold(np.array(errors) / 7, grid) == grid[index]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_a_selected_threshold_is_a_best_one(errors):
    grid = threshold_grid(len(errors))
    place = grid.tolist().index(select_threshold(np.array(errors, dtype=float), grid))
    assert errors[place] == min(errors)


TRUE = np.array([[10.0, 10, 30, 30]])


@pytest.mark.parametrize(
    ("box", "name"),
    [
        ([10, 10, 30, 30], "correct"),
        ([10, 10, 30, 20], "correct"),  # IoU is 0.5
        ([12, 12, 18, 18], "part"),
        ([25, 25, 35, 30], "part"),  # half inside
        ([25, 25, 36, 30], "too_large"),  # less than half inside
        ([0, 0, 60, 60], "too_large"),
        ([40, 40, 50, 50], "elsewhere"),
        ([30, 10, 50, 30], "elsewhere"),  # touches
        ([0, 0, 0, 0], "elsewhere"),
    ],
)
def test_names_of_outcomes(box, name):
    box = np.array(box, dtype=np.float64)
    iou = float(box_iou(box[None], TRUE).max())
    assert outcome(box, TRUE, iou, iou_threshold=0.5) == name


def test_an_outcome_looks_at_all_true_boxes():
    true_boxes = np.array([[0, 0, 5, 5], [20, 20, 60, 60]], dtype=np.float64)
    box = np.array([30.0, 30, 40, 40])
    assert outcome(box, true_boxes, 100 / 1600, iou_threshold=0.5) == "part"


# ---- The sweep over thresholds ----


def test_the_grid_lies_evenly_inside_zero_and_one():
    assert np.allclose(threshold_grid(49), [0.02 * k for k in range(1, 50)])
    assert threshold_grid(9).tolist() == pytest.approx([k / 10 for k in range(1, 10)])


def test_the_sweep_takes_the_best_true_box_at_each_threshold():
    loc_map = np.zeros((10, 10), dtype=np.float32)
    loc_map[2:8, 2:8], loc_map[4:6, 4:6] = 0.4, 1
    true_boxes = np.array([[2, 2, 8, 8], [4, 4, 6, 7]], dtype=np.float64)
    got = iou_at_thresholds(loc_map, true_boxes, np.array([0.3, 0.4, 0.5]))
    # 0.4 as float32 is above 0.4 as float64, but both are compared in float32
    assert got.tolist() == pytest.approx([1, 1, 4 / 6])


def test_an_error_curve_counts_boxes_below_the_iou_threshold():
    iou = [np.array([0.5, 0.2], np.float32), np.array([0.49, 0.9], np.float32)]
    sweep = pd.DataFrame({"iou": iou, "split": ["train_fullsup"] * 2})
    assert error_curve(np.stack(sweep["iou"]), 0.5).tolist() == [0.5, 0.5]
    assert error_curve(np.stack(sweep["iou"]), 0.1).tolist() == [0, 0]


def test_a_threshold_is_chosen_on_held_out_images_alone(params):
    grid = np.array([0.25, 0.5, 0.75])
    splits = ["train_fullsup", "test", "test", "train_weaksup"]
    good_at = [2, 0, 0, 0]
    iou = [np.eye(3, dtype=np.float32)[place] for place in good_at]
    sweep = pd.DataFrame({"iou": iou, "split": splits})
    assert choose_threshold(sweep, grid, params.evaluation) == 0.75
