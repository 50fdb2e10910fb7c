"""Real photographs through every stage, tiny; only where SPG_TEST_ILSVRC names some."""

from __future__ import annotations

import copy
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spg.compare.stage import compare
from spg.data.fetch.stage import fetch
from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.layouts.raw import read_image
from spg.data.prepare.stage import prepare
from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.networks.classify.stage import classify
from spg.networks.weights.stage import make_weights
from spg.project.files import read_json, write_json
from spg.project.params import parse_params
from spg.project.workspace import Cell, Workspace
from spg.train.stage import train_cell

PHOTOGRAPHS = os.environ.get("SPG_TEST_ILSVRC")
NAME, BACKBONE = "ilsvrc", "efficientnet_lite0"

pytestmark = pytest.mark.skipif(
    not PHOTOGRAPHS, reason="SPG_TEST_ILSVRC names no folder of real photographs"
)


def tiny_ilsvrc(mapping):
    small = copy.deepcopy(mapping)
    small |= {
        "dataset": NAME,
        "backbones": [BACKBONE],
        "methods": ["spg_plain"],
        "guided": [],
        "ablations": [],
    }
    small |= {"seeds": [0], "external_classifier": [BACKBONE]}
    small["datasets"][NAME]["prepare"] |= {"holdout_per_class": 2, "short_side": 48}
    setup = small["datasets"][NAME]["backbones"][BACKBONE]
    setup["input"] |= {"resize": 40, "crop": 32}
    setup["mask_side"] = 32
    setup["train"] |= {"epochs": 1, "batch_size": 50, "precision": "float32"}
    small["sweep"]["thresholds"] = 9
    small["comparison"]["resamples"] = 100
    small["localization"]["extractors"]["spg_plain"] = ["cam"]
    return small


@pytest.fixture(scope="module")
def built(tmp_path_factory, mapping):
    """Every stage up to the comparison, once."""
    root = tmp_path_factory.mktemp("photographs")
    params = parse_params(tiny_ilsvrc(mapping), "")
    workspace, cell = Workspace(root), Cell(NAME, BACKBONE, "spg_plain", 0)
    write_json(root / "params.yaml", tiny_ilsvrc(mapping))
    shutil.copy("paper.yaml", root / "paper.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPG_ILSVRC_ROOT", PHOTOGRAPHS)
        fetch(workspace, params, NAME)
        prepare(workspace, params, NAME)
    make_weights(workspace, params, NAME, BACKBONE)
    for stage in (train_cell, localize_cell, sweep_cell, evaluate_cell):
        stage(workspace, params, cell)
    classify(workspace, params, NAME, BACKBONE)
    compare(workspace, params, NAME)
    return workspace


def test_packed_photographs_are_the_files_shrunk(built, monkeypatch):
    monkeypatch.setenv("SPG_ILSVRC_ROOT", PHOTOGRAPHS)
    manifest = read_manifest(built.packed(NAME) / "manifest.parquet")
    packed = PackedImages(built.packed(NAME))
    for place in (0, 500, len(manifest) - 1):
        row = manifest.loc[place]
        raw = built.raw(NAME)
        (built.root / "one").write_bytes(read_image(raw, row["image_id"]))
        photograph = Image.open(built.root / "one").convert("RGB")
        assert photograph.size == (row["width"], row["height"])
        small = packed.image(place)
        assert min(small.shape[:2]) == 48
        want = np.asarray(photograph.resize(small.shape[1::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(small.mean(axis=2) - want.mean(axis=2)).mean() < 4


def test_splits_and_boxes_of_the_photographs(built):
    manifest = read_manifest(built.packed(NAME) / "manifest.parquet")
    counts = manifest["split"].value_counts()
    classes = manifest["class_id"].nunique()
    assert counts["train_fullsup"] == 2 * classes  # taken from the test images, which have boxes
    tests = manifest[manifest["split"] == "test"]
    assert (tests.groupby("class_id").size() == tests.groupby("class_id").size().iloc[0]).all()
    assert all(len(boxes_of(boxes)) for boxes in tests["boxes"])


def test_every_number_comes_out(built):
    cell = Cell(NAME, BACKBONE, "spg_plain", 0)
    metrics = read_json(built.evaluation(cell) / "metrics.json")["cam"]
    for kind in ("fixed", "selected", "oracle", "cam_code"):
        assert 0 <= metrics[kind]["gt_known_loc_err"] <= 1
    assert metrics["px_ap"] is None  # there are no masks
    comparison = pd.read_csv(built.report(NAME) / "comparison.csv")
    assert {"spg_plain", "center_box", "whole_image"} <= set(comparison["method"])


def test_the_classes_of_imagenets_own_head_stand_beside_our_boxes(built):
    """Table 3's rule with real scores, even of photographs shrunk to 48 pixels."""
    table = pd.read_csv(built.report(NAME) / "external.csv")
    assert set(table["classifier"]) == {BACKBONE}
    errors = table[table["extractor"] == "cam"].set_index("metric")["mean"]
    own = pd.read_csv(built.report(NAME) / "comparison.csv")
    own = own[(own["extractor"] == "cam") & (own["threshold"] == "selected")].set_index("metric")
    assert errors["gt_known_loc_err"] == own.loc["gt_known_loc_err", "mean"]
    assert errors["top1_cls_err"] < 0.5  # of ten classes; chance is 0.9
    assert errors["top1_loc_err"] >= max(errors["gt_known_loc_err"], errors["top1_cls_err"])
