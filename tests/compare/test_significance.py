"""Tests, correction and power against enumeration, closed forms and simulation."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.compare.statistics.intervals import two_way_interval
from spg.compare.statistics.significance import (
    detectable,
    holm,
    mcnemar,
    power,
    standard_error,
    two_sided_p,
)


def paired(wins, losses, ties=3):
    """One seed's gains with that many discordant images on each side."""
    return np.array([[1.0] * wins + [-1.0] * losses + [0.0] * ties])


# ---- McNemar ----


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 1), (3, 9), (6, 6), (0, 12)])
def test_mcnemar_counts_every_way_the_discordant_images_could_have_fallen(wins, losses):
    found = abs(wins - losses)
    falls = [abs(sum(signs)) for signs in product((-1, 1), repeat=wins + losses)]
    want = sum(fall >= found for fall in falls) / len(falls)
    assert mcnemar(paired(wins, losses)) == pytest.approx(want)


def test_mcnemar_of_a_large_sample_is_the_chi_squared_of_the_textbook():
    wins, losses = 1300, 1200
    corrected = (abs(wins - losses) - 1) ** 2 / (wins + losses)
    want = scipy.stats.chi2.sf(corrected, 1)
    assert mcnemar(paired(wins, losses)) == pytest.approx(want, rel=0.01)


def test_mcnemar_does_not_care_which_side_is_which_nor_about_ties():
    assert mcnemar(paired(9, 2)) == mcnemar(paired(2, 9)) == mcnemar(paired(9, 2, ties=500))


def test_copies_of_a_seed_are_no_new_evidence():
    """Pooled pairs would make 24 votes of 8, and p 700 times smaller."""
    gains = paired(8, 0)
    assert mcnemar(np.tile(gains, (3, 1))) == mcnemar(gains) == pytest.approx(2 / 2**8)


def test_an_image_votes_once_by_the_sum_of_its_seeds():
    gains = np.array([[1.0, 1, 1, -1], [1, -1, 0, -1], [1, 0, 0, 1]])
    assert mcnemar(gains) == mcnemar(paired(2, 1))  # 3 wins, a tie, 1 win, 1 loss


def test_mcnemar_rejects_no_more_often_than_it_says():
    rng = np.random.default_rng(0)
    hard = rng.random((400, 1, 60))
    gains = (rng.random((400, 3, 60)) < hard).astype(float) - (rng.random((400, 3, 60)) < hard)
    assert np.mean([mcnemar(gain) <= 0.05 for gain in gains]) <= 0.05 + 0.02


# ---- Standard error and p ----

TABLES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    elements=st.sampled_from([-1.0, 0.0, 1.0]),
)


def test_the_standard_error_is_the_spread_of_the_bootstraps_means():
    rng = np.random.default_rng(1)
    for seeds, between in ((1, 0.0), (3, 0.0), (3, 0.3), (8, 0.1)):
        values = rng.random((seeds, 60)) + between * rng.standard_normal((seeds, 1))
        means = [
            values[np.ix_(rng.integers(seeds, size=seeds), rng.integers(60, size=60))].mean()
            for _ in range(6000)
        ]
        assert standard_error(values) == pytest.approx(np.std(means), rel=0.05)


@given(TABLES)
def test_the_standard_error_of_a_small_table_by_every_resample(values):
    seeds, images = values.shape
    means = [
        values[np.ix_(rows, columns)].mean()
        for rows in product(range(seeds), repeat=seeds)
        for columns in product(range(images), repeat=images)
    ]
    assert standard_error(values) == pytest.approx(np.std(means), abs=1e-9)


@pytest.mark.parametrize(("wins", "losses", "ties"), [(30, 10, 60), (5, 5, 90), (80, 20, 0)])
def test_one_seeds_error_is_that_of_paired_proportions(wins, losses, ties):
    images = wins + losses + ties
    gain, discordance = (wins - losses) / images, (wins + losses) / images
    want = math.sqrt((discordance - gain**2) / images)
    assert standard_error(paired(wins, losses, ties)) == pytest.approx(want)


@given(st.floats(-1, 1), st.floats(0.001, 1))
def test_p_is_at_most_the_level_where_a_normal_interval_leaves_0_out(gain, error):
    for level in (0.5, 0.05, 0.01):
        half = scipy.stats.norm.ppf(1 - level / 2) * error
        if abs(abs(gain) - half) > 1e-9:
            assert (two_sided_p(gain, error) < level) == (abs(gain) > half)


def test_p_without_spread():
    assert two_sided_p(0.0, 0.0) == 1
    assert two_sided_p(0.5, 0.0) == 0


# ---- Holm ----


def closed_testing(p_values):
    """Holm's procedure by its definition: a claim's p is the worst of all sets it belongs to."""
    places = range(len(p_values))
    sets = [s for size in places for s in combinations(places, size + 1)]
    return [
        max(min(1.0, len(s) * min(p_values[k] for k in s)) for s in sets if place in s)
        for place in places
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    assert holm(p_values) == pytest.approx(closed_testing(p_values))


def test_holm_of_no_claim_is_nothing():
    assert holm([]) == []


# ---- Power ----


def test_power_is_how_often_a_simulated_paired_test_sees_the_gain():
    """McNemar's exact test is simulated, the closed form knows nothing of it."""
    rng = np.random.default_rng(2)
    images, discordance, gain = 1000, 0.25, 0.05
    chances = [(discordance + gain) / 2, (discordance - gain) / 2, 1 - discordance]
    drawn = rng.multinomial(images, chances, size=1500)
    seen = np.mean([up > down and mcnemar(paired(up, down, 0)) <= 0.05 for up, down, _ in drawn])
    error = math.sqrt((discordance - gain**2) / images)
    assert power(gain, error, level=0.05) == pytest.approx(seen, abs=0.04)


def test_power_is_how_often_the_interval_of_all_seeds_lies_above_0():
    rng = np.random.default_rng(3)
    images, gain, hits, errors = 150, 0.06, 0, []
    for _ in range(300):
        shift = gain + 0.06 * rng.standard_normal((8, 1))
        values = shift + 0.3 * rng.standard_normal((8, images)) + 0.2 * rng.standard_normal(images)
        got = two_way_interval(values, resamples=300, confidence=0.95, rng=rng)
        hits += got.low > 0
        errors.append(standard_error(values))
    want = np.mean([power(gain, error, level=0.05) for error in errors])
    assert hits / 300 == pytest.approx(want, abs=0.1)


def test_without_a_gain_half_the_level_is_seen_above_0():
    assert power(0.0, 1.0, level=0.05) == pytest.approx(0.025)


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.5), st.floats(0.5, 0.99))
def test_the_detectable_gain_has_the_wanted_power(error, level, wanted):
    least = detectable(error, level=level, wanted=wanted)
    assert power(least, error, level=level) == pytest.approx(wanted)
    assert power(least * 1.01, error, level=level) > wanted


def test_no_spread_promises_nothing():
    assert math.isnan(power(0.1, 0.0, level=0.05))
    assert math.isnan(detectable(0.0, level=0.05, wanted=0.8))
