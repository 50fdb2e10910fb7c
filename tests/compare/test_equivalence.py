"""New seeds against committed ones: how often each word is wrong, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spg.compare.statistics.equivalence import (
    CANNOT_TELL,
    DIFFERENT,
    SAME,
    Committed,
    chance_of_same,
    compare_seeds,
)

STD = 0.012
RUNS = 4000


def words(difference, committed, new, *, margin, seed=0):
    """How often each word is said when the true means are ``difference`` apart."""
    rng = np.random.default_rng(seed)
    said = {SAME: 0, DIFFERENT: 0, CANNOT_TELL: 0}
    for _ in range(RUNS):
        old = rng.normal(0.4, STD, committed)
        own = rng.normal(0.4 + difference, STD, new)
        known = Committed(float(old.mean()), float(old.std(ddof=1)), committed)
        said[compare_seeds(known, own.tolist(), margin=margin).verdict] += 1
    return {word: count / RUNS for word, count in said.items()}


@pytest.mark.parametrize(("committed", "new"), [(8, 1), (8, 3), (3, 3), (2, 1), (8, 8)])
@pytest.mark.parametrize("margin", [0.005, 0.02, 0.05])
def test_false_alarms_are_five_per_cent_at_most(committed, new, margin):
    """Three standard errors of the simulation are allowed on top."""
    found = words(0.0, committed, new, margin=margin)
    assert found[DIFFERENT] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("new", [1, 3, 8])
def test_a_difference_of_the_margin_is_rarely_called_the_same(new):
    found = words(0.02, 8, new, margin=0.02)
    assert found[SAME] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize(("new", "margin"), [(1, 0.02), (3, 0.02), (8, 0.02), (3, 0.05)])
def test_the_stated_chance_is_that_of_the_simulation(new, margin):
    found = words(0.0, 8, new, margin=margin)
    stated = chance_of_same(Committed(0.4, STD, 8), new, margin=margin)
    assert found[SAME] == pytest.approx(stated, abs=0.025)


def test_a_large_difference_is_seen():
    assert words(0.08, 8, 3, margin=0.02)[DIFFERENT] > 0.95


def test_the_tests_are_those_of_scipy():
    rng = np.random.default_rng(3)
    old, new = rng.normal(0.4, STD, 8), rng.normal(0.41, STD, 4)
    known = Committed(float(old.mean()), float(old.std(ddof=1)), 8)
    found = compare_seeds(known, new.tolist(), margin=0.02)
    assert found.p_different == pytest.approx(stats.ttest_ind(new, old).pvalue)
    below = stats.ttest_ind(new, old + 0.02, alternative="less").pvalue
    above = stats.ttest_ind(new, old - 0.02, alternative="greater").pvalue
    assert found.p_same == pytest.approx(max(below, above))
    interval = stats.ttest_ind(new, old).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.verdict == SAME) == (found.low >= -0.02 and found.high <= 0.02)


def test_without_any_spread_the_means_decide():
    known = Committed(0.4, 0.0, 3)
    assert compare_seeds(known, [0.4, 0.4], margin=0.01).verdict == SAME
    assert compare_seeds(known, [0.405, 0.405], margin=0.01).verdict == SAME
    assert compare_seeds(known, [0.5, 0.5], margin=0.01).verdict == DIFFERENT


@pytest.mark.parametrize(
    ("seeds", "new", "margin"), [(1, [0.4], 0.01), (3, [], 0.01), (3, [0.4], 0.0)]
)
def test_too_little_is_refused(seeds, new, margin):
    with pytest.raises(ValueError, match="are needed"):
        compare_seeds(Committed(0.4, 0.01, seeds), new, margin=margin)
