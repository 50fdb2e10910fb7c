"""Which map threshold each image is cut at, by kind; every table says which (PROTOCOL 10).

``fixed`` by params.yaml; ``selected`` on held-out images or, where there are none, cross-fitted on
the test images (:mod:`spg.evaluate.cross_fitting`); ``pseudo`` on held-out images again, by boxes
that someone proposes instead of their true ones; ``oracle``, the best on the reported images
themselves. A normalization's percentile is chosen with the threshold, as a pair (PROTOCOL 32). All
are chosen by the GT-known error and then hold for every error and for what a map covers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.data.images.manifest import TEST, TRAIN_FULLSUP
from spg.data.results.columns import Columns, read_batches, select
from spg.evaluate.cross_fitting import cross_fitted_places
from spg.evaluate.cuts import Cuts, Places
from spg.evaluate.image_errors import select_places
from spg.project.errors import UserError

Curve = NDArray[np.float64]


class Wrong(NamedTuple):
    """The GT-known error at every place, ``Float[G]``, on three sets of images."""

    held_out: Curve | None
    """``train_fullsup``; ``None`` where none of it has true boxes."""
    pseudo: Curve | None
    """``train_fullsup`` by its pseudo-boxes; ``None`` where it has none."""
    test: Curve | None
    """``None`` where test images have no boxes."""
    images: int
    """Of the test split, N."""


def read_wrong(path: Path, extractor: str, iou_threshold: float) -> Wrong:
    """Count wrong boxes at every place of ``sweep.parquet``, in constant memory.

    Raises:
        UserError: when the file has no test image of the extractor.
    """
    sides = {"held_out": (TRAIN_FULLSUP, "iou"), "pseudo": (TRAIN_FULLSUP, "pseudo_iou"),
             "test": (TEST, "iou")}  # fmt: skip
    wrong: dict[str, Any] = dict.fromkeys(sides, 0)
    boxed, tests = dict.fromkeys(sides, 0), 0
    for batch in batches_of(path, extractor, ("split", "iou", "pseudo_iou")):
        tests += int((batch["split"] == TEST).sum())
        for side, (split, column) in sides.items():
            iou = batch[column][(batch["split"] == split) & ~np.isnan(batch[column][:, 0])]
            wrong[side] = wrong[side] + (iou < iou_threshold).sum(axis=0)
            boxed[side] += len(iou)
    if not tests:
        raise UserError(f"{path}: lacks {extractor} on test; run `spg sweep`")
    shares = {side: wrong[side] / count if count else None for side, count in boxed.items()}
    return Wrong(**shares, images=tests)


def choose_places(wrong: Wrong, cuts: Cuts, fixed: int, fitted: Places | None) -> dict[str, Places]:
    """Return the place of each kind of threshold, for each test image: ``Int[N]``.

    ``selected`` never looks at the image that it is for. It is ``fixed`` where no image is held out
    and nothing is cross-fitted; without boxes there is no ``oracle``.

    Args:
        wrong: of the extractor.
        cuts: all places.
        fixed: the place that params.yaml names.
        fitted: the cross-fitted places, ``Int[N]``; ``None``: nothing is cross-fitted.
    """

    def best(curve: Curve | None) -> int | None:
        return None if curve is None else int(select_places(curve[None], curves=cuts.curves)[0])

    selected = best(wrong.held_out)
    chosen: dict[str, Any] = {
        "fixed": fixed,
        "selected": selected if selected is not None else fixed if fitted is None else fitted,
        "pseudo": best(wrong.pseudo),
        "oracle": best(wrong.test),
    }
    return {
        kind: np.broadcast_to(np.asarray(place, dtype=np.intp), wrong.images)
        for kind, place in chosen.items()
        if place is not None
    }


def fitted_places(
    path: Path, extractor: str, folds: NDArray[np.int64], iou_threshold: float, cuts: Cuts
) -> Places:
    """Return the place of each test image's cross-fitted threshold, ``Int[N]`` (PROTOCOL 10)."""
    tested = (rows["iou"] < iou_threshold for rows in tests_of(path, extractor, ("iou",)))
    wrong = np.concatenate(list(tested))
    places: Places = cross_fitted_places(wrong, folds, curves=cuts.curves)[folds]
    return places


def tests_of(path: Path, extractor: str, names: tuple[str, ...]) -> Iterator[Columns]:
    """Yield columns of an extractor's test images, some at a time and at least one."""
    for batch in batches_of(path, extractor, ("split", *names)):
        rows = select(batch, batch["split"] == TEST)
        if len(rows["split"]):  # others come first in some data sets, more than a batch of them
            yield rows


def batches_of(path: Path, extractor: str, names: tuple[str, ...]) -> Iterator[Columns]:
    """Yield some columns of an extractor's rows, a few rows at a time."""
    for batch in read_batches(path, ("extractor", *names)):
        own = select(batch, batch["extractor"] == extractor)
        if len(own["extractor"]):
            yield own
