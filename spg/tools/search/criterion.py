"""What a trial is chosen by: held-out images alone, each map cut where that set does best.

It is the number that the evaluator of the run reports: the GT-known error, under `wsolevaluation`
MaxBoxAccV2, and PxAP where there are masks alone (PROTOCOL 36).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.data.images.manifest import TRAIN_FULLSUP
from spg.data.results.columns import select
from spg.evaluate.choice import batches_of
from spg.evaluate.cuts import Cuts, read_cuts
from spg.evaluate.image_errors import IOU_LEVELS, select_places
from spg.evaluate.metrics.pixels import pixel_average_precision
from spg.evaluate.sweep.table import TABLE
from spg.project.errors import UserError


class Held(NamedTuple):
    """A cell's error on the held-out images."""

    error: float
    """GT-known error at its best place, 1 - MaxBoxAccV2, or 1 - PxAP where the images have masks
    and no boxes."""
    wrong: NDArray[np.float64] | None
    """Of each image, ``Float[M]``, whose mean is the error; ``None`` for PxAP."""


def held_out_error(swept: Path, extractor: str, iou_threshold: float, *, protocol: str) -> Held:
    """Return what a cell's sweep says of the held-out images, and of no other.

    Args:
        swept: folder of sweep.parquet and sweep.json.
        extractor: whose maps.
        iou_threshold: delta, of the GT-known error.
        protocol: the evaluator, ``sweep.protocol``.

    Raises:
        UserError: when no image is held out.
    """
    cuts = read_cuts(swept)
    every_level = protocol == "wsolevaluation"
    name = "iou_all" if every_level else "iou"
    iou, pixels = [], []
    for batch in batches_of(swept / TABLE, extractor, ("split", name, "pixels")):
        rows = select(batch, batch["split"] == TRAIN_FULLSUP)
        if len(rows["split"]):
            iou.append(rows[name])
            pixels.append(rows["pixels"].astype(np.int64).sum(axis=0))
    if not iou:
        raise nothing_held_out()
    values = np.concatenate(iou)
    boxed = ~np.isnan(values[:, 0])
    if not boxed.any():
        return Held(1 - _best_precision(np.sum(pixels, axis=0), cuts), None)
    levels = IOU_LEVELS if every_level else (iou_threshold,)
    wrong = np.mean([_wrong_at_best(values[boxed], level, cuts) for level in levels], axis=0)
    return Held(float(wrong.mean()), wrong)


def _wrong_at_best(iou: NDArray[Any], level: float, cuts: Cuts) -> NDArray[np.bool_]:
    """Return which images are wrong at the place of the grid that is best for all of them."""
    wrong: NDArray[np.bool_] = iou < level
    (place,) = select_places(wrong.mean(axis=0)[None], curves=cuts.curves)
    return wrong[:, place]


def nothing_held_out() -> UserError:
    """Return what to raise where no image is held out."""
    return UserError(
        "no image is held out to choose on: set datasets.NAME.prepare.holdout_per_class or "
        "datasets.NAME.source.fullsup in params.yaml (PROTOCOL 10, 36)"
    )


def _best_precision(pixels: NDArray[Any], cuts: Cuts) -> float:
    """Return PxAP of the best percentile, from pixels of all held-out images together."""
    found = [
        pixel_average_precision(way[:2])
        for way in pixels.reshape(cuts.curves, 3, len(cuts.thresholds) + 2)
    ]
    known = [precision for precision in found if precision is not None]
    if not known:
        raise UserError("the held-out images have neither boxes nor masks: nothing to choose by")
    return max(known)
