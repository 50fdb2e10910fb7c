"""CUB's and ILSVRC's own reports: beside what is found stand the numbers of the same data set.

The cells are trained here, on noise, by tiny networks with as many classes as the data set has.
"""

from __future__ import annotations

import copy
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spg.compare.paper import load_paper
from spg.compare.stage import compare
from spg.data.images.manifest import TEST, TRAIN_WEAKSUP, read_manifest
from spg.data.layouts.ilsvrc import IndexRow, write_index
from spg.data.layouts.imagenet_classes import sorted_wnids
from spg.data.layouts.raw import ROOT_VARIABLE, Place
from spg.data.prepare.stage import prepare
from spg.data.results.tables import read_table
from spg.networks.weights.stage import make_weights
from spg.project.files import read_json
from spg.project.params import parse_params
from spg.project.workspace import Cell, Workspace
from spg.report.paper_tables import claims_table, paper_tables
from spg.report.run import read_run, reported_numbers
from spg.tools.effect.rerun import run_cell

ROOT = Path(__file__).parents[2]
SIDE = 40
BACKBONE = "inception_v3"
METHODS = ("spg_plain", "cam", "spg")
BOX = (8.0, 6.0, 30.0, 34.0)  # xyxy


def noise(rng):
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def write_cub(raw):
    """Write CUB's tree: two images of each of its 200 classes."""
    rng = np.random.default_rng(0)
    lines = {"images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []}
    for number in range(400):
        label, train = number // 2 + 1, 1 - number % 2
        name = f"{label:03d}.Bird/{number}.jpg"
        lines["images"].append(f"{number + 1} {name}")
        lines["image_class_labels"].append(f"{number + 1} {label}")
        lines["train_test_split"].append(f"{number + 1} {train}")
        left, top, right, bottom = BOX
        lines["bounding_boxes"].append(f"{number + 1} {left} {top} {right - left} {bottom - top}")
        (raw / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / "images" / name).write_bytes(noise(rng))
    lines["classes"] = [f"{label} {label:03d}.Bird" for label in range(1, 201)]
    for name, rows in lines.items():
        (raw / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_ilsvrc(raw):
    """Write what fetch leaves of ILSVRC: a training and a validation image of all 1,000 classes."""
    rng = np.random.default_rng(0)
    wnids = sorted_wnids()
    names = [f"train/{wnid}/{wnid}_1.JPEG" for wnid in wnids]
    names += [f"val/ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(len(wnids))]
    rows = []
    for number, name in enumerate(names):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(noise(rng))
        split = TRAIN_WEAKSUP if name.startswith("train") else TEST
        boxes = (BOX,) if split == TEST else ()
        size = SIDE if boxes else None
        wnid = wnids[number % len(wnids)]
        place = Place(name, (raw / name).stat().st_size, 0, (raw / name).stat().st_size)
        rows.append(IndexRow(name, wnid, split, boxes, size, size, None, None, place))
    write_index(raw, rows, dict.fromkeys(wnids, "a thing"))


@pytest.fixture(scope="module", params=["cub", "ilsvrc"])
def run(request, tiny_mapping, mapping, tmp_path_factory):
    """A data set's name, its project after compare, and its parameters."""
    name, workspace = request.param, Workspace(tmp_path_factory.mktemp(request.param))
    small = copy.deepcopy(tiny_mapping)
    small |= {"dataset": name, "methods": ["spg_plain", "cam"], "guided": ["spg"]}
    small |= {"ablations": [], "seeds": [0]}
    small["localization"]["extractors"] |= {method: ["cam"] for method in METHODS}
    dataset = copy.deepcopy(mapping["datasets"][name])
    dataset["prepare"] |= {"short_side": None, "holdout_per_class": 0}
    setup = copy.deepcopy(tiny_mapping["datasets"]["synthetic_birds"]["backbones"][BACKBONE])
    setup["stem"]["weights"] = "random"
    setup["train"] |= {"epochs": 1, "batch_size": 50}
    dataset["backbones"] = {BACKBONE: setup}
    small["datasets"][name] = dataset
    params = parse_params(small, "")
    {"cub": write_cub, "ilsvrc": write_ilsvrc}[name](workspace.raw(name))
    shutil.copy(ROOT / "paper.yaml", workspace.paper_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(workspace.raw(name)))
        prepare(workspace, params, name)
    make_weights(workspace, params, name, BACKBONE)
    for method in METHODS:
        run_cell(workspace, params, Cell(name, BACKBONE, method, 0))
    compare(workspace, params, name)
    return name, workspace, params


@pytest.mark.slow
def test_a_data_set_of_the_paper_stands_beside_its_own_numbers(run):
    name, workspace, params = run
    paper = load_paper(workspace.paper_file)
    manifest = read_manifest(workspace.packed(name) / "manifest.parquet")
    assert manifest["class_id"].nunique() == {"cub": 200, "ilsvrc": 1000}[name]
    folder = workspace.report(name)
    comparison = read_table(folder / "comparison.csv")
    shown = comparison.dropna(subset="reported")
    assert set(shown["reported_dataset"]) == {name}
    selected = shown[(shown["threshold"] == "selected")].set_index(["method", "metric"])["reported"]
    want = {  # of the paper's Tables 1, 2 and 4
        "cub": {("spg", "top1_loc_err"): 0.5336, ("spg", "top5_loc_err"): 0.4228,
                ("spg", "top5_loc_star_err"): 0.4062, ("spg_plain", "top1_loc_err"): 0.5633,
                ("spg_plain", "top5_loc_err"): 0.4647, ("cam", "top1_loc_err"): 0.5900},
        "ilsvrc": {("spg", "top1_loc_err"): 0.5140, ("spg", "top5_loc_err"): 0.4000,
                   ("spg", "top5_loc_star_err"): 0.3505, ("spg", "gt_known_loc_err"): 0.3531,
                   ("spg_plain", "top1_loc_err"): 0.5371, ("spg_plain", "top5_loc_err"): 0.4181,
                   ("spg_plain", "gt_known_loc_err"): 0.3732, ("cam", "top1_loc_err"): 0.5640,
                   ("cam", "top5_loc_err"): 0.4300, ("cam", "gt_known_loc_err"): 0.4134},
    }  # fmt: skip
    assert selected.round(6).to_dict() == want[name]

    run = read_run(folder, params, name, manifest, paper)
    assert run.theirs == name
    same = {result.table: result.dataset == name for result in paper.results}
    for table in paper_tables(paper, run):
        if any(column.endswith("difference") for column in table.frame):
            assert same[table.name.removeprefix("table_")]
    table = {"cub": "table_2", "ilsvrc": "table_1"}[name]
    frame = next(t.frame for t in paper_tables(paper, run) if t.name == table)
    row = frame.set_index("method").loc["SPG"]
    found = comparison.set_index(["method", "threshold", "metric"])["mean"]
    ours = 100 * found["spg", "selected", "top1_loc_err"]
    gap = ours - 100 * want[name]["spg", "top1_loc_err"]
    assert float(row["Top-1 loc. err.: difference"]) == pytest.approx(gap, abs=0.01)
    assert "order of rows" not in reported_numbers(paper, name)

    gains = read_table(folder / "claims.csv").set_index("claim")
    own = [claim for claim in gains.index if claim.startswith("cub_")]
    if name == "cub":
        assert gains.loc[own, "reported_points"].tolist() == [2.97, 5.64, 0.72]
        assert gains.loc[own, "verdict"].tolist()[2] == "not run"  # no ACoL here
        sentence = gains.loc["spg_beats_plain", "sentence"]
        assert "2.01 on ILSVRC lies" in sentence
        assert "ILSVRC" not in gains.loc["cub_spg_beats_plain", "sentence"]
        assert "SPG is lower: " in frame.set_index("method").loc["SPG-plain", "verdict"]
        places = claims_table(paper, run).frame["reported on"]
        assert set(places) == {"ILSVRC", "CUB-200-2011", "–"}
    else:
        assert own == []
        assert "on ILSVRC" not in " ".join(gains["sentence"])
    numbers = read_json(folder / "summary.json")["spg"]
    assert {"gt_known_loc_err", "top1_loc_err", "top5_loc_err", "top1_cls_err"} <= set(numbers)
