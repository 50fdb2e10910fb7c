"""How *selected* thresholds were chosen, in words: every caption and trace.json say it."""

from __future__ import annotations

import pandas as pd

from spg.data.images.manifest import TEST, TRAIN_FULLSUP
from spg.evaluate.cross_fitting import boxed_in, fold_count
from spg.project.schema.data import PrepareParams


def selection(manifest: pd.DataFrame, folds: int | None, rule: PrepareParams) -> str:
    """Return how *selected* thresholds were chosen, to stand behind "the map threshold".

    It says what the choice cost: held-out images are missing elsewhere, cross-fitted ones are not.

    Args:
        manifest: of all images.
        folds: ``evaluation.folds`` (PROTOCOL 10).
        rule: of the data set, where images are held out from.
    """
    count = fold_count(manifest, folds)
    if count is not None:
        return (
            f"that is best on the other {count - 1} of {count} folds of the test images "
            "(cross-fitted)"
        )
    held_out = boxed_in(manifest, TRAIN_FULLSUP)
    if held_out and not rule.holdout_per_class:
        return f"chosen on {held_out} further images"
    if held_out and rule.holdout_from == "train":
        return f"chosen on {held_out} images that no network was trained on"
    if held_out:
        return f"chosen on {held_out} images that are not among those reported"
    if not boxed_in(manifest, TEST):
        return "that is fixed, since no image has a box to choose one by"
    return "that is fixed, since no image is held out to choose one on"
