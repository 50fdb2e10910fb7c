"""PxAP against ranked pixels one by one, and against wsolevaluation's way of counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.evaluate.metrics.pixels import pixel_average_precision, pixel_histogram
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
