"""Maps brought to [0, 1] in four ways: against plain Python, one value at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.normalization import NORMALIZATIONS, ivr, normalizers
from spg.evaluate.metrics.protocols import PROTOCOLS

NAMES = ("min_max", "max", "pas", "ivr")
PERCENTILES = (0.0, 0.05, 0.3, 0.5, 0.95, 0.999)


def plain(name, values, percentile=None):
    """Normalize by Python's own floats, which are float64."""
    flat = values.ravel().tolist()
    if not all(map(math.isfinite, flat)) or min(flat) == max(flat):
        return np.zeros_like(values)
    if name == "min_max":
        found = [(x - min(flat)) / (max(flat) - min(flat)) for x in flat]
    elif name == "max":
        top = max(flat)
        found = [max(x, 0.0) / top if top > 0 else 0.0 for x in flat]
    elif name == "pas":
        shifted = [x - min(flat) for x in flat]
        standard = sorted(shifted)[int(0.9 * len(flat))]
        found = [min(x / standard, 1.0) if standard else float(x > 0) for x in shifted]
    else:
        infimum = sorted(flat)[int(percentile * len(flat))]
        shifted = [max(x - infimum, 0.0) for x in flat]
        found = [x / max(shifted) if max(shifted) > 0 else 0.0 for x in shifted]
    return np.array(found).reshape(values.shape)


def ways(name):
    """Every normalization of a name with the setting that it has."""
    if name == "ivr":
        return [
            (one, p) for one, p in zip(normalizers(name, PERCENTILES), PERCENTILES, strict=True)
        ]
    return [(normalizers(name, PERCENTILES)[0], None)]


def same(name, values):
    for normalize, percentile in ways(name):
        before = values.copy()
        got = normalize(values)
        assert got.dtype == values.dtype
        assert got.tobytes() == (plain(name, values, percentile) + 0.0).tobytes()
        assert values.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_each_is_its_plain_formula_to_the_last_bit(name):
    """Thousands of maps: smooth, spiky, with ties, shifted below zero, of all magnitudes."""
    rng = np.random.default_rng(0)
    for number in range(2000):
        shape = tuple(rng.integers(1, 9, 2))
        values = rng.normal(size=shape) if number % 2 else rng.integers(-3, 4, shape) / 2
        values = values * 10.0 ** rng.integers(-12, 13) + rng.choice([0, -5, 5])
        same(name, values.astype(np.float64))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300, deadline=None)
@given(
    values=arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]),
    )
)
def test_ties_and_plateaus_too(name, values):
    same(name, values)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 4), 7.0), np.full((3, 4), -7.0), np.zeros((1, 1)),
        np.array([[0.0, np.nan]]), np.array([[np.inf, 1.0]]), np.array([[-np.inf, 1.0]]),
    ],
    ids=["constant", "negative", "one pixel", "NaN", "infinity", "-infinity"],
)  # fmt: skip
def test_what_no_threshold_can_cut_is_zeros(name, values):
    for normalize, _ in ways(name):
        assert not normalize(values).any()
        assert normalize(values).shape == values.shape


def test_wholly_negative_maps_keep_their_order_but_under_max():
    values = np.array([[-4.0, -3.0], [-2.0, -1.0]])
    assert NORMALIZATIONS["min_max"](values).tolist() == [[0, 1 / 3], [2 / 3, 1]]
    assert not NORMALIZATIONS["max"](values).any()
    assert NORMALIZATIONS["pas"](values).tolist() == [[0, 1 / 3], [2 / 3, 1]]
    assert ivr(values, 0.5).tolist() == [[0, 0], [0, 1]]


def test_a_few_peaks_leave_the_rest_its_range_under_pas_alone():
    values = np.linspace(0, 1, 100).reshape(10, 10)
    values[0, 0] = 100
    assert NORMALIZATIONS["pas"](values)[4, 5] > 0.4
    for name in ("min_max", "max"):
        assert NORMALIZATIONS[name](values)[4, 5] < 0.01


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", NAMES)
def test_maps_of_every_protocol_lie_in_the_unit_range(protocol, name):
    rng = np.random.default_rng(1)
    for raw in (rng.normal(size=(7, 9)), -rng.random((5, 5)), 3e38 * rng.random((4, 4))):
        for normalize, _ in ways(name):
            found = PROTOCOLS[protocol].loc_map(
                raw.astype(np.float32), (40, 30), normalize=normalize
            )
            assert np.isfinite(found).all()
            assert found.min() >= 0
            assert found.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_resized_before_it_is_normalized(name):
    raw = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    for normalize, percentile in ways(name):
        found = localization_map(raw, (31, 17), normalize=normalize)
        large = localization_map(raw, (31, 17), normalize=lambda values: values)
        want = plain(name, large.astype(np.float64), percentile)
        assert np.allclose(found, want, atol=1e-5)
