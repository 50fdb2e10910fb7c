"""OpenImages30k in its true layout: several masks an image, regions left out, no boxes."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from spg.compare.stage import compare
from spg.compare.variants import grid
from spg.data.fetch.stage import fetch
from spg.data.images.manifest import TEST, TRAIN_FULLSUP, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.layouts.openimages import read_annotations
from spg.data.prepare.stage import prepare
from spg.evaluate.stage import evaluate
from spg.evaluate.sweep.image import Image
from spg.evaluate.sweep.measures import energy
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.project.errors import UserError
from spg.project.files import read_json, write_json
from spg.project.params import parse_params, read_yaml
from spg.project.workspace import Workspace
from spg.report import drawing
from spg.report.stage import report
from spg.train.stage import train_cell

ROOT = Path(__file__).parents[2]
CLASSES = ("0bt_c3", "01b9n", "0dv5r")
WIDTH, HEIGHT = 64, 48
HALF = (WIDTH // 2, HEIGHT // 2)


def rectangle(*edges):
    """A mask of half the image's size, as OpenImages' are smaller."""
    x0, y0, x1, y1 = edges
    mask = np.zeros(HALF[::-1], dtype=np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


INSTANCES = [[(2, 2, 12, 14)], [(2, 2, 10, 10), (18, 8, 30, 20)], [(5, 3, 25, 20)]]
IGNORE = [None, (8, 0, 22, 24), None]  # overlaps the objects, which stay objects


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What wsolevaluation's metadata and download scripts leave: metadata/ and dataset/."""
    root, rng = tmp_path_factory.mktemp("wsolevaluation"), np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 1), ("test", 2)):
        tables = {"image_ids": [], "class_labels": [], "image_sizes": [], "localization": []}
        for class_id, name in enumerate(CLASSES):
            for number in range(count):
                image_id = f"{split}/{name}/{number:016x}.jpg"
                tables["image_ids"].append(image_id)
                tables["class_labels"].append(f"{image_id},{class_id}")
                pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
                write(root / "dataset/OpenImages" / image_id, pixels)
                if split == "train":
                    continue
                ignore = ""
                if IGNORE[class_id]:
                    ignore = f"{split}/{name}/{number:016x}_ignore.png"
                    write(root / "dataset/OpenImages" / ignore, rectangle(*IGNORE[class_id]))
                for place, edges in enumerate(INSTANCES[class_id]):
                    mask = f"{split}/{name}/{number:016x}_m{place}.png"
                    write(root / "dataset/OpenImages" / mask, rectangle(*edges))
                    first = ignore if place == 0 else ""
                    tables["localization"].append(f"{image_id},{mask},{first}")
        folder = root / "metadata/OpenImages" / split
        folder.mkdir(parents=True)
        for table, lines in tables.items():  # image_sizes.txt is empty, as published
            (folder / f"{table}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def params(tiny_mapping):
    mapping = copy.deepcopy(tiny_mapping)
    entry = copy.deepcopy(mapping["datasets"]["openimages30k"])
    birds = mapping["datasets"]["synthetic_birds"]
    entry["backbones"] = {"inception_v3": birds["backbones"]["inception_v3"]}
    entry["prepare"]["short_side"] = 40  # images shrink, and masks do not
    mapping["datasets"]["open"] = entry
    mapping |= {"dataset": "open", "methods": ["spg_plain"], "guided": ["spg"]}
    mapping |= {"ablations": [], "seeds": [0], "ablation_seeds": [0]}
    mapping["localization"]["extractors"]["spg_plain"] = ["cam"]
    return parse_params(mapping, "open")


@pytest.fixture(scope="module")
def made(published, params, tiny_workspace, tmp_path_factory):
    root = tmp_path_factory.mktemp("open")
    (root / "weights").symlink_to((tiny_workspace.root / "weights").resolve())
    workspace = Workspace(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPG_WSOLEVALUATION", str(published))
        fetch(workspace, params, "open")
    prepare(workspace, params, "open")
    return workspace


def test_the_reader_knows_every_instance_and_what_is_left_out(made):
    items = {item.image_id: item for item in read_annotations(made.raw("open"))}
    assert len(items) == 21
    two = items["test/01b9n/0000000000000001.jpg"]
    stem = "dataset/test/01b9n/0000000000000001"
    assert (two.object_mask, two.more_masks) == (f"{stem}_m0.png", (f"{stem}_m1.png",))
    assert two.ignore_mask == f"{stem}_ignore.png"
    assert (two.class_id, two.class_name, two.boxes) == (1, "01b9n", ())
    assert items["train/0dv5r/0000000000000003.jpg"].object_mask is None


def test_masks_are_packed_as_their_union_with_what_is_left_out(made):
    manifest = read_manifest(made.packed("open") / "manifest.parquet")
    packed = PackedImages(made.packed("open"))
    assert set(manifest["split"]) == {"train_weaksup", TRAIN_FULLSUP, TEST}
    for place, row in enumerate(manifest.itertuples()):
        if row.split not in (TEST, TRAIN_FULLSUP):
            assert packed.object_mask(place) is None
            continue
        want = np.any([rectangle(*edges) > 0 for edges in INSTANCES[row.class_id]], axis=0)
        assert np.array_equal(packed.object_mask(place), want)
        edges = IGNORE[row.class_id]
        ignored = (rectangle(*edges) > 0) & ~want if edges else np.zeros_like(want)
        assert np.array_equal(packed.left_out(place), ignored)
        assert ignored.any() == bool(edges)


def average_precision(maps, masks, thresholds):
    """PxAP the slow way: every threshold over the scores of all pixels that count."""
    scores = np.concatenate([one[mask != 255] for one, mask in zip(maps, masks, strict=True)])
    truth = np.concatenate([mask[mask != 255] == 1 for mask in masks])
    area, recall_before = 0.0, 0.0
    for threshold in sorted([*thresholds, 0.0, 1.0], reverse=True):  # 1 as published
        chosen = scores >= threshold
        if not chosen.any():
            continue
        precision, recall = truth[chosen].mean(), truth[chosen].sum() / truth.sum()
        area += precision * (recall - recall_before)
        recall_before = recall
    return area


def evaluated(made, params, folder):
    """A project of its own with both cells trained, localized, swept and evaluated."""
    for name in ("data", "weights"):
        (folder / name).symlink_to((made.root / name).resolve())
    workspace = Workspace(folder)
    for cell in params.cells("open"):
        for stage in (train_cell, localize_cell, sweep_cell):
            stage(workspace, params, cell)
    evaluate(workspace, params, "open")
    return workspace


@pytest.mark.parametrize("protocol", ["paper", "wsolevaluation"])
def test_it_goes_to_pxap_which_an_independent_evaluator_confirms(
    made, params, published, protocol, tmp_path
):
    sweep = params.sweep.model_copy(update={"protocol": protocol})
    params = params.model_copy(update={"sweep": sweep})
    workspace = evaluated(made, params, tmp_path)
    cell = params.cells("open")[0]
    found = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    assert "gt_known_loc_err" not in found["fixed"]
    raw = np.load(workspace.maps(cell) / "cam.npy")
    ids = pd.read_parquet(workspace.maps(cell) / "scores.parquet")["image_id"].tolist()
    side, rule = {"paper": ((WIDTH, HEIGHT), cv2.INTER_LINEAR),
                  "wsolevaluation": ((224, 224), cv2.INTER_CUBIC)}[protocol]  # fmt: skip
    maps, masks = [], []
    for one, image_id in zip(raw, ids, strict=True):
        if not image_id.startswith("test/"):
            continue
        class_id = CLASSES.index(image_id.split("/")[1])
        files = sorted((published / "dataset/OpenImages").glob(f"{image_id[:-4]}_m*.png"))
        own = [cv2.resize(cv2.imread(str(f), 0), side, interpolation=cv2.INTER_NEAREST) > 0
               for f in files]  # fmt: skip
        assert len(own) == len(INSTANCES[class_id])
        mask = np.any(own, axis=0).astype(np.uint8)
        for f in (published / "dataset/OpenImages").glob(f"{image_id[:-4]}_ignore.png"):
            left = cv2.resize(cv2.imread(str(f), 0), side, interpolation=cv2.INTER_NEAREST) > 0
            mask[left & (mask == 0)] = 255
        large = cv2.resize(one, side, interpolation=rule)
        span = np.ptp(large)
        maps.append((large - large.min()) / span if span else np.zeros_like(large))
        masks.append(mask)
    thresholds = np.arange(1, 10) / 10 if protocol == "paper" else np.arange(0, 1, 0.1)
    assert len(maps) == 6
    assert found["px_ap"] == pytest.approx(average_precision(maps, masks, thresholds), abs=1e-9)


def test_its_report_has_pxap_beside_wsolevaluations_and_asks_for_no_box(made, params, tmp_path):
    workspace = evaluated(made, params, tmp_path)
    paper = read_yaml(ROOT / "paper.yaml")
    paper["datasets"]["openimages30k"]["classes"] = len(CLASSES)  # else this is a part of it
    write_json(workspace.paper_file, paper)
    write_json(workspace.params_file, params.model_dump(mode="json"))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    compare(workspace, params, "open")
    report(workspace, params, "open")
    folder = workspace.report("open")
    claims = pd.read_csv(folder / "claims.csv").set_index("claim")
    assert claims.loc["spg_raises_px_ap", "verdict"] != "not run"
    assert claims.loc["spg_beats_plain", "sentence"] == (
        "Not run: these images lack the boxes or masks that gt_known_loc_err needs."
    )
    found = pd.read_csv(folder / "comparison.csv").set_index("method").loc["spg"]
    (spg,) = found[found["metric"] == "px_ap"].to_dict("records")
    reported = next(
        r["value"] for r in paper["results"]
        if r["id"] == "wsol_spg_oi_inception_v3"
    )  # fmt: skip
    assert (spg["reported"], spg["reported_dataset"]) == (reported / 100, "openimages30k")
    page = (folder / "tables.md").read_text(encoding="utf-8")
    assert "have no true boxes" in page
    assert "reproduced on open, Inception" in page
    assert f"| {100 * spg['mean'] - reported:+.1f} |" in page
    assert "Table 1 of the paper" not in page
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert 'id="claims"' in html
    assert "Table of wsolevaluation" in html


def test_what_a_sheet_shows_lies_over_each_other(made, params, tmp_path, monkeypatch):
    """Packed images are smaller than the originals here, and masks too; maps and boxes are not."""
    for name in ("data", "weights"):
        (tmp_path / name).symlink_to((made.root / name).resolve())
    workspace = Workspace(tmp_path)
    params = params.model_copy(update={"guided": []})
    for cell in params.cells("open"):
        for stage in (train_cell, localize_cell, sweep_cell):
            stage(workspace, params, cell)
    evaluate(workspace, params, "open")
    shown = []
    monkeypatch.setattr(drawing.figures, "contact_sheet", lambda rows, _: shown.extend(rows))
    variants = grid(params, "open")
    drawing.contact_sheet(workspace, "open", variants, normalization="min_max", count=3)
    assert len(shown) == 3
    for row in shown:
        assert row.image.shape == (HEIGHT, WIDTH, 3)
        assert row.object_mask.shape == row.panels[0].loc_map.shape == (HEIGHT, WIDTH)


def test_without_the_folder_it_is_one_sentence(params, tmp_path, monkeypatch):
    monkeypatch.delenv("SPG_WSOLEVALUATION", raising=False)
    with pytest.raises(
        UserError, match=r"SPG_WSOLEVALUATION is not set; source\.kind openimages30k"
    ):
        fetch(Workspace(tmp_path), params, "open")
    monkeypatch.setenv("SPG_WSOLEVALUATION", str(tmp_path))
    with pytest.raises(UserError, match=r"image_ids\.txt: no such file"):
        fetch(Workspace(tmp_path), params, "open")


def test_masks_of_one_image_may_differ_in_size(made, params, tmp_path):
    raw = Workspace(tmp_path).raw("open")
    shutil.copytree(made.raw("open"), raw)
    large = cv2.resize(rectangle(*INSTANCES[1][1]), (WIDTH, HEIGHT), interpolation=0)
    write(raw / "dataset/test/01b9n/0000000000000001_m1.png", large)
    prepare(Workspace(tmp_path), params, "open")
    packed, want = (PackedImages(one.packed("open")) for one in (Workspace(tmp_path), made))
    for place in range(21):
        for found in ("object_mask", "left_out"):
            masks = getattr(packed, found)(place), getattr(want, found)(place)
            assert masks[0] is masks[1] is None or np.array_equal(*masks)


def test_energy_knows_only_pixels_that_count():
    rng = np.random.default_rng(0)
    loc_map, objects, ignored = rng.random((6, 8)), np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    objects[1:4, 2:5], ignored[4:, 3:] = True, True
    image = Image("a", TEST, (8, 6), np.zeros((0, 4)), np.zeros((0, 4)), objects, None, ignored)
    found = energy.measure(loc_map, image)
    counted = loc_map[~ignored]
    assert found["object_energy"] == pytest.approx(loc_map[objects].sum() / counted.sum())
    assert found["object_area"] == objects.sum() / (~ignored).sum()
    assert found["part_energy"] is None


def test_masks_that_do_not_fit_are_listed(made, params, tmp_path):
    raw = Workspace(tmp_path).raw("open")
    shutil.copytree(made.raw("open"), raw)
    folder = raw / "dataset/test/01b9n"
    write(folder / "0000000000000000_m1.png", np.zeros((24, 24), np.uint8))
    (raw / "dataset/test/0dv5r/0000000000000000.jpg").unlink()
    with pytest.raises(UserError) as caught:
        prepare(Workspace(tmp_path), params, "open")
    said = str(caught.value)
    assert "0000000000000000_m1.png: a mask of 24 x 24 pixels; the image has 64 x 48" in said
    assert "test/0dv5r/0000000000000000.jpg: no such file" in said
