"""Are new trainings the same as committed ones? Not their bytes: the spread of their seeds.

Bytes are too strict across GPUs, and a difference of points alone is too loose: it says nothing of
how far two sets of seeds lie apart by chance. Both questions are asked of the means over the same
test images, one a seed, whose spread both sets share, since they come from the same procedure: is
the difference within a margin (two one-sided tests, Schuirmann, J. of Pharmacokinetics and
Biopharmaceutics 1987), and is it other than 0 (Student's t)? Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

SAME, DIFFERENT, CANNOT_TELL = "the same", "different", "cannot tell"
STEPS = 2000  # of the spread's distribution, in `chance_of_same`


class Committed(NamedTuple):
    """What is known of the committed seeds: each seed has one number."""

    mean: float
    std: float
    """Between the seeds, with ``n - 1``."""
    seeds: int
    """At least 2."""


class Equivalence(NamedTuple):
    """What new seeds say."""

    verdict: str
    """`SAME`: within the margin; `DIFFERENT`; or `CANNOT_TELL`."""
    difference: float
    """Mean of the new seeds less that of the committed ones."""
    low: float
    high: float
    """Of the difference, with confidence ``1 - 2 level``: the same where all of it is inside the
    margin."""
    p_different: float
    """Two-sided."""
    p_same: float
    """That a difference as large as the margin looks as small as this one."""


def compare_seeds(
    committed: Committed, new: Sequence[float], *, margin: float, level: float = 0.05
) -> Equivalence:
    """Compare new seeds with committed ones.

    "The same" is wrong with probability ``level`` at most where the true difference is the margin
    or more, "different" with ``level`` at most where there is none.

    Args:
        committed: mean and spread of the committed seeds.
        new: one number a seed, at least one.
        margin: differences below it do not matter, in the numbers' unit, above 0.
        level: of both tests.

    Raises:
        ValueError: when the committed seeds are fewer than two, none is new, or the margin is not
            above 0.
    """
    if committed.seeds < 2 or not new or margin <= 0:
        raise ValueError("two committed seeds, a new one and a margin above 0 are needed")
    values = np.asarray(new, dtype=np.float64)
    difference = float(values.mean()) - committed.mean
    freedom = committed.seeds + len(values) - 2
    deviations = (committed.seeds - 1) * committed.std**2 + ((values - values.mean()) ** 2).sum()
    scale = _scale(committed.seeds, len(values))
    error = float(np.sqrt(deviations / freedom)) * scale
    if error == 0:
        p_different = float(difference == 0)
        p_same = float(abs(difference) >= margin)
        low = high = difference
    else:
        p_different = float(2 * stats.t.sf(abs(difference) / error, freedom))
        p_same = float(stats.t.sf((margin - abs(difference)) / error, freedom))
        reach = float(stats.t.isf(level, freedom)) * error
        low, high = difference - reach, difference + reach
    same, different = p_same <= level, p_different <= level
    verdict = SAME if same else DIFFERENT if different else CANNOT_TELL
    return Equivalence(verdict, difference, low, high, p_different, p_same)


def chance_of_same(committed: Committed, new: int, *, margin: float, level: float = 0.05) -> float:
    """Return how probably ``new`` seeds say "the same" if nothing differs.

    The committed spread is taken for the true one, and the spread that the test will see is
    averaged over its distribution.

    Args:
        committed: mean and spread of the committed seeds.
        new: how many seeds are trained.
        margin: as for :func:`compare_seeds`.
        level: of the test.

    Example:
        >>> round(chance_of_same(Committed(0.4, 0.01, 8), 8, margin=0.02), 2)
        0.97
    """
    freedom = committed.seeds + new - 2
    true_error = committed.std * _scale(committed.seeds, new)
    if true_error == 0:
        return 1.0
    shares = (np.arange(STEPS) + 0.5) / STEPS
    seen = true_error * np.sqrt(stats.chi2.ppf(shares, freedom) / freedom)
    room = margin - stats.t.isf(level, freedom) * seen  # that is left for the difference
    chances = 2 * stats.norm.cdf(room / true_error) - 1
    return float(chances.clip(min=0).mean())


def _scale(first: int, second: int) -> float:
    """Return the standard error of a difference of two means, in standard deviations."""
    return float(np.sqrt(1 / first + 1 / second))
