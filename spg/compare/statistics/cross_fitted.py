"""Resampled means where the test images choose thresholds for each other (PROTOCOL 10, 14).

A resample that kept the thresholds would leave out what choosing them on other images changes: in
simulations with one seed its 95 % intervals held 80 to 92 % of the time. So every resample chooses
its own. Images are resampled within their folds: then no copy of an image helps to choose its own
threshold, and every fold keeps its size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.image_errors import select_threshold

Counts = NDArray[np.int64]


class Curves(NamedTuple):
    """A variant's numbers at every threshold, and what thresholds are chosen by."""

    wrong: NDArray[np.bool_]
    """``Bool[S, N, T]``: is the box wrong? Fewest are wrong at the chosen threshold."""
    values: NDArray[np.float64]
    """``Float[S, N, T]``, whose mean at the chosen thresholds is the result."""
    folds: NDArray[np.int64]
    """``Int[N]``, as of ``spg.evaluate.cross_fitting.deal_folds``."""
    thresholds: NDArray[np.float64]
    """``Float[T]``, ascending."""


def draw_within(folds: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> Counts:
    """Return how often each image is drawn in each resample, ``Int[R, N]``, fold by fold."""
    counts = np.zeros((resamples, len(folds)), dtype=np.int64)
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        drawn = own[rng.integers(len(own), size=(resamples, len(own)))]
        np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1)
    return counts


def resampled_means(curves: Curves, seeds: Counts, images: Counts) -> NDArray[np.float64]:
    """Return the mean of each resample, ``Float[R]``, at thresholds that it chooses itself.

    Args:
        curves: of a variant.
        seeds: ``Int[R, S]``, how often each seed is drawn.
        images: ``Int[R, N]``, how often each image is (:func:`draw_within`).
    """
    resamples = len(images)
    sums = np.zeros(resamples)
    members = [np.flatnonzero(curves.folds == fold) for fold in np.unique(curves.folds)]
    for wrong, values, drawn in zip(curves.wrong, curves.values, seeds.T, strict=True):
        wrongs = np.stack([images[:, own] @ wrong[own].astype(np.float64) for own in members])
        others = wrongs.sum(axis=0) - wrongs  # [K, R, T]
        for own, errors in zip(members, others, strict=True):
            worth = images[:, own] @ values[own]  # [R, T]
            places = [_place(row, curves.thresholds) for row in errors]
            sums += drawn * worth[np.arange(resamples), places]
    return sums / (len(curves.values) * len(curves.folds))


def _place(errors: NDArray[np.float64], thresholds: NDArray[np.float64]) -> int:
    return int(np.searchsorted(thresholds, select_threshold(errors, thresholds)))
