"""Cross-fitted thresholds: no image chooses its own, and the intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.compare.cross_fitted import (
    draw_within,
    fitted_interval,
    resampled_means,
    resampled_places,
)
from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.evaluate.cross_fitting import cross_fitted_places, deal_folds, fold_count
from spg.evaluate.image_errors import select_places, select_threshold


def wrong_of(count, thresholds, rng, spread=0.15):
    """Whether each threshold is wrong for each image: right around a place of the image's own."""
    center, width = rng.normal(0.35, spread, count), rng.exponential(0.12, count)
    return np.abs(thresholds - center[:, None]) >= width[:, None]


# ---- Folds ----


@given(st.lists(st.integers(0, 5), min_size=100, max_size=180), st.integers(2, 10))
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
    places = cross_fitted_places(wrong, folds)
    for fold in range(5):
        changed = wrong.copy()
        changed[folds == fold] = rng.integers(2, size=changed[folds == fold].shape)
        assert cross_fitted_places(changed, folds)[fold] == places[fold]
        best = select_threshold(wrong[folds != fold].mean(axis=0), thresholds)
        assert thresholds[places[fold]] == best


@pytest.mark.parametrize(
    ("tests", "others", "wanted", "count"),
    [
        (500, [TRAIN_WEAKSUP], 5, 5),
        (500, [TRAIN_WEAKSUP], None, None),
        (500, [TRAIN_WEAKSUP, TRAIN_FULLSUP], 5, None),
        (99, [TRAIN_WEAKSUP], 5, 4),
        (40, [TRAIN_WEAKSUP], 5, 2),
        (39, [TRAIN_WEAKSUP], 5, None),
    ],
)
def test_folds_are_large_enough_and_none_where_images_are_held_out(tests, others, wanted, count):
    splits = np.array([*others, *[TEST] * tests])
    manifest = {"split": splits, "boxes": [[(0, 0, 1, 1)]] * len(splits)}
    assert fold_count(manifest, wanted) == count
    boxless = manifest | {"boxes": [[]] * len(splits)}
    assert fold_count(boxless, wanted) is None


def test_folds_are_dealt_where_held_out_images_have_pseudo_boxes_alone():
    splits = np.array([TRAIN_WEAKSUP, *[TRAIN_FULLSUP] * 5, *[TEST] * 100])
    boxes = [[], *[[]] * 5, *[[(0, 0, 1, 1)]] * 100]
    assert fold_count({"split": splits, "boxes": boxes}, 5) == 5


def middle_of_the_longest_run(errors):
    best, runs = min(errors), [[]]
    for place, error in enumerate(errors):
        if error == best:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return longest[(len(longest) - 1) // 2]


@given(st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), min_size=1, max_size=9))
def test_places_of_many_choices_are_those_of_a_loop(rows):
    errors = np.array(rows)
    assert select_places(errors).tolist() == [middle_of_the_longest_run(row) for row in rows]
    assert select_threshold(errors[0], np.arange(7) / 7) == select_places(errors)[0] / 7


# ---- Resamples ----


def test_a_resample_is_the_whole_procedure_on_the_drawn_images():
    """Against a table with the drawn images repeated, cross-fitted by itself."""
    rng = np.random.default_rng(1)
    wrong = wrong_of(40, np.arange(1, 20) / 20, rng)
    values, folds = rng.random((40, 19)) < 0.5, deal_folds(np.zeros(40), 4)
    images = draw_within(folds, 8, rng)
    places = resampled_places(wrong, folds, images)
    found = resampled_means(values, places, folds, images)
    for resample in range(8):
        drawn = np.repeat(np.arange(40), images[resample])
        chosen = cross_fitted_places(wrong[drawn], folds[drawn])
        assert np.array_equal(places[resample], chosen)
        assert found[resample] == pytest.approx(values[drawn, chosen[folds[drawn]]].mean())


def test_folds_of_unequal_size_weigh_by_their_images():
    folds = np.array([0] * 30 + [1] * 10)
    values, images = np.repeat([[True], [False]], [30, 10], axis=0), np.ones((1, 40), np.uint16)
    assert resampled_means(values, np.zeros((1, 2), int), folds, images) == [0.75]


def test_the_interval_of_resampled_means_is_that_of_both_draws():
    """One seed that varies over images, and seeds that differ alone, by their known spreads."""
    rng = np.random.default_rng(0)
    images = rng.normal(0.4, 0.02, (20_000, 1))
    interval, error = fitted_interval(images, 0.4, confidence=0.95, rng=rng)
    assert interval.mean == 0.4
    assert np.allclose(interval[1:], (0.4 - 1.96 * 0.02, 0.4 + 1.96 * 0.02), atol=0.002)
    assert error == pytest.approx(0.02, rel=0.03)
    seeds = np.tile([0.3, 0.5], (20_000, 1))
    interval, error = fitted_interval(seeds, 0.4, confidence=0.95, rng=rng)
    assert interval[1:] == (0.3, 0.5)
    assert error == pytest.approx(0.1 / np.sqrt(2), rel=0.03)


def test_every_resample_keeps_the_size_of_every_fold():
    folds = deal_folds(np.arange(53) % 4, 5)
    counts = draw_within(folds, 50, np.random.default_rng(0))
    for fold in range(5):
        assert (counts[:, folds == fold].sum(axis=1) == (folds == fold).sum()).all()


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.05, 0.15, 0.3])
def test_intervals_cover_where_fixed_thresholds_would_not(spread):
    """The mean of the procedure over new sets of 200 images, by intervals of 95 %."""
    rng = np.random.default_rng(2)
    thresholds = np.arange(1, 40) / 40
    folds, once = deal_folds(np.zeros(200), 5), np.ones((1, 200), dtype=np.uint16)
    means, intervals = [], []
    for _ in range(200):
        wrong = wrong_of(200, thresholds, rng, spread)
        for drawn, kept in ((once, means), (draw_within(folds, 200, rng), intervals)):
            found = resampled_means(wrong, resampled_places(wrong, folds, drawn), folds, drawn)
            kept.append(found[0] if drawn is once else np.quantile(found, [0.025, 0.975]))
    low, high = np.transpose(intervals)
    target = np.mean(means)
    assert np.mean((low <= target) & (target <= high)) >= 0.94


@pytest.mark.slow
def test_intervals_of_gains_cover_new_images_and_new_seeds():
    """Two methods with six seeds each, on sets of 200 images whose difficulty all of them share."""
    rng = np.random.default_rng(3)
    thresholds = np.arange(1, 40) / 40
    folds, once = deal_folds(np.zeros(200), 5), np.ones((1, 200), dtype=np.uint16)
    gains, intervals = [], []
    for _ in range(120):
        center, width = rng.normal(0.35, 0.15, 200), rng.exponential(0.12, 200)
        drawn = draw_within(folds, 200, rng)
        whole, resampled = np.zeros(6), np.zeros((200, 6))
        for sign, ease in ((1, 0.0), (-1, 0.03)):
            for seed in range(6):
                own = center + rng.normal(0, 0.1) + rng.normal(0, 0.05, 200)
                reach = width + ease + rng.normal(0, 0.02)
                wrong = np.abs(thresholds - own[:, None]) >= reach[:, None]
                for images, kept in ((once, whole[None]), (drawn, resampled)):
                    places = resampled_places(wrong, folds, images)
                    kept[:, seed] += sign * resampled_means(wrong, places, folds, images)
        gains.append(whole.mean())
        interval, _ = fitted_interval(resampled, whole.mean(), confidence=0.95, rng=rng)
        intervals.append(interval[1:])
    low, high = np.transpose(intervals)
    target = np.mean(gains)
    assert np.mean((low <= target) & (target <= high)) >= 0.9
