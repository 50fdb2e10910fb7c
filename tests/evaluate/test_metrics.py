from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate.choice import Wrong, choose_places
from spg.evaluate.cuts import Cuts
from spg.evaluate.image_errors import (
    ERRORS,
    IOU_LEVELS,
    count_correct,
    image_errors,
    max_box_acc,
    select_threshold,
)
from spg.evaluate.metrics.boxes import box_area, box_iou, center_box, whole_image_box
from spg.evaluate.metrics.maps import energy_share, localization_map
from spg.evaluate.metrics.protocols import PROTOCOLS

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
def test_a_constant_map_gives_zeros(value):
    loc_map = localization_map(np.full((3, 3), value, dtype=np.float32), (7, 5))
    assert not loc_map.any()


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
    second_iou = np.array([0.0, 0.9, 0.5, 0.9, 0.6])
    labels = np.array([0, 1, 2, 3, 4])
    top5 = np.array(
        [[0, 1, 2, 3, 4], [9, 8, 7, 6, 1], [2, 0, 1, 3, 4], [0, 1, 2, 4, 5], [0, 1, 2, 3, 5]]
    )
    errors = image_errors(iou, top5, labels, iou_threshold=0.5, second_iou=second_iou)
    assert set(errors) == set(ERRORS)
    assert {name: values.astype(int).tolist() for name, values in errors.items()} == {
        "gt_known_loc_err": [0, 0, 1, 0, 1],
        "top1_loc_err": [0, 1, 1, 1, 1],
        "top5_loc_err": [0, 0, 1, 1, 1],
        "top1_cls_err": [0, 1, 0, 1, 1],
        "top5_cls_err": [0, 0, 0, 1, 1],
        "top5_loc_star_err": [0, 1, 0, 1, 1],  # the fifth class is no longer guessed
    }
    without = image_errors(iou, top5, labels, iou_threshold=0.5)
    assert set(ERRORS) - set(without) == {"top5_loc_star_err"}


@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0.3, 0.5, 0.7]))
def test_the_star_error_by_looking_at_five_guesses(seed, classes, delta):
    rng = np.random.default_rng(seed)
    guesses = np.stack([rng.permutation(classes)[:5] for _ in range(20)])
    labels = rng.integers(0, classes, 20)
    iou, second_iou = rng.choice([0, 0.3, 0.49, 0.5, 0.7, 1], (2, 20))
    wrong = []
    for image in range(20):
        boxes = (iou[image], second_iou[image])  # those of the true class; no other's is asked for
        pairs = [(guess, box) for guess in guesses[image] for box in boxes][:5]
        wrong.append(not any(guess == labels[image] and box >= delta for guess, box in pairs))
    errors = image_errors(iou, guesses, labels, iou_threshold=delta, second_iou=second_iou)
    assert errors["top5_loc_star_err"].tolist() == wrong
    assert (errors["top1_loc_err"] | errors["top5_loc_star_err"]).tolist() == errors[
        "top1_loc_err"
    ].tolist()  # whoever is right with one guess is right with five


@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0.1, 0.9))
def test_how_the_errors_bound_each_other(seed, guesses, delta):
    rng = np.random.default_rng(seed)
    top5 = np.stack([rng.permutation(8)[: min(guesses, 5)] for _ in range(20)])
    labels = rng.integers(0, 8, 20)
    iou, second_iou = rng.random((2, 20))
    errors = image_errors(iou, top5, labels, iou_threshold=delta, second_iou=second_iou)
    assert (errors["top5_loc_star_err"] <= errors["top1_loc_err"]).all()
    assert (errors["top5_loc_err"] <= errors["top1_loc_err"]).all()
    assert (errors["top5_cls_err"] <= errors["top1_cls_err"]).all()
    for k in ("top1", "top5"):
        assert (errors[f"{k}_loc_err"] >= errors[f"{k}_cls_err"]).all()
        assert (errors[f"{k}_loc_err"] >= errors["gt_known_loc_err"]).all()
    stricter = image_errors(iou, top5, labels, iou_threshold=delta + 0.05, second_iou=second_iou)
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
    grid = PROTOCOLS["paper"].thresholds(len(errors))
    place = grid.tolist().index(select_threshold(np.array(errors, dtype=float), grid))
    assert errors[place] == min(errors)


# ---- Over thresholds ----


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 6))
def test_accuracies_by_counting_images(seed, images, thresholds):
    rng = np.random.default_rng(seed)
    iou = rng.choice([0, 0.2999, 0.3, 0.4999, 0.5, 0.6999, 0.7, 1], (images, thresholds))
    correct = count_correct(iou)
    assert correct.dtype == np.int64
    best = max_box_acc(correct, images)
    for row, level in enumerate((0.3, 0.5, 0.7)):
        counts = [sum(value >= level for value in column) for column in iou.T]
        assert correct[row].tolist() == counts
        assert best[row] == max(counts) / images
    assert best[IOU_LEVELS.index(0.5)] == pytest.approx(1 - (iou < 0.5).mean(axis=0).min())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_iou_equal_to_a_level_counts_in_either_precision(dtype):
    levels = np.array(IOU_LEVELS, dtype=dtype)[:, None]
    assert count_correct(levels).ravel().tolist() == [3, 2, 1]


def test_each_level_has_its_own_best_threshold():
    iou = np.array([[0.4, 0.6, 0.8], [0.4, 0.6, 0.0], [0.4, 0.0, 0.0]])
    assert max_box_acc(count_correct(iou), 3).tolist() == [1, 2 / 3, 1 / 3]


def test_an_image_without_a_map_counts_as_wrong():
    assert max_box_acc(count_correct(np.ones((2, 4))), 3).tolist() == [2 / 3] * 3


def test_a_threshold_is_chosen_on_held_out_images_alone():
    grid = np.array([0.25, 0.5, 0.75])
    cuts = Cuts(grid, np.array([np.nan]))
    fixed = cuts.place(0.5, 0.7)
    wrong = Wrong(
        held_out=np.array([1, 1, 0.0]),
        pseudo=np.array([1, 0, 0.0]),
        test=np.array([0, 1, 1.0]),
        images=3,
    )
    fitted = np.array([0, 2, 0])  # does not count where images are held out
    places = choose_places(wrong, cuts, fixed, fitted)
    assert {kind: place.tolist() for kind, place in places.items()} == {
        "fixed": [1] * 3, "selected": [2] * 3, "pseudo": [1] * 3, "oracle": [0] * 3
    }  # fmt: skip
    alone = wrong._replace(held_out=None, pseudo=None)
    assert choose_places(alone, cuts, fixed, fitted)["selected"].tolist() == [0, 2, 0]
    assert choose_places(alone, cuts, fixed, None)["selected"].tolist() == [1] * 3
    boxless = choose_places(alone._replace(test=None), cuts, fixed, None)
    assert list(boxless) == ["fixed", "selected"]


def test_a_percentile_is_chosen_with_its_threshold():
    cuts = Cuts(np.array([0.25, 0.5, 0.75]), np.array([0.1, 0.9]))
    assert cuts.place(0.5, 0.9) == 4
    # the best ones are the end of one percentile's grid and the start of the next one's: no run
    wrong = Wrong(held_out=np.array([1, 0, 0, 0, 1, 1.0]), pseudo=None, test=None, images=2)
    place = choose_places(wrong, cuts, 4, None)["selected"]
    assert place.tolist() == [1, 1]  # as one run it would be 2
    assert cuts.thresholds[cuts.steps(place)].tolist() == [0.5] * 2
    assert cuts.percentiles[cuts.ways(place)].tolist() == [0.1] * 2
