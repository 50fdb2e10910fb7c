"""What every variant's errors are in resamples that choose their own thresholds (PROTOCOL 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.compare.cross_fitted import Counts, draw_within, resampled_means, resampled_places
from spg.compare.errors import Tables
from spg.compare.variants import Grid, Variant
from spg.data.images.manifest import TEST
from spg.data.results.columns import read_batches
from spg.evaluate.cross_fitting import deal_folds, fold_count
from spg.evaluate.cuts import read_cuts
from spg.evaluate.image_errors import ERRORS, image_errors
from spg.evaluate.sweep.table import TABLE
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.seeding import generator
from spg.project.workspace import Workspace

ResampledOf = Callable[[Variant, str, str], NDArray[np.float64] | None]
"""From a variant, a kind of threshold and a metric to each seed's mean in each resample,
``Float[R, S]``; ``None``: no threshold of it is cross-fitted."""


FITTED = tuple(metric for metric in ERRORS if not metric.endswith("cls_err"))
"""The errors that a threshold changes."""


def keep_thresholds(_variant: Variant, _kind: str, _metric: str) -> None:
    """Return what is resampled anew where no threshold is cross-fitted: nothing."""
    return


class Fits:
    """Chooses the thresholds of all resamples once for each variant, whatever is asked of it.

    The same images are drawn for every variant, so that a difference of two is a paired one.

    Args:
        workspace: with the sweeps.
        rows: the cells of each variant.
        images: ids of the test images, in the order of the per-image tables.
        folds: ``Int[N]``, of these images.
        resamples: R.
        rng: source of the draws.
        iou_threshold: delta.
    """

    def __init__(
        self,
        workspace: Workspace,
        rows: Grid,
        images: pd.Series,
        folds: NDArray[np.int64],
        *,
        resamples: int,
        rng: np.random.Generator,
        iou_threshold: float,
    ) -> None:
        self.workspace, self.rows, self.images, self.folds = workspace, rows, images, folds
        self.drawn: Counts = draw_within(folds, resamples, rng)
        self.iou_threshold = iou_threshold

    def of(self, tables: Tables) -> ResampledOf:
        """Return the numbers of per-image tables, whose guessed classes count."""
        of_variant = cache(lambda variant: self._all_errors(variant, tables[variant]))

        def resampled(variant: Variant, kind: str, metric: str) -> NDArray[np.float64] | None:
            if kind != "selected" or variant not in self.rows or metric not in FITTED:
                return None
            return of_variant(variant)[metric]

        return resampled

    def _all_errors(
        self, variant: Variant, tables: Sequence[pd.DataFrame]
    ) -> dict[str, NDArray[np.float64]]:
        """Return every error that a threshold changes; one seed's boxes are in memory at a time."""
        means: dict[str, list[NDArray[np.float64]]] = {metric: [] for metric in FITTED}
        for cell, table in zip(self.rows[variant], tables, strict=True):
            path = self.workspace.sweep(cell) / TABLE
            swept = _read(path, variant.extractor, self.images, self.iou_threshold)
            curves = read_cuts(path.parent).curves
            places = resampled_places(swept.wrong, self.folds, self.drawn, curves=curves)
            for metric, seeds in means.items():
                errors = _errors(swept, table, metric)
                seeds.append(resampled_means(errors, places, self.folds, self.drawn))
        return {metric: np.stack(seeds, axis=1) for metric, seeds in means.items()}


def fit_of(
    workspace: Workspace,
    params: Params,
    rows: Grid,
    manifest: pd.DataFrame,
    images: pd.DataFrame,
) -> Callable[[Tables], ResampledOf]:
    """Return what resamples tables with thresholds chosen anew, where they are cross-fitted.

    Args:
        workspace: with the sweeps.
        params: folds, resamples and their seed.
        rows: the cells of each variant.
        manifest: of all images.
        images: a table of the test images.
    """
    rule = params.evaluation
    count = fold_count(manifest, rule.folds)
    if count is None:
        return lambda _: keep_thresholds
    return Fits(
        workspace, rows, images["image_id"],
        deal_folds(images["class_id"].to_numpy(), count),
        resamples=params.comparison.resamples,
        rng=generator(params.comparison.seed, "cross-fitted"),
        iou_threshold=rule.iou_threshold,
    ).of  # fmt: skip


class _Swept(NamedTuple):
    """Whether the boxes of each image are wrong at each place (cuts.py), ``Bool[N, G]``."""

    wrong: NDArray[np.bool_]
    """Of the largest component."""
    second_wrong: NDArray[np.bool_]


def _read(path: Path, extractor: str, images: pd.Series, iou_threshold: float) -> _Swept:
    ids: list[str] = []
    parts: dict[str, list[NDArray[np.bool_]]] = {"iou": [], "second_iou": []}
    for batch in read_batches(path, ("image_id", "extractor", "split", *parts)):
        own = (batch["extractor"] == extractor) & (batch["split"] == TEST)
        ids += list(batch["image_id"][own])
        for name, values in parts.items():
            values.append(batch[name][own] < iou_threshold)
    if ids != images.tolist():
        raise UserError(f"{path}: has other test images than eval; run `dvc repro`")
    return _Swept(*(np.concatenate(values) for values in parts.values()))


def _errors(swept: _Swept, table: pd.DataFrame, metric: str) -> NDArray[np.bool_]:
    """Return one error of every image at every threshold, ``Bool[N, T]``.

    A box is right or wrong, and so is a guess, so an error is one of two for each image: what it is
    when the boxes are wrong, and what it is when they are right.
    """
    guesses = table[[name for name in table if name.startswith("top")]].to_numpy()
    labels = table["class_id"].to_numpy()

    def of(first: float, second: float) -> NDArray[np.bool_]:
        ious = np.full(len(table), first), np.full(len(table), second)
        return image_errors(ious[0], guesses, labels, iou_threshold=0.5, second_iou=ious[1])[
            metric
        ]  # fmt: skip

    right = of(1.0, 1.0)[:, None]
    second_right, none_right = of(0.0, 1.0)[:, None], of(0.0, 0.0)[:, None]
    return np.where(~swept.wrong, right, np.where(~swept.second_wrong, second_right, none_right))
