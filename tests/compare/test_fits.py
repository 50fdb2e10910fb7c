"""Errors of resamples that choose their own thresholds, against the whole procedure by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spg.compare.fits import FITTED, Fits
from spg.compare.variants import Variant
from spg.evaluate.cross_fitting import cross_fitted_places, deal_folds
from spg.evaluate.image_errors import image_errors
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.workspace import Cell, Workspace

IMAGES, THRESHOLDS, SEEDS, RESAMPLES, DELTA = 40, 9, 2, 6, 0.5
VARIANT = Variant("b", "m", "cam")
CELLS = [Cell("d", "b", "m", seed) for seed in range(SEEDS)]
NAMES = [f"image {number}" for number in range(IMAGES)]


@pytest.fixture
def swept(tmp_path):
    """Sweeps of two seeds, of two extractors and of a training image among the test images."""
    rng = np.random.default_rng(0)
    workspace = Workspace(tmp_path)
    for cell in CELLS:
        rows = [
            {
                "image_id": name, "extractor": extractor, "split": split,
                "iou": rng.random(THRESHOLDS), "second_iou": rng.random(THRESHOLDS),
            }
            for extractor in ("grad_cam", "cam")
            for name, split in [("held out", "train_fullsup"), *((name, "test") for name in NAMES)]
        ]  # fmt: skip
        workspace.sweep(cell).mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(workspace.sweep(cell) / "sweep.parquet")
        facts = {"thresholds": list(np.arange(1, THRESHOLDS + 1) / (THRESHOLDS + 1))}
        write_json(workspace.sweep(cell) / "sweep.json", facts | {"percentiles": []})
    return workspace


@pytest.fixture
def tables():
    rng = np.random.default_rng(1)
    guesses = [rng.permuted(np.tile(np.arange(6), (IMAGES, 1)), axis=1) for _ in CELLS]
    columns = {"image_id": NAMES, "class_id": np.arange(IMAGES) % 6}
    return {
        VARIANT: [
            pd.DataFrame(columns | {f"top{k + 1}": top[:, k] for k in range(5)}) for top in guesses
        ]
    }


def fits_of(workspace, folds, names=NAMES):
    return Fits(
        workspace, {VARIANT: CELLS}, pd.Series(names), folds, resamples=RESAMPLES,
        rng=np.random.default_rng(2), iou_threshold=DELTA,
    )  # fmt: skip


@pytest.mark.parametrize("metric", FITTED)
def test_each_error_is_that_of_the_procedure_on_the_drawn_images(swept, tables, metric):
    folds = deal_folds(np.arange(IMAGES) % 6, 4)
    fits = fits_of(swept, folds)
    found = fits.of(tables)(VARIANT, "selected", metric)
    assert found.shape == (RESAMPLES, SEEDS)
    for seed, cell in enumerate(CELLS):
        sweep = pd.read_parquet(swept.sweep(cell) / "sweep.parquet")
        sweep = sweep[(sweep["extractor"] == "cam") & (sweep["split"] == "test")]
        iou, second = (np.stack(list(sweep[name])) for name in ("iou", "second_iou"))
        table = tables[VARIANT][seed]
        for resample in range(RESAMPLES):
            drawn = np.repeat(np.arange(IMAGES), fits.drawn[resample])
            places = cross_fitted_places(iou[drawn] < DELTA, folds[drawn])[folds[drawn]]
            wrong = image_errors(
                iou[drawn, places],
                table[[f"top{k}" for k in range(1, 6)]].to_numpy()[drawn],
                table["class_id"].to_numpy()[drawn],
                iou_threshold=DELTA,
                second_iou=second[drawn, places],
            )
            assert found[resample, seed] == pytest.approx(wrong[metric].mean())


def test_what_no_chosen_threshold_changes_is_left_to_the_other_intervals(swept, tables):
    resampled = fits_of(swept, deal_folds(np.zeros(IMAGES), 4)).of(tables)
    assert resampled(VARIANT, "fixed", "gt_known_loc_err") is None
    assert resampled(VARIANT, "none", "px_ap") is None
    assert resampled(VARIANT, "selected", "top1_cls_err") is None
    assert resampled(Variant("b", "center_box", "none"), "selected", "gt_known_loc_err") is None


def test_sweeps_of_other_images_are_refused(swept, tables):
    other = [*NAMES[:-1], "another"]
    resampled = fits_of(swept, deal_folds(np.zeros(IMAGES), 4), other).of(tables)
    with pytest.raises(UserError, match="has other test images than eval"):
        resampled(VARIANT, "selected", "gt_known_loc_err")
