"""Cross-fitted thresholds: no image chooses its own, and the intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.compare.cross_fitted import Curves, draw_within, resampled_means
from spg.evaluate.cross_fitting import cross_fitted_places, deal_folds
from spg.evaluate.image_errors import select_threshold


def wrong_of(count, thresholds, rng, spread=0.15):
    """Whether each threshold is wrong for each image: right around a place of the image's own."""
    center, width = rng.normal(0.35, spread, count), rng.exponential(0.12, count)
    return np.abs(thresholds - center[:, None]) >= width[:, None]


# ---- Folds ----


@given(st.lists(st.integers(0, 5), min_size=10, max_size=80), st.integers(2, 10))
def test_folds_are_even_as_a_whole_and_in_every_class(class_ids, folds):
    classes = np.array(class_ids)
    dealt = deal_folds(classes, folds)
    sizes = np.bincount(dealt, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for class_id in np.unique(classes):
        own = np.bincount(dealt[classes == class_id], minlength=folds)
        assert own.max() - own.min() <= 1
    assert np.array_equal(dealt, deal_folds(classes, folds))


def test_no_image_changes_the_threshold_of_its_own_fold():
    rng = np.random.default_rng(0)
    thresholds = np.arange(1, 40) / 40
    wrong, folds = wrong_of(60, thresholds, rng), deal_folds(np.arange(60) % 3, 5)
    places = cross_fitted_places(wrong, folds, thresholds)
    for fold in range(5):
        changed = wrong.copy()
        changed[folds == fold] = rng.integers(2, size=changed[folds == fold].shape)
        assert cross_fitted_places(changed, folds, thresholds)[fold] == places[fold]
        best = select_threshold(wrong[folds != fold].mean(axis=0), thresholds)
        assert thresholds[places[fold]] == best


# ---- Resamples ----


def test_a_resample_is_the_whole_procedure_on_the_drawn_images():
    """Against a table with the drawn images repeated, cross-fitted by itself."""
    rng = np.random.default_rng(1)
    thresholds = np.arange(1, 20) / 20
    wrong = np.stack([wrong_of(30, thresholds, rng) for _ in range(3)])
    values, folds = rng.random((3, 30, 19)), deal_folds(np.zeros(30), 4)
    images = draw_within(folds, 8, rng)
    seeds = np.array([np.bincount(rng.integers(3, size=3), minlength=3) for _ in range(8)])
    found = resampled_means(Curves(wrong, values, folds, thresholds), seeds, images)
    for resample in range(8):
        drawn = np.repeat(np.arange(30), images[resample])
        chosen = []
        for seed in np.repeat(np.arange(3), seeds[resample]):
            places = cross_fitted_places(wrong[seed][drawn], folds[drawn], thresholds)
            chosen.append(values[seed][drawn, places[folds[drawn]]].mean())
        assert found[resample] == pytest.approx(np.mean(chosen))


def test_every_resample_keeps_the_size_of_every_fold():
    folds = deal_folds(np.arange(23) % 4, 5)
    counts = draw_within(folds, 50, np.random.default_rng(0))
    for fold in range(5):
        assert (counts[:, folds == fold].sum(axis=1) == (folds == fold).sum()).all()


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.05, 0.15, 0.3])
def test_intervals_cover_where_fixed_thresholds_would_not(spread):
    """The mean of the procedure over new sets of 200 images, by intervals of 95 %."""
    rng = np.random.default_rng(2)
    thresholds = np.arange(1, 40) / 40
    folds, one = deal_folds(np.zeros(200), 5), np.ones((200, 1), dtype=np.int64)
    once = np.ones((1, 200), dtype=np.int64)
    means, intervals = [], []
    for _ in range(200):
        wrong = wrong_of(200, thresholds, rng, spread)[None]
        curves = Curves(wrong, wrong.astype(np.float64), folds, thresholds)
        means.append(resampled_means(curves, one[:1], once)[0])
        drawn = resampled_means(curves, one, draw_within(folds, 200, rng))
        intervals.append(np.quantile(drawn, [0.025, 0.975]))
    low, high = np.transpose(intervals)
    target = np.mean(means)
    assert np.mean((low <= target) & (target <= high)) >= 0.94
