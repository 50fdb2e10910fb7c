"""How sure a paired gain is: tests, their correction for several claims, and what a size can see.

Pure functions. The gain of an image is the worse side's error minus the better side's; the gains of
several seeds are ``Float[S, N]``, one row a seed, one column an image (PROTOCOL 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Needed(NamedTuple):
    """What a gain would be seen with; see :func:`needed`."""

    seeds: float
    """At the number of images that there are."""
    images: float
    """At the number of seeds that there are."""


def mcnemar(gains: NDArray[np.float64]) -> float:
    """Return the exact two-sided p of McNemar's test, one vote an image.

    Pairs of several seeds on one image are not independent, so they are not pooled: an image votes
    for the side with fewer errors over all seeds, and a tie does not vote. With one seed that is
    McNemar's test; with several it is the sign test over images. Either way it speaks of these
    trainings alone: another seed is not what it asks about.

    Args:
        gains: ``Float[S, N]``.

    Example:
        >>> mcnemar(np.array([[1.0, 1, 1, 1, 1, -1, 0, 0]]))  # 5 against 1
        0.21875
    """
    votes = np.sign(gains.sum(axis=0))
    wins, losses = int((votes > 0).sum()), int((votes < 0).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of the resampled means of ``intervals.two_way_interval``.

    In closed form, with the mean square of a row's, a column's and what is left of a value's
    distance from the mean (Owen, Annals of Applied Statistics 2007, for a table without gaps):
    ``rows / S + columns / N + rest / (S N)``.

    Args:
        values: ``Float[S, N]``.

    Example:
        >>> standard_error(np.array([[0.0, 0, 1, 1]]))  # one seed: sqrt(p (1 - p) / N)
        0.25
    """
    seeds, images = values.shape
    rows, columns, rest = _parts(values)
    return float(np.sqrt(rows / seeds + columns / images + rest / values.size))


def needed(values: NDArray[np.float64], gain: float, *, level: float, wanted: float) -> Needed:
    """Return how many seeds, and how many images, a gain would be seen with.

    The parts of :func:`standard_error` that belong to seeds, to images and to both shrink with
    their numbers; one number is changed while the other stays.

    Args:
        values: ``Float[S, N]``, whose spread is taken.
        gain: the true gain, at least 0.
        level: of the two-sided test.
        wanted: probability of seeing it; see :func:`power`.

    Returns:
        numbers of at least 1; infinity where no number is enough, NaN where no spread was seen.

    Example:
        >>> needed(np.array([[0.0, 0, 1, 1]]), 0.7, level=0.05, wanted=0.8)  # (0.5 / 0.25) ** 2
        Needed(seeds=inf, images=5.0)
    """
    error = gain / (stats.norm.isf(level / 2) + stats.norm.ppf(wanted))
    rows, columns, rest = _parts(values)
    if rows + columns + rest == 0:
        return Needed(np.nan, np.nan)
    seeds, images = values.shape
    left_of_images, left_of_seeds = error**2 - columns / images, error**2 - rows / seeds
    return Needed(
        _ceiled((rows + rest / images) / left_of_images) if left_of_images > 0 else np.inf,
        _ceiled((columns + rest / seeds) / left_of_seeds) if left_of_seeds > 0 else np.inf,
    )


def _ceiled(number: float) -> float:
    return float(max(1.0, np.ceil(number)))


def _parts(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the variances of rows, of columns and of what is left (:func:`standard_error`)."""
    centered = values - values.mean()
    rows, columns = centered.mean(axis=1), centered.mean(axis=0)
    rest = centered - rows[:, None] - columns
    return float(np.mean(rows**2)), float(np.mean(columns**2)), float(np.mean(rest**2))


def two_sided_p(gain: float, error: float) -> float:
    """Return the two-sided p of a gain with this standard error, normal approximation.

    1 for no gain at all, whatever the error.
    """
    return float(2 * stats.norm.sf(abs(gain) / error)) if error > 0 else float(gain == 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given.

    Claims with an adjusted p up to alpha are wrong about a direction, any of them, with probability
    alpha at most, whatever the dependence between them (Holm, Scandinavian J. of Statistics 1979).

    Example:
        >>> holm([0.25, 0.01, 0.125])
        [0.25, 0.03, 0.25]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def power(gain: float, error: float, *, level: float) -> float:
    """Return how probably a true ``gain`` is seen: its two-sided test says above 0.

    Args:
        gain: the true gain.
        error: standard error of the estimate; at 0 no spread was seen and the power is NaN.
        level: of the two-sided test, e.g. 0.05.

    Example:
        >>> round(power(2.8, 1.0, level=0.05), 2)
        0.8
    """
    return float(stats.norm.cdf(gain / error - stats.norm.isf(level / 2))) if error > 0 else np.nan


def detectable(error: float, *, level: float, wanted: float) -> float:
    """Return the smallest true gain that is seen with probability ``wanted``; see :func:`power`."""
    return (
        float(error * (stats.norm.isf(level / 2) + stats.norm.ppf(wanted))) if error > 0 else np.nan
    )
