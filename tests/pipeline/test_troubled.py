"""Data sets in which everything is wrong once, from fetch to the report: one list, then numbers.

The numbers are compared with those of a few lines of OpenCV on the boxes and masks that were
written, which none of the stages has touched.
"""

from __future__ import annotations

import copy
import hashlib
import random
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from whole.cub import Birds
from whole.ilsvrc import Tree
from whole.refusal import refusal
from whole.scores import pixel_precision
from wsol_split import write_split

from spg.compare.stage import compare
from spg.data.datasets.cub import Source as CubSource
from spg.data.fetch.download import Remote
from spg.data.fetch.stage import fetch
from spg.data.prepare.stage import prepare
from spg.data.sources import cub
from spg.evaluate import cross_fitting
from spg.evaluate.cross_fitting import deal_folds
from spg.evaluate.image_errors import select_threshold
from spg.networks.weights.stage import make_weights
from spg.project.files import read_json, write_json
from spg.project.params import parse_params, read_yaml
from spg.project.workspace import Cell, Workspace
from spg.report.stage import report
from spg.tools.effect.rerun import run_cell

ROOT = Path(__file__).parents[2]
SIDES = (30, 60)
BACKBONE, METHOD = "inception_v3", "spg_plain"


def mapping_of(tiny_mapping, mapping, name, **prepared):
    """Return tiny parameters for a real layout, without published weights."""
    small = copy.deepcopy(tiny_mapping)
    small |= {"dataset": name, "methods": [METHOD], "guided": [], "ablations": [], "seeds": [0]}
    small["localization"]["extractors"][METHOD] = ["cam"]
    dataset = copy.deepcopy(mapping["datasets"][name])
    dataset["prepare"] |= {"short_side": None, "holdout_per_class": 1, "holdout_from": "test"}
    dataset["prepare"] |= prepared
    setup = copy.deepcopy(tiny_mapping["datasets"]["synthetic_birds"]["backbones"][BACKBONE])
    setup["stem"]["weights"] = "random"
    dataset["backbones"] = {BACKBONE: setup}
    small["datasets"][name] = dataset
    return small


def run_all(workspace, mapping, name):
    """Prepare, with what has to be skipped, and run every stage after it."""
    shutil.copytree(ROOT / "notebooks", workspace.root / "notebooks")
    shutil.copy(ROOT / "paper.yaml", workspace.paper_file)
    sentence = refusal(lambda: prepare(workspace, parse_params(mapping, ""), name))
    assert sentence
    skips = read_yaml(workspace.problems(name))["skip"]
    mapping["datasets"][name]["prepare"]["skip"] = skips
    write_json(workspace.params_file, mapping)
    params = parse_params(mapping, "")
    prepare(workspace, params, name)
    assert not workspace.problems(name).exists()
    make_weights(workspace, params, name, BACKBONE)
    cell = Cell(name, BACKBONE, METHOD, 0)
    run_cell(workspace, params, cell)
    compare(workspace, params, name)
    report(workspace, params, name)
    assert (workspace.report(name) / "index.html").exists()
    return skips, cell, params


def iou(first, second):
    left, top = np.maximum(first[:2], second[:2])
    right, bottom = np.minimum(first[2:], second[2:])
    inter = max(0, right - left) * max(0, bottom - top)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return inter / (sum(areas) - inter)


def maps_of(workspace, cell, sizes):
    """Return each test image's map in the image, in [0, 1]."""
    scores = pd.read_parquet(workspace.maps(cell) / "scores.parquet")
    raw = np.load(workspace.maps(cell) / "cam.npy")
    found = {}
    for image_id, raw_map in zip(scores["image_id"], raw, strict=True):
        if image_id in sizes:
            large = cv2.resize(raw_map.astype(np.float32), sizes[image_id])
            span = large.max() - large.min()
            found[image_id] = (large - large.min()) / span if span else np.zeros_like(large)
    return found


def error_at(maps, boxes, threshold):
    wrong = 0
    for image_id, loc_map in maps.items():
        mask = (loc_map >= threshold).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        best = 0.0
        if contours:
            x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
            best = max(iou(np.array([x, y, x + w, y + h]), np.array(b)) for b in boxes[image_id])
        wrong += best < 0.5
    return wrong / len(maps)


def check_numbers(workspace, cell, params, truth, masks=None):
    """Compare the fixed threshold's error, and PxAP, with those of the maps as they lie there."""
    manifest = pd.read_parquet(workspace.packed(cell.dataset) / "manifest.parquet")
    tests = set(manifest.loc[manifest["split"] == "test", "image_id"])
    assert tests
    rows = {image_id: truth[image_id] for image_id in tests}
    maps = maps_of(workspace, cell, {image_id: row[2] for image_id, row in rows.items()})
    metrics = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    boxes = {i: [row[3]] if np.ndim(row[3]) == 1 else row[3] for i, row in rows.items()}
    threshold = params.evaluation.map_threshold
    want = error_at(maps, boxes, threshold)
    assert metrics["fixed"]["gt_known_loc_err"] == pytest.approx(want)
    if masks:
        steps = params.sweep.thresholds + 1
        own = {image_id: masks[image_id] for image_id in maps}
        assert metrics["px_ap"] == pytest.approx(pixel_precision(maps, own, steps), rel=1e-9)
    else:
        assert metrics["px_ap"] is None


@pytest.mark.slow
def test_a_troubled_cub_archive_ends_in_one_list_and_right_numbers(
    tiny_mapping, mapping, tmp_path, monkeypatch
):
    birds = Birds(random.Random("chain"), every=True, sides=SIDES)
    birds.write(tmp_path / "CUB_200_2011")
    store = tmp_path / "archives"
    store.mkdir()
    with tarfile.open(store / "all.tgz", "w:gz") as tar:
        tar.add(tmp_path / "CUB_200_2011", "CUB_200_2011")
    data = (store / "all.tgz").read_bytes()
    monkeypatch.setenv("SPG_CUB_ARCHIVES", str(store))
    remote = Remote("all.tgz", "", len(data), hashlib.md5(data).hexdigest())
    workspace = Workspace(tmp_path / "project")
    cub.fetch(workspace, "cub", CubSource(fullsup="none"), archives=[remote])
    skips, cell, params = run_all(workspace, mapping_of(tiny_mapping, mapping, "cub"), "cub")
    assert birds.faulty <= set(skips) <= birds.faulty | birds.maskless
    masks = {image_id: row[4] for image_id, row in birds.rows.items() if row[4] is not None}
    check_numbers(workspace, cell, params, birds.rows, masks)


@pytest.mark.slow
def test_a_troubled_tree_of_ilsvrc_ends_in_one_list_and_right_numbers(
    tiny_mapping, mapping, tmp_path, monkeypatch
):
    """With images of wsolevaluation, of which one is missing and one of another size."""
    tree = Tree(random.Random("chain"), every=True, sides=SIDES)
    tree.write(tmp_path / "root")
    monkeypatch.setenv("SPG_ILSVRC_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("SPG_WSOLEVALUATION", str(tmp_path / "wsolevaluation"))
    rows = [(f"val2/{n}.jpeg", label, (40, 30), [(1, 2, 39, 28)])
            for n, label in enumerate([0, 65, 278, 0, 65, 5])]  # fmt: skip
    write_split(tmp_path / "wsolevaluation", "ILSVRC", rows)
    images = tmp_path / "wsolevaluation/dataset/ILSVRC/val2"
    (images / "3.jpeg").unlink()
    (images / "4.jpeg").write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1])
    small = mapping_of(tiny_mapping, mapping, "ilsvrc", holdout_per_class=0)
    small["datasets"]["ilsvrc"]["source"]["fullsup"] = "wsolevaluation"
    workspace = Workspace(tmp_path / "project")
    fetch(workspace, parse_params(small, ""), "ilsvrc")
    skips, cell, params = run_all(workspace, small, "ilsvrc")
    assert set(skips) == tree.faulty | {"val2/3.jpeg", "val2/4.jpeg"}
    manifest = pd.read_parquet(workspace.packed("ilsvrc") / "manifest.parquet")
    held_out = manifest[manifest["split"] == "train_fullsup"]
    assert dict(zip(held_out["image_id"], held_out["class_id"], strict=True)) == {
        "val2/0.jpeg": 0, "val2/1.jpeg": 1, "val2/2.jpeg": 2,
    }  # fmt: skip
    check_numbers(workspace, cell, params, tree.rows)


@pytest.mark.slow
@pytest.mark.parametrize("folds", [None, 3])
def test_a_set_without_held_out_images_is_measured_at_the_fixed_threshold_or_cross_fitted(
    tiny_mapping, mapping, tmp_path, folds, monkeypatch
):
    monkeypatch.setattr(cross_fitting, "LEAST", 3)  # there are eleven test images
    birds = Birds(random.Random("held out"), every=True, sides=SIDES)
    workspace = Workspace(tmp_path)
    birds.write(workspace.raw("cub"))
    small = mapping_of(tiny_mapping, mapping, "cub", holdout_per_class=0)
    small["evaluation"]["folds"] = folds
    skips, cell, _ = run_all(workspace, small, "cub")
    assert set(skips) == birds.faulty | birds.maskless
    metrics = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    tables = (workspace.report("cub") / "tables.md").read_text()
    if folds is None:
        assert metrics["selected"] == metrics["fixed"]
        assert "at the map threshold that is fixed, since no image is held out" in tables
    else:
        check_cross_fitted(workspace, cell, folds)
        assert "that is best on the other 2 of 3 folds of the test images (cross-fitted)" in tables


def check_cross_fitted(workspace, cell, folds):
    """Every image's IoU against a loop over the sweep that never looks at its own fold."""
    table = pd.read_parquet(workspace.evaluation(cell) / "per_image.parquet")
    table = table[table["extractor"] == "cam"]
    swept = pd.read_parquet(workspace.sweep(cell) / "sweep.parquet")
    swept = swept[(swept["extractor"] == "cam") & (swept["split"] == "test")]
    thresholds = np.array(read_json(workspace.sweep(cell) / "sweep.json")["thresholds"])
    iou = np.stack(list(swept["iou"]))
    dealt = deal_folds(table["class_id"].to_numpy(), folds)
    metrics = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    for fold in range(folds):
        others = (iou[dealt != fold] < 0.5).mean(axis=0)
        place = np.flatnonzero(thresholds == select_threshold(others, thresholds))[0]
        chosen = table["map_threshold_selected"].to_numpy()[dealt == fold]
        assert (chosen == thresholds[place]).all()
        assert metrics["selected"]["map_thresholds"][fold] == thresholds[place]
        own = table["iou_selected"].to_numpy()[dealt == fold]
        np.testing.assert_array_equal(own, iou[dealt == fold][:, place])
