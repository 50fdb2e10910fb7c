"""The evaluators: wsolevaluation's published numbers, and plain loops over thresholds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_components import ADVERSARIAL, half_open, random_maps
from test_rules import EMPTY, contours_of, largest_by_cv2, without_largest

from spg.evaluate.image_errors import count_correct, max_box_acc
from spg.evaluate.metrics.boxes import best_iou, box_iou
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.pixels import pixel_average_precision, pixel_histogram
from spg.evaluate.metrics.protocols import PROTOCOLS, count_passed
from spg.evaluate.metrics.sweeps import sweep_map

GOLDEN = Path(__file__).parents[1] / "golden/wsolevaluation_boxes.npz"
PAPER, WSOL = PROTOCOLS["paper"], PROTOCOLS["wsolevaluation"]
NO_BOXES = np.zeros((0, 4))


@cache
def golden():
    """What wsolevaluation returned on 48 maps, one of six with a hole, the last one constant."""
    with np.load(GOLDEN) as archive:
        return {name: archive[name] for name in archive.files}


@cache
def golden_images():
    """Its 48 images as our code sees them: the finished map, the boxes, the sweep."""
    numbers, images = golden(), []
    for index, size in enumerate(numbers["image_size_wh"].tolist()):
        mine = numbers["box_image_index"] == index
        loc_map = WSOL.loc_map(numbers[f"raw_map_{index:02d}"], tuple(size))
        boxes = WSOL.true_boxes(numbers["box_xyxy"][mine].astype(np.float64), tuple(size))
        sweep = sweep_map(loc_map, boxes, WSOL.thresholds(999), WSOL)
        images.append(SimpleNamespace(loc_map=loc_map, boxes=boxes, sweep=sweep))
    return images


# ---- wsolevaluation's own numbers ----


def test_finished_maps_are_those_of_wsolevaluation():
    for index, image in enumerate(golden_images()):
        assert image.loc_map.dtype == np.float32
        want = golden()["loc_map_224_uint8_floor"][index]
        assert (np.floor(image.loc_map * np.float32(255)) == want).all()
        assert (WSOL.quantize(image.loc_map, WSOL.thresholds(999)).levels == want).all()


def test_true_boxes_are_those_of_wsolevaluation():
    ours = np.concatenate([image.boxes for image in golden_images()])
    assert (ours == golden()["box_224_xyxy"]).all()


def test_iou_at_every_threshold_is_that_of_wsolevaluation():
    largest = np.stack([image.sweep.iou[0] for image in golden_images()])
    every = np.stack([image.sweep.iou_all for image in golden_images()])
    assert largest.dtype == every.dtype == np.float64  # an IoU of 0.7 must count at 0.7
    assert largest.shape == every.shape == (48, 1000)
    assert (largest.astype(np.float32) == golden()["largest_best_iou"]).all()
    assert (every.astype(np.float32) == golden()["all_best_iou"]).all()
    assert (largest != every).any()  # holes win here and there


@pytest.mark.parametrize("rule", ["largest", "all"])
def test_counts_and_accuracies_are_those_of_wsolevaluation(rule):
    sweeps = [image.sweep for image in golden_images()]
    iou = np.stack([sweep.iou[0] if rule == "largest" else sweep.iou_all for sweep in sweeps])
    correct = count_correct(iou)
    assert (correct == golden()[f"{rule}_num_correct"]).all()
    assert (max_box_acc(correct, 48) == golden()[f"{rule}_max_acc"]).all()
    one_by_one = sum(count_correct(row[None]) for row in iou)
    assert (one_by_one == correct).all()


def test_pixel_precision_is_that_of_wsolevaluation():
    masks = golden()["mask_224"]
    total = sum(
        pixel_histogram(image.loc_map, mask, WSOL.thresholds(999))
        for image, mask in zip(golden_images(), masks, strict=True)
    )
    assert total.sum() == (masks != 255).sum()
    assert pixel_average_precision(total) == pytest.approx(float(golden()["px_ap"]), rel=1e-12)


# ---- Both protocols against a loop over thresholds ----


def pixels_of(box, side, *, inclusive):
    """The set of pixels of a box with whole corners, on a canvas that reaches beyond the map."""
    x1, y1, x2, y2 = (int(corner) + side for corner in box)
    canvas = np.zeros((4 * side, 4 * side), dtype=bool)
    canvas[y1 : y2 + inclusive, x1 : x2 + inclusive] = True
    return canvas


def plain_iou(box, other, inclusive):
    x1, y1 = max(box[0], other[0]), max(box[1], other[1])
    x2, y2 = min(box[2], other[2]), min(box[3], other[3])
    overlap = max(0, x2 - x1 + inclusive) * max(0, y2 - y1 + inclusive)
    areas = [(b[2] - b[0] + inclusive) * (b[3] - b[1] + inclusive) for b in (box, other)]
    union = sum(areas) - overlap
    return overlap / union if union else 0.0


def best(boxes, true_boxes, inclusive):
    pairs = [plain_iou(box, other, inclusive) for box in boxes for other in true_boxes]
    return max(pairs, default=0.0)


def check_paper(loc_map, true_boxes, thresholds):
    sweep = sweep_map(loc_map, true_boxes, thresholds, PAPER)
    truth = true_boxes.tolist()
    for at, threshold in enumerate(thresholds):
        mask = loc_map.astype(np.float64) >= threshold
        boxes = [largest_by_cv2(mask), largest_by_cv2(without_largest(mask))]
        assert sweep.boxes[:, at].tolist() == [list(box) for box in boxes]
        assert sweep.iou[:, at].tolist() == [best([box], truth, 0) for box in boxes]
        every = [half_open(contour) for contour in contours_of(mask)]
        assert sweep.iou_all[at] == best(every, truth, 0)


def check_wsol(loc_map, true_boxes, thresholds):
    """As docs/sources.md 4.2 tells it."""
    sweep = sweep_map(loc_map, true_boxes, thresholds, WSOL)
    height, width = loc_map.shape
    grey = np.floor(loc_map * np.float32(255)).astype(np.uint8)
    truth = true_boxes.tolist()

    def compared(box):
        return box[0], box[1], min(box[2], width - 1), min(box[3], height - 1)

    for at, threshold in enumerate(thresholds):
        mask = grey > int(threshold * grey.max())
        boxes = [largest_by_cv2(mask), largest_by_cv2(without_largest(mask))]
        assert sweep.boxes[:, at].tolist() == [list(box) for box in boxes]
        assert sweep.iou[:, at].tolist() == [best([compared(box)], truth, 1) for box in boxes]
        every = [half_open(contour) for contour in contours_of(mask)] or [EMPTY]
        assert sweep.iou_all[at] == best(map(compared, every), truth, 1)


CHECKS = {"paper": check_paper, "wsolevaluation": check_wsol}
each_protocol = pytest.mark.parametrize("name", CHECKS)


def some_boxes(rng, shape, protocol):
    """One to three boxes, of which some lie outside the map in part or whole."""
    low, high = rng.integers(-4, np.array(shape[::-1]) + 3, (2, rng.integers(1, 4), 2))
    boxes = np.hstack([np.minimum(low, high), np.maximum(low, high)]).astype(np.float64)
    return protocol.true_boxes(boxes, shape[::-1]) if protocol is PAPER else boxes


@each_protocol
@pytest.mark.parametrize("levels", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_adversarial_maps_at_every_threshold(name, levels):
    rng, protocol = np.random.default_rng(10), PROTOCOLS[name]
    for scale in (1.0, 0.7):
        loc_map = (levels / max(levels.max(), 1) * scale).astype(np.float32)
        boxes = some_boxes(rng, loc_map.shape, protocol)
        CHECKS[name](loc_map, boxes, protocol.thresholds(19))


@each_protocol
def test_thousands_of_maps_at_every_threshold(name):
    rng, protocol = np.random.default_rng(11), PROTOCOLS[name]
    thresholds = protocol.thresholds(9)
    for number, levels in enumerate(random_maps(1000, seed=12)):
        scaled = levels / max(levels.max(), 1)
        if number % 2:  # off the grid; otherwise many pixels lie on a threshold
            scaled = scaled * rng.uniform(0.9, 1, levels.shape)
        boxes = some_boxes(rng, levels.shape, protocol)
        CHECKS[name](scaled.astype(np.float32), boxes, thresholds)


@each_protocol
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 0.9, 254 / 255, 1])
        | st.floats(0, 1, width=32),
    ),
    st.lists(st.tuples(*[st.integers(0, 8)] * 4), max_size=3),
)
def test_maps_of_any_values_at_every_threshold(name, loc_map, corners):
    boxes = np.array([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners])
    boxes = boxes.reshape(-1, 4).astype(np.float64)
    CHECKS[name](loc_map, boxes, PROTOCOLS[name].thresholds(9))


@each_protocol
def test_an_image_without_true_boxes_has_iou_zero(name):
    protocol = PROTOCOLS[name]
    loc_map = localization_map(np.eye(3, dtype=np.float32), (20, 10))
    sweep = sweep_map(loc_map, NO_BOXES, protocol.thresholds(9), protocol)
    assert not sweep.iou.any()
    assert not sweep.iou_all.any()
    assert sweep.boxes[0].any()


# ---- Paper: half-open boxes in the image ----


def test_the_papers_thresholds_lie_evenly_inside_zero_and_one():
    assert PAPER.thresholds(9).tolist() == pytest.approx([k / 10 for k in range(1, 10)])
    assert PAPER.thresholds(999).tolist() == [k / 1000 for k in range(1, 1000)]


def test_in_the_paper_protocol_maps_have_the_images_size():
    raw = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert PAPER.loc_map(raw, (31, 17)).shape == (17, 31)
    assert (PAPER.loc_map(raw, (31, 17)) == localization_map(raw, (31, 17))).all()
    assert PAPER.frame((31, 17)) == (31, 17)
    assert WSOL.frame((31, 17)) == (224, 224)


def test_a_pixel_equal_to_the_threshold_passes():
    loc_map = np.array([[0.5, 0.25, 0, 1, 0.75]], dtype=np.float32)
    sweep = sweep_map(loc_map, np.array([[0, 0, 1, 1.0]]), np.array([0.25, 0.5, 0.75]), PAPER)
    assert sweep.boxes[:, :, [0, 2]].tolist() == [
        [[3, 5], [3, 5], [3, 5]],
        [[0, 2], [0, 1], [0, 0]],
    ]
    assert sweep.iou[1].tolist() == [0.5, 1, 0]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(-0.5, 1.5, width=32)
        | st.sampled_from(np.float32(np.arange(1, 1000) / 1000).tolist()),
    ),
    st.sampled_from([1, 2, 9, 48, 99, 999]),
)
def test_passed_thresholds_by_direct_comparison(loc_map, count):
    for thresholds in (PAPER.thresholds(count), WSOL.thresholds(count)):
        passed = count_passed(loc_map, thresholds)
        assert passed.dtype == np.int32
        want = np.searchsorted(thresholds, loc_map.astype(np.float64), side="right")
        assert passed.tolist() == want.tolist()
        direct = (loc_map.astype(np.float64) >= thresholds[:, None, None]).sum(axis=0)
        assert passed.tolist() == direct.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_passed_thresholds_at_each_threshold_and_its_neighbors(dtype):
    thresholds = PAPER.thresholds(999)
    on = thresholds.astype(dtype)
    loc_map = np.stack([np.nextafter(on, dtype(0)), on, np.nextafter(on, dtype(1))])
    direct = (loc_map.astype(np.float64)[..., None] >= thresholds).sum(axis=-1)
    assert (count_passed(loc_map, thresholds) == direct).all()


def test_passed_thresholds_of_a_grid_that_is_not_even():
    thresholds = np.array([0.0, 1e-6, 0.3, 0.31, 0.999])
    loc_map = np.array([[0, 5e-7, 1e-6, 0.305, 0.31, 0.5, 1]])
    assert count_passed(loc_map, thresholds).tolist() == [[1, 1, 2, 3, 4, 4, 5]]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([2, 3, 8, 9], [2, 3, 8, 9]),
        ([-5, -1, 12.5, 7], [0, 0, 10, 6]),
        ([9.5, 5, 11, 6], [9.5, 5, 10, 6]),
        ([11, 2, 15, 5], [10, 2, 10, 5]),  # outside: nothing is left
        ([-9, -9, -1, -1], [0, 0, 0, 0]),
    ],
)
def test_true_boxes_are_clipped_to_the_image(box, clipped):
    size = (10, 6)
    got = PAPER.true_boxes(np.array([box], dtype=np.float64), size)
    assert got.tolist() == [[min(c, s) for c, s in zip(clipped, (10, 6, 10, 6), strict=True)]]
    whole = np.array([[0, 0, 10, 6.0]])
    area = (got[0, 2] - got[0, 0]) * (got[0, 3] - got[0, 1])
    assert best_iou(whole, got)[0] == pytest.approx(area / 60)


@pytest.mark.parametrize("box", [[3, 3, 3, 9], [3, 3, 9, 3], [4, 4, 4, 4]])
def test_a_true_box_without_area_is_never_found(box):
    loc_map = np.zeros((10, 10), dtype=np.float32)
    loc_map[4, 4] = 1
    sweep = sweep_map(loc_map, np.array([box], dtype=np.float64), PAPER.thresholds(9), PAPER)
    assert not sweep.iou.any()
    assert not sweep.iou_all.any()


def test_no_guessed_box_is_never_found():
    """Not even by an empty true box in the corner."""
    empty = np.zeros((1, 4))
    sweep = sweep_map(np.zeros((5, 5), np.float32), empty, PAPER.thresholds(9), PAPER)
    assert not sweep.boxes.any()
    assert not sweep.iou.any()
    assert not sweep.iou_all.any()


# ---- wsolevaluation: squashed, eight bits, inclusive ----


def test_wsolevaluations_thresholds_are_those_of_its_interval():
    assert WSOL.thresholds(999).tolist() == np.arange(0, 1, 0.001).tolist()
    assert len(WSOL.thresholds(999)) == 1000
    assert len(WSOL.thresholds(99)) == 100


def test_wsolevaluation_cuts_corners_to_whole_pixels():
    boxes = np.array([[0, 0, 500, 375], [1, 2, 499, 374], [3, 5, 7, 11], [-3, -3, 501, 400]])
    got = WSOL.true_boxes(boxes.astype(np.float64), (500, 375))
    assert got.tolist() == [
        [int(a * 224 / 500), int(b * 224 / 375), int(c * 224 / 500), int(d * 224 / 375)]
        for a, b, c, d in boxes.tolist()
    ]
    assert got[0].tolist() == [0, 0, 224, 224]
    assert got[3].tolist() == [-1, -1, 224, 238]  # toward zero, nothing clipped


def test_wsolevaluation_compares_eight_bits_with_a_whole_threshold():
    loc_map = np.array([[100.9, 101, 200, 0]], dtype=np.float32) / np.float32(255)
    levels, cuts = WSOL.quantize(loc_map, np.array([0, 0.5, 0.505, 0.999]))
    assert levels.tolist() == [[100, 101, 200, 0]]
    assert cuts.tolist() == [0, 100, 101, 199]  # of the map's own maximum, 200
    sweep = sweep_map(loc_map, NO_BOXES, np.array([0, 0.5, 0.505, 0.999]), WSOL)
    assert sweep.boxes[0, :, [0, 2]].T.tolist() == [[0, 3], [1, 3], [2, 3], [2, 3]]


def test_an_empty_mask_is_the_first_pixel_for_wsolevaluation():
    sweep = sweep_map(
        np.zeros((224, 224), np.float32), np.array([[0, 0, 1, 1.0]]), WSOL.thresholds(9), WSOL
    )
    assert sweep.iou[0].tolist() == sweep.iou_all.tolist() == [0.25] * 10
    assert not sweep.boxes.any()


def test_wsolevaluations_boxes_are_a_pixel_too_large_except_at_the_border():
    loc_map = np.zeros((224, 224), np.float32)
    loc_map[10:20, 30:50] = 1
    exact = np.array([[30, 10, 49, 19.0]])  # inclusive
    sweep = sweep_map(loc_map, exact, np.array([0.5]), WSOL)
    assert sweep.iou[0, 0] == 200 / (21 * 11)
    corner = np.zeros((224, 224), np.float32)
    corner[200:, 200:] = 1
    whole = sweep_map(corner, np.array([[200, 200, 223, 223.0]]), np.array([0.5]), WSOL)
    assert whole.iou[0, 0] == 1
    assert whole.boxes[0, 0].tolist() == [200, 200, 224, 224]


# ---- IoU of inclusive boxes ----

corners = st.integers(-6, 12)
whole_boxes = st.lists(st.tuples(*[corners] * 4), min_size=1, max_size=4).map(
    lambda rows: np.array(
        [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows], dtype=np.float64
    )
)


@given(whole_boxes, whole_boxes, st.booleans())
def test_iou_by_counting_pixels(boxes, others, inclusive):
    got = box_iou(boxes, others, inclusive=inclusive)
    for row, first in enumerate(boxes):
        for column, second in enumerate(others):
            one = pixels_of(first, 13, inclusive=inclusive)
            two = pixels_of(second, 13, inclusive=inclusive)
            union = (one | two).sum()
            assert got[row, column] == ((one & two).sum() / union if union else 0)
    assert best_iou(boxes, others, inclusive=inclusive).tolist() == got.max(axis=1).tolist()


def test_an_inclusive_box_of_one_pixel_meets_itself():
    pixel = np.array([[3, 4, 3, 4]])
    assert box_iou(pixel, pixel, inclusive=True)[0, 0] == 1
    assert box_iou(pixel, pixel)[0, 0] == 0
    assert best_iou(pixel, NO_BOXES, inclusive=True).tolist() == [0]


# ---- Maps ----


def test_wsolevaluation_resizes_by_cubics():
    raw = np.random.default_rng(13).random((14, 14), np.float32)
    cubic = cv2.resize(raw, (224, 224), interpolation=cv2.INTER_CUBIC)
    want = (cubic - cubic.min()) / np.ptp(cubic)
    assert WSOL.loc_map(raw, (500, 375)) == pytest.approx(want, abs=1e-6)
    assert np.abs(WSOL.loc_map(raw, (500, 375)) - localization_map(raw, (224, 224))).max() > 0.02


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("magnitude", [1e36, 1e38, 3.4e38])
def test_maps_near_the_end_of_float32_do_not_overflow(name, magnitude):
    low = np.random.default_rng(14).uniform(-1, 1, (7, 7))
    low[0, 0], low[0, 1] = -1, 1
    with np.errstate(all="raise", under="ignore"):
        huge = PROTOCOLS[name].loc_map((low * magnitude).astype(np.float32), (40, 30))
    assert huge == pytest.approx(
        PROTOCOLS[name].loc_map(low.astype(np.float32), (40, 30)), abs=1e-5
    )


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.sampled_from([cv2.INTER_LINEAR, cv2.INTER_CUBIC]),
)
def test_every_finite_map_spans_zero_to_one(raw, interpolation):
    loc_map = localization_map(raw, (9, 7), interpolation=interpolation)
    assert loc_map.dtype == np.float32
    assert loc_map.min() == 0
    assert loc_map.max() in (0, 1)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_empty(name, bad):
    raw = np.arange(9, dtype=np.float32).reshape(3, 3)
    raw[1, 2] = bad
    assert not PROTOCOLS[name].loc_map(raw, (7, 5)).any()
