"""Intervals over images and seeds. Pure functions of ``[seeds, images]`` arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS_AT_A_TIME = 1 << 20  # some 40 MB, whatever the numbers of images and resamples


class Interval(NamedTuple):
    """A mean and where it may lie."""

    mean: float
    low: float
    high: float


def two_way_interval(
    values: NDArray[np.float64],
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> Interval:
    """Return the mean of ``values`` and its percentile interval over seeds *and* images.

    The crossed ("pigeonhole") bootstrap: rows and columns are resampled independently, so that
    the interval covers both another set of test images and another training (Owen, Annals of
    Applied Statistics 2007; PROTOCOL 14). With one seed it is the plain bootstrap over images. For
    a paired difference, give the differences.

    Args:
        values: ``Float[S, N]``, one row a seed, one column an image; the same images in each row.
        resamples: number of bootstrap samples.
        confidence: e.g. 0.95.
        rng: source of the samples.

    Example:
        >>> two_way_interval(np.ones((2, 5)), resamples=100, confidence=0.95,
        ...                  rng=np.random.default_rng(0))
        Interval(mean=1.0, low=1.0, high=1.0)
    """
    seeds, images = values.shape
    # A resample is how often each seed and each image is drawn: the mean of the resampled table is
    # rows @ values @ columns over all draws. Resamples come in parts, so that memory stays bounded.
    row_counts = resample_counts(seeds, resamples, rng)  # [R, S]
    parts = -(-resamples * images // DRAWS_AT_A_TIME)
    sums = [
        ((rows @ values) * resample_counts(images, len(rows), rng)).sum(axis=1)
        for rows in np.array_split(row_counts, min(parts, resamples))
    ]
    means = np.concatenate(sums) / (seeds * images)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def seed_spread(values: NDArray[np.float64]) -> float:
    """Return the standard deviation between the seeds' means (0 for one seed).

    Args:
        values: ``Float[S, N]``.
    """
    means = values.mean(axis=1)
    return float(means.std(ddof=1)) if len(means) > 1 else 0.0


def verdict(gain: Interval) -> str:
    """Judge a claim "A has a lower error than B" by the interval of B's error minus A's.

    ``reproduced`` when all of it is above 0, ``not reproduced`` when none of it is, ``undecided``
    otherwise (PROTOCOL 14).
    """
    if gain.low > 0:
        return "reproduced"
    return "not reproduced" if gain.high <= 0 else "undecided"


def resample_counts(size: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how often each of ``size`` items is drawn in each resample, ``Int[R, size]``."""
    draws = rng.integers(size, size=(resamples, size)) + size * np.arange(resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=resamples * size).reshape(resamples, size)
