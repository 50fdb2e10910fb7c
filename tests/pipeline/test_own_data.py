"""Anybody's folder of photographs through every stage to the report: with boxes, without, masks."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spg.compare.stage import compare
from spg.data.fetch.stage import fetch
from spg.data.images.manifest import boxes_of, read_manifest
from spg.data.prepare.stage import prepare
from spg.evaluate.metrics.maps import localization_map
from spg.networks.weights.stage import make_weights
from spg.project.files import read_json, write_json
from spg.project.params import parse_params
from spg.project.workspace import Cell, Workspace
from spg.report.stage import report
from spg.tools.effect.rerun import run_cell

ROOT = Path(__file__).parents[2]
NAME, BACKBONE = "photos", "efficientnet_lite0"
PHOTOGRAPHS = os.environ.get("SPG_TEST_ILSVRC")
KINDS = ("boxes", "nothing", "masks", "held out")


def tiny(mapping):
    small = copy.deepcopy(mapping)
    small |= {"dataset": NAME, "backbones": [BACKBONE], "methods": ["spg_plain"], "guided": ["spg"]}
    small |= {"ablations": [], "seeds": [0, 1], "ablation_seeds": [0]}
    setup = small["datasets"][NAME]["backbones"][BACKBONE]
    setup["input"] |= {"resize": 40, "crop": 32}
    setup["mask_side"] = 32
    setup["train"] |= {"epochs": 1, "batch_size": 9, "precision": "float32"}
    small["sweep"] |= {"thresholds": 9}
    small["comparison"]["resamples"] = 100
    return small


def pictures():
    """Thirty images: photographs where there are some, else noise of as many sizes."""
    rng = np.random.default_rng(0)
    files = sorted(Path(PHOTOGRAPHS).rglob("*.JPEG"))[:30] if PHOTOGRAPHS else []
    for number in range(30):
        if files:
            yield np.asarray(Image.open(files[number]).convert("RGB").resize((60, 48)))
        else:
            yield rng.integers(0, 256, (48, 60, 3), dtype=np.uint8)


def write_folder(root, kind):
    """Three classes, six training and four test images each; two of the latter held out."""
    lines = ["image,x0,y0,x1,y1"]
    for number, pixels in enumerate(pictures()):
        label, place = number % 3, number // 3
        split = "train" if place < 6 else "val" if kind == "held out" and place < 8 else "test"
        name = f"{split}/class {label}/{number}.jpg"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
        if split != "train":
            lines.append(f"{name},{5 + label},6,{40 + label},40")
        if split == "test" and kind == "masks":
            mask = np.zeros((48, 60), np.uint8)
            mask[10:30, 12:40] = 255
            path = (root / "masks" / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    if kind in ("boxes", "held out"):
        (root / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module", params=KINDS)
def built(request, tmp_path_factory, mapping):
    """Every stage of a folder, once a kind."""
    root = tmp_path_factory.mktemp("own")
    params, workspace = parse_params(tiny(mapping), "tiny"), Workspace(root / "project")
    workspace.root.mkdir()
    write_json(workspace.root / "params.yaml", tiny(mapping))
    shutil.copy(ROOT / "paper.yaml", workspace.root)
    shutil.copytree(ROOT / "notebooks", workspace.root / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPG_FOLDER", str(write_folder(root / "folder", request.param)))
        fetch(workspace, params, NAME)
    prepare(workspace, params, NAME)
    make_weights(workspace, params, NAME, BACKBONE)
    for cell in params.cells(NAME):
        run_cell(workspace, params, cell)
    compare(workspace, params, NAME)
    report(workspace, params, NAME)
    return request.param, workspace


def metrics(workspace):
    return read_json(workspace.evaluation(Cell(NAME, BACKBONE, "spg", 0)) / "metrics.json")["cam"]


def test_the_report_is_whole_and_says_what_is_missing(built):
    kind, workspace = built
    folder = workspace.report(NAME)
    page, text = (
        (folder / name).read_text(encoding="utf-8") for name in ("index.html", "tables.md")
    )
    boxed = kind in ("boxes", "held out")
    judged = boxed or kind == "masks"  # then what maps cover
    assert ('id="paper"' in page) == ('id="claims"' in page) == judged
    for said in (page, text):
        assert ("The test images have no true boxes" in said) == (not boxed)
    assert ("## GT-known localization error" in text) == boxed
    assert ("## Claims of the paper" in text) == judged
    assert ("Table 1 of the paper" in text) == boxed
    assert "| SPG, Lite0 |" in text
    for name in ("results", "gallery", "thresholds", "data"):
        assert (folder / f"{name}.html").stat().st_size > 0
    assert (folder / "figures/contact_sheet.png").exists()
    assert (folder / "figures/iou.png").exists() == boxed
    summary = read_json(folder / "summary.json")["spg"]
    assert 0 <= summary["top1_cls_err"] <= 1
    assert ("gt_known_loc_err" in summary) == boxed
    assert ("px_ap" in summary) == (kind == "masks")


def test_how_the_threshold_was_selected_is_said(built):
    kind, workspace = built
    text = (workspace.report(NAME) / "tables.md").read_text(encoding="utf-8")
    said = {
        "boxes": "that is fixed, since no image is held out to choose one on",
        "nothing": "that is fixed, since no image has a box to choose one by",
        "masks": "that is fixed, since no image has a box to choose one by",
        "held out": "chosen on 6 further images",
    }
    assert said[kind] in text


def test_the_gallerys_data_are_json_without_nan(built):
    kind, workspace = built
    page = (workspace.report(NAME) / "index.html").read_text(encoding="utf-8")
    text = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[1]
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    boxed = kind in ("boxes", "held out")
    for variant in data["variants"]:
        assert all((iou is not None) == boxed for iou in variant["iou"])
        assert (set(variant["outcome"]) == {"unknown"}) == (not boxed)


def test_numbers_are_those_of_a_loop_over_the_images(built):
    """GT-known error at the fixed threshold, by OpenCV's contours; pIoU by the pixels."""
    kind, workspace = built
    cell = Cell(NAME, BACKBONE, "spg", 0)
    manifest = read_manifest(workspace.packed(NAME) / "manifest.parquet").set_index("image_id")
    order = pd.read_parquet(workspace.maps(cell) / "scores.parquet")["image_id"]
    maps = np.load(workspace.maps(cell) / "cam.npy")
    wrong, inside, either = [], 0, 0
    for image_id, raw_map in zip(order, maps, strict=True):
        row = manifest.loc[image_id]
        if row["split"] != "test":
            continue
        kept = (localization_map(raw_map, (60, 48)) >= 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(kept, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        x, y, w, h = cv2.boundingRect(max(contours, key=cv2.contourArea))
        for x0, y0, x1, y1 in boxes_of(row["boxes"]):
            overlap = max(0, min(x + w, x1) - max(x, x0)) * max(0, min(y + h, y1) - max(y, y0))
            wrong.append(overlap / (w * h + (x1 - x0) * (y1 - y0) - overlap) < 0.5)
        mask = np.zeros((48, 60), bool)
        mask[10:30, 12:40] = True
        inside += int((kept.astype(bool) & mask).sum())
        either += int((kept.astype(bool) | mask).sum())
    found = metrics(workspace)
    if kind in ("boxes", "held out"):
        assert found["fixed"]["gt_known_loc_err"] == pytest.approx(np.mean(wrong))
    else:
        assert "gt_known_loc_err" not in found["fixed"]
        assert found["max_box_acc"] is None
    assert found["fixed"]["p_iou"] == (pytest.approx(inside / either) if kind == "masks" else None)


def test_the_docs_name_every_file_and_the_command():
    """What docs/own_data.md promises is what this module does."""
    docs = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
    for word in ("boxes.csv", "splits.csv", "masks/", "image,x0,y0,x1,y1", "image,split",
                 "SPG_FOLDER=", "dvc exp run -S dataset=photos"):  # fmt: skip
        assert word in docs
