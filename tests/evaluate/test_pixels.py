"""PxAP against ranked pixels one by one, and against wsolevaluation's way of counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate.metrics.pixels import (
    iou_shares,
    peak_shares,
    pixel_average_precision,
    pixel_histogram,
    pixel_iou,
)
from spg.evaluate.metrics.protocols import PROTOCOLS

values = st.sampled_from([0, 1, 0.5, 0.25, 0.1, 0.7, 0.001, 0.999]) | st.floats(0, 1, width=32)
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
images = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=values),
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])),
    )
)
grids = st.tuples(st.sampled_from(list(PROTOCOLS.values())), st.sampled_from([1, 4, 9, 99])).map(
    lambda pair: pair[0].thresholds(pair[1])
)


def precision_by_ranking(loc_maps, masks, thresholds):
    """The precision at each object pixel's rank, in the mean; pixels of one step share a rank."""
    scores = np.concatenate([loc_map.ravel() for loc_map in loc_maps]).astype(np.float64)
    truth = np.concatenate([mask.ravel() for mask in masks])
    steps = [sum(score >= t for t in (*thresholds, 1.0)) for score in scores]
    pixels = [(step, kind) for step, kind in zip(steps, truth, strict=True) if kind != 255]
    objects = [step for step, kind in pixels if kind == 1]
    if not objects:
        return None
    precisions = []
    for step in objects:
        passed = [kind for other, kind in pixels if other >= step]
        precisions.append(passed.count(1) / len(passed))
    return float(np.mean(precisions))


def precision_as_published(loc_maps, masks, thresholds):
    """np.histogram between thresholds that begin at 0, then precision and recall from above."""
    edges = np.append(thresholds, [1.0, 2.0, 3.0])
    true = np.histogram(loc_maps[masks == 1], edges)[0]
    false = np.histogram(loc_maps[masks == 0], edges)[0]
    tp, fp = true[::-1].cumsum(), false[::-1].cumsum()
    some = tp + fp > 0
    precision = np.where(some, tp / np.maximum(tp + fp, 1), 0)
    recall = tp / tp[-1]
    return float((precision[1:] * np.diff(recall))[some[1:]].sum())


def ours(loc_maps, masks, thresholds):
    return pixel_average_precision(
        sum(pixel_histogram(a, b, thresholds) for a, b in zip(loc_maps, masks, strict=True))
    )


@given(st.lists(images, min_size=1, max_size=3), grids)
def test_precision_is_that_of_ranked_pixels(pairs, thresholds):
    loc_maps, masks = zip(*pairs, strict=True)
    want = precision_by_ranking(loc_maps, masks, thresholds)
    got = ours(loc_maps, masks, thresholds)
    assert got == want if want is None else got == pytest.approx(want, rel=1e-12)


def test_precision_is_that_of_wsolevaluations_histogram():
    rng = np.random.default_rng(0)
    thresholds = PROTOCOLS["wsolevaluation"].thresholds(999)
    loc_maps = rng.random((5, 224, 224), dtype=np.float32) ** 2
    loc_maps[:, 0, 0], loc_maps[:, 3, :40] = 1, 0
    object_pixels = rng.random(loc_maps.shape) < 0.2 + 0.5 * loc_maps
    masks = np.where(rng.random(loc_maps.shape) < 0.1, 255, object_pixels).astype(np.uint8)
    want = precision_as_published(loc_maps, masks, thresholds)
    assert ours(loc_maps, masks, thresholds) == pytest.approx(want, rel=1e-12)


@given(images, grids)
def test_every_pixel_that_is_not_ignored_is_counted_once(image, thresholds):
    loc_map, mask = image
    histogram = pixel_histogram(loc_map, mask, thresholds)
    assert histogram.dtype == np.int64
    assert histogram.shape == (2, len(thresholds) + 2)
    assert histogram.sum(axis=1).tolist() == [(mask == 0).sum(), (mask == 1).sum()]


def test_columns_count_the_thresholds_that_a_pixel_reaches():
    loc_map = np.array([[0.1, 0.25, 0.5, 0.75, 0.99, 1.0]], dtype=np.float32)
    mask = np.array([[0, 0, 1, 255, 1, 1]], dtype=np.uint8)
    histogram = pixel_histogram(loc_map, mask, np.array([0.25, 0.5, 0.75]))
    assert histogram.tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]


def test_precision_made_by_hand():
    # from the highest step down: 1 object; 1 object and 1 other; 2 others; 2 objects
    histogram = np.array([[0, 2, 1, 0], [2, 0, 1, 1]])
    want = (1 / 1 + 2 / 3 + 2 * 4 / 7) / 4
    assert pixel_average_precision(histogram) == pytest.approx(want)


def test_a_map_of_zeros_scores_the_objects_share():
    """All pixels share one rank."""
    mask = np.zeros((10, 10), dtype=np.uint8)
    mask[:3] = 1
    for protocol in PROTOCOLS.values():
        got = ours([np.zeros((10, 10), np.float32)], [mask], protocol.thresholds(9))
        assert got == pytest.approx(0.3)


@pytest.mark.parametrize("kind", [0, 255])
def test_without_a_pixel_of_an_object_there_is_no_precision(kind):
    mask = np.full((4, 4), kind, dtype=np.uint8)
    loc_map = np.eye(4, dtype=np.float32)
    assert ours([loc_map], [mask], PROTOCOLS["paper"].thresholds(9)) is None


def test_the_best_and_the_worst_map():
    mask = np.zeros((4, 5), dtype=np.uint8)
    mask[1:3, 1:3] = 1
    thresholds = PROTOCOLS["paper"].thresholds(9)
    assert ours([mask.astype(np.float32)], [mask], thresholds) == 1
    assert ours([1 - mask.astype(np.float32)], [mask], thresholds) == pytest.approx(4 / 20)


# ---- pIoU ----


def masks_and_maps(seed, count=4, shape=(6, 7)):
    rng = np.random.default_rng(seed)
    return rng.random((count, *shape)).round(1), rng.random((count, *shape)) < 0.3


@pytest.mark.parametrize("seed", range(20))
def test_pixel_iou_is_that_of_a_loop_over_pixels(seed):
    maps, masks = masks_and_maps(seed)
    thresholds = np.arange(1, 10) / 10
    histogram = sum(
        pixel_histogram(one.astype(np.float32), mask.astype(np.uint8), thresholds)
        for one, mask in zip(maps, masks, strict=True)
    )
    for threshold, found in zip(thresholds, pixel_iou(histogram), strict=True):
        inside = either = 0
        for one, mask in zip(maps.astype(np.float32), masks, strict=True):
            for value, is_object in zip(one.ravel(), mask.ravel(), strict=True):
                inside += bool(value >= threshold and is_object)
                either += bool(value >= threshold or is_object)
        assert found == (inside / either if either else 0)


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_pixel_iou_have_it_as_their_mean_and_its_slopes(seed):
    """A share is what the number changes by, per weight of one more copy of the image."""
    maps, masks = masks_and_maps(seed, count=5)
    thresholds = np.arange(1, 10) / 10
    each = np.stack([
        pixel_histogram(one.astype(np.float32), mask.astype(np.uint8), thresholds)
        for one, mask in zip(maps, masks, strict=True)
    ])  # fmt: skip
    total = each.sum(axis=0)
    shares = peak_shares(total, each, images=5)
    peak = pixel_iou(total).max()
    assert shares.mean() == pytest.approx(peak)
    place = int(pixel_iou(total).argmax())
    for share, own in zip(shares, each, strict=True):
        more = (1e6 * total + own) / 1e6  # a little more of this image
        inside = more[1, place + 1 :].sum()
        grown = inside / (more[0, place + 1 :].sum() + more[1].sum())
        assert share == pytest.approx(peak + 5 * 1e6 * (grown - peak), abs=1e-3)


def test_pixel_iou_without_any_pixel():
    nothing = np.zeros((2, 5), dtype=np.int64)
    assert pixel_iou(nothing).tolist() == [0, 0, 0]
    assert np.isnan(iou_shares(np.zeros(2, int), np.zeros(2, int), (0, 0), images=2)).all()
