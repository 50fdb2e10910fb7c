"""Thresholds chosen on the test images themselves, without any image helping to choose its own.

Where no image outside the test split has a box, giving up part of the test images to choose on
would be waste. Instead they are dealt to K folds, and the images of a fold are cut at the threshold
that is best on all others: *cross-fitted* selection (PROTOCOL 10).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.data.images.manifest import TEST, TRAIN_FULLSUP
from spg.evaluate.image_errors import select_places
from spg.project.seeding import generator

DEALING = 0
"""Seed of the folds, the same for every cell: pairs are compared on the same folds."""
LEAST = 20
"""Images of a fold, on average: resampling within a smaller one makes intervals too narrow, by a
factor of sqrt(1 - 1 / size)."""


def boxed_in(manifest: Any, split: str) -> int:
    """Return how many images of a split have boxes.

    Args:
        manifest: columns ``split`` and ``boxes`` of all images, as arrays or a table.
        split: which.
    """
    boxes = np.asarray(manifest["boxes"], dtype=object)[np.asarray(manifest["split"]) == split]
    return sum(len(own) > 0 for own in boxes)


def fold_count(manifest: Any, wanted: int | None) -> int | None:
    """Return the number of folds, or ``None`` where *selected* thresholds are not cross-fitted.

    That is where some image with boxes is held out to choose them on, where nobody wants it, where
    no test image has boxes, and where two folds would have fewer than `LEAST` test images each.

    Args:
        manifest: as for :func:`boxed_in`.
        wanted: ``evaluation.folds``; fewer test images have fewer folds.
    """
    if wanted is None or boxed_in(manifest, TRAIN_FULLSUP):
        return None
    count = min(wanted, boxed_in(manifest, TEST) // LEAST)
    return count if count > 1 else None


def deal_folds(class_ids: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Return the fold of each image, each class dealt as evenly as its number allows.

    Args:
        class_ids: ``Int[N]``, true classes.
        folds: K, at least 2.

    Returns:
        ``Int[N]``, from 0 to K - 1. It depends on nothing but the arguments.
    """
    dealt = np.empty(len(class_ids), dtype=np.int64)
    start = 0
    for class_id in np.unique(class_ids):
        own = np.flatnonzero(class_ids == class_id)
        order = generator(DEALING, "folds", int(class_id)).permutation(own)
        dealt[order] = (start + np.arange(len(own))) % folds  # goes on where the last class ended
        start += len(own)
    return dealt


def cross_fitted_places(
    wrong: NDArray[np.bool_], folds: NDArray[np.int64], *, curves: int = 1
) -> NDArray[np.intp]:
    """Return the place of each fold's threshold: the best on the images of all other folds.

    Args:
        wrong: ``Bool[N, P T]``, whether each threshold's box is wrong.
        folds: ``Int[N]``, as of :func:`deal_folds`, none empty.
        curves: P, as for :func:`~spg.evaluate.image_errors.select_places`.

    Returns:
        ``Int[K]``.
    """
    sums = np.stack([wrong[folds == fold].sum(axis=0) for fold in range(folds.max() + 1)])
    return select_places(sums.sum(axis=0) - sums, curves=curves)
