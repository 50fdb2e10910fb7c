"""The smallest and the emptiest: constant maps, one image in a batch, one image in a class."""

from __future__ import annotations

import copy
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from spg.compare.stage import compare
from spg.data.fetch.stage import fetch
from spg.data.prepare.stage import prepare
from spg.evaluate.choice import read_wrong
from spg.evaluate.metrics.evaluator import Evaluator
from spg.evaluate.metrics.graph_cut import graph_cut_box
from spg.evaluate.metrics.protocols import PROTOCOLS
from spg.evaluate.outcomes import OUTCOMES
from spg.evaluate.sweep.image import Image
from spg.evaluate.sweep.rows import find_measures, measure_map
from spg.localize.stage import localize_cell
from spg.project.files import read_json
from spg.project.params import Params, parse_params
from spg.project.workspace import Workspace
from spg.tools.effect.rerun import run_cell
from spg.train.stage import train_cell

NAME = "synthetic_birds"
SIZE = (24, 16)
ALL, ONE_PIXEL = np.ones((4, 6), dtype=np.float32), np.eye(1, 24, dtype=np.float32).reshape(4, 6)
MAPS = {
    "zeros": 0 * ALL, "ones": ALL, "negative": -3 * ALL, "huge": np.float32(3e38) * ALL,
    "tiny": np.float32(1e-45) * ALL, "one pixel": ONE_PIXEL, "all but one": ALL - ONE_PIXEL,
}  # fmt: skip


def image(mask):
    none = np.zeros((0, 4))
    return Image("a.jpg", "test", SIZE, np.array([[2.0, 2, 10, 9]]), none, mask, mask)


def measured(raw_map, known, protocol, normalization="min_max"):
    evaluator = Evaluator.named(protocol, 9, normalization, [0.2, 0.8])
    return measure_map(raw_map, known, evaluator, measures=find_measures(["energy"]))


@pytest.mark.parametrize("normalization", ["min_max", "max", "pas", "ivr"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("mask", [None, False, True])
def test_every_map_is_measured_in_finite_numbers(protocol, name, mask, normalization):
    """No pixel, or every pixel, passes a threshold; no pixel, or every pixel, is of the object."""
    known = image(None if mask is None else np.full(SIZE[::-1], mask))
    row = measured(MAPS[name], known, protocol, normalization)
    ways = 2 if normalization == "ivr" else 1
    for column in ("iou", "second_iou", "iou_all", "cam_code_iou"):
        assert ((row[column] >= 0) & (row[column] <= 1)).all(), column
    for column in ("box", "cam_code_box", "graph_cut_box"):
        assert np.isfinite(row[column]).all(), column
    for column in ("object_energy", "object_area", "part_energy", "part_area"):
        assert row[column].shape == (ways,)
        assert (np.isnan(row[column]) == (mask is None)).all()
        assert mask is None or ((row[column] >= 0) & (row[column] <= 1)).all()
    side = PROTOCOLS[protocol].side
    pixels = side * side if side else math.prod(SIZE)
    counts = row["pixels"].reshape(ways, 3, -1)[:, :2]
    assert counts.sum() == (0 if mask is None else pixels * ways)


@pytest.mark.parametrize("name", ["zeros", "ones", "negative"])
def test_a_constant_map_has_the_same_box_at_every_threshold(name):
    """It is zeros after normalization: nothing passes, so the box is empty."""
    row = measured(MAPS[name], image(None), "paper")
    assert not row["iou"].any()
    pixels = np.zeros((*SIZE[::-1], 3), dtype=np.uint8)
    assert not graph_cut_box(pixels, 0 * np.ones(SIZE[::-1]), background=0.2, foreground=0.7).any()


@pytest.fixture
def smallest(tiny_mapping, tiny_workspace, tmp_path):
    """Classes with one training image, one to select thresholds on and one to test."""
    mapping = copy.deepcopy(tiny_mapping) | {"guided": ["spg"], "ablations": [], "seeds": [0]}
    dataset = mapping["datasets"][NAME]
    dataset["source"] |= {"train_per_class": 1, "test_per_class": 2}
    dataset["prepare"] |= {"holdout_per_class": 1, "holdout_from": "test"}
    train = dataset["backbones"]["inception_v3"]["train"]
    train["batch_size"] = 2  # of three images: the last batch has one
    params = parse_params(mapping, "smallest")
    workspace = Workspace(tmp_path)
    (tmp_path / "weights").symlink_to(tiny_workspace.root / "weights")
    shutil.copy(tiny_workspace.paper_file, workspace.paper_file)
    fetch(workspace, params, NAME)
    prepare(workspace, params, NAME)
    return workspace, params


def test_a_class_with_one_image_goes_through_every_stage(smallest, cell_of):
    workspace, params = smallest
    manifest = pd.read_parquet(workspace.packed(NAME) / "manifest.parquet")
    assert (manifest.groupby(["class_id", "split"]).size() == 1).all()
    for method in params.all_methods:
        run_cell(workspace, params, cell_of(method))
        history = pd.read_csv(workspace.run(cell_of(method)) / "history.csv")
        assert np.isfinite(history.to_numpy(dtype=float)).all()
        folder = workspace.evaluation(cell_of(method))
        totals = read_json(folder / "metrics.json")["cam"]["selected"]
        assert sum(totals["outcomes"][name] for name in OUTCOMES) == pytest.approx(1)
        wrong = read_wrong(workspace.sweep(cell_of(method)) / "sweep.parquet", "cam", 0.5)
        assert set(np.unique(wrong.test * 3)) <= {0, 1, 2, 3}
    compare(workspace, params, NAME)
    summary = read_json(workspace.report(NAME) / "summary.json")
    assert summary


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_batches_of_one_train_and_localize_in_finite_numbers(smallest, cell_of, precision):
    workspace, params = smallest
    changed = params.model_dump(exclude_none=False)
    setup = changed["datasets"][NAME]["backbones"]["inception_v3"]
    setup["train"]["precision"] = changed["localization"]["precision"] = precision
    changed["localization"]["batch_size"] = 1
    own = Params.model_validate(changed)
    train_cell(workspace, own, cell_of("spg"))
    localize_cell(workspace, own, cell_of("spg"))
    maps = np.load(workspace.maps(cell_of("spg")) / "cam.npy")
    assert maps.shape[0] == 6
    assert np.isfinite(maps).all()
