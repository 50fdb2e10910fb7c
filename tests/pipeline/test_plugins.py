"""A method, a data set and a metric from outside, each in one file of tests/toys: nothing in spg/
knows them, and they go the whole way to the report's tables."""

from __future__ import annotations

import copy
import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spg.compare.stage import compare
from spg.data.fetch.stage import fetch
from spg.data.prepare.stage import prepare
from spg.evaluate.stage import evaluate
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.params import parse_params
from spg.project.plugins import SHELVES, plugin_names
from spg.project.workspace import Workspace
from spg.tools.check_params import check_params
from spg.tools.plan import sizes_of
from spg.train.stage import train_cell

TOYS = Path(__file__).parents[1] / "toys"
KINDS = ("method", "dataset", "source", "measure")


@pytest.fixture(scope="module", autouse=True)
def _shelves_with_toys():
    shelves = [import_module(SHELVES[kind]) for kind in KINDS]
    for shelf in shelves:
        shelf.__path__.append(str(TOYS))
    yield
    for shelf in shelves:
        shelf.__path__.remove(str(TOYS))


@pytest.fixture(scope="module")
def with_toys(tiny_mapping):
    mapping = copy.deepcopy(tiny_mapping)
    birds = mapping["datasets"]["synthetic_birds"]
    prepared = birds["prepare"] | {"holdout_per_class": 1}
    mapping["datasets"]["shapes"] = birds | {
        "source": {"kind": "squares", "per_class": 8}, "prepare": prepared
    }  # fmt: skip
    mapping |= {
        "dataset": "shapes",
        "methods": ["one_layer"],
        "guided": ["spg"],
        "ablations": [],
        "seeds": [0],
    }
    mapping["one_layer"] = {"sharpness": 2.0}
    mapping["localization"]["extractors"]["one_layer"] = ["cam"]
    mapping["sweep"]["measures"] = ["energy", "pointing_game"]
    return mapping


@pytest.fixture(scope="module")
def made(with_toys, tiny_workspace, tmp_path_factory):
    root = tmp_path_factory.mktemp("toys")
    (root / "weights").symlink_to((tiny_workspace.root / "weights").resolve())
    shutil.copy(tiny_workspace.paper_file, root / "paper.yaml")
    workspace, params = Workspace(root), parse_params(with_toys, "toys")
    fetch(workspace, params, "shapes")
    prepare(workspace, params, "shapes")
    for cell in params.cells("shapes"):
        for stage in (train_cell, localize_cell, sweep_cell):
            stage(workspace, params, cell)
    evaluate(workspace, params, "shapes")
    compare(workspace, params, "shapes")
    return workspace, params


def test_no_file_of_spg_knows_them():
    root = Path(import_module("spg").__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    for name in ("one_layer", "squares", "pointing_game"):
        assert name not in text


def test_the_method_and_the_data_set_have_their_rows(made):
    workspace, _ = made
    table = pd.read_csv(workspace.report("shapes") / "comparison.csv")
    assert {"one_layer", "spg", "center_box"} <= set(table["method"])
    assert set(table["images"]) == {8}


def test_the_metric_goes_from_map_to_table(made):
    """The highest point of the raw map, up-sampled, is within the box or not: counted anew."""
    workspace, params = made
    cell = params.cells("shapes")[0]
    means = read_json(workspace.evaluation(cell) / "metrics.json")["cam"]
    images = pd.read_parquet(workspace.evaluation(cell) / "per_image.parquet")
    assert means["pointing_game"] == pytest.approx(images["pointing_game"].mean())
    assert means["object_energy"] is None  # squares have no masks
    maps = np.load(workspace.maps(cell) / "cam.npy")
    ids = pd.read_parquet(workspace.maps(cell) / "scores.parquet")["image_id"].tolist()
    peaks = [np.unravel_index(m.argmax(), m.shape) for m in maps]
    scale = 48 / maps.shape[1]
    for row in images.itertuples():
        y, x = ((edge + 0.5) * scale for edge in peaks[ids.index(row.image_id)])
        margin = min(x - 8, 40 - x, y - 16, 44 - y)
        if abs(margin) > scale:  # nearer, up-sampling decides
            assert row.pointing_game == float(margin > 0)
    shown = pd.read_csv(workspace.report("shapes") / "energy.csv").set_index("method")
    assert shown.loc["one_layer", "pointing_game"] == pytest.approx(means["pointing_game"])


def test_their_sections_are_read_by_their_own_classes(with_toys):
    check_params(parse_params(with_toys, "toys"))
    for path, value, said in (
        (("one_layer", "sharpness"), -1.0, "one_layer.sharpness: Input should be greater than 0"),
        (("one_layer", "blur"), 1, "one_layer.blur: no such key"),
        (("datasets", "shapes", "source", "per_class"), 0, "datasets.shapes.source.per_class: "),
        (("sweep", "measures"), ["luck"], "measure 'luck' has no file"),
    ):
        wrong = copy.deepcopy(with_toys)
        node = wrong
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
        with pytest.raises(UserError) as caught:
            check_params(parse_params(wrong, "toys"))
        assert said in str(caught.value)


def test_a_plan_knows_the_sizes_of_the_data_set(with_toys, tmp_path):
    sizes = sizes_of(Workspace(tmp_path), parse_params(with_toys, "toys"), "shapes")
    assert (sizes.train_weaksup, sizes.test, sizes.classes) == (6, 8, 2)


def test_the_settings_of_a_method_are_in_its_record_and_start_its_training_over(made):
    workspace, params = made
    facts = json.loads((workspace.run(params.cells("shapes")[0]) / "provenance.json").read_text())
    assert facts["params"]["one_layer"] == {"sharpness": 2.0}
    assert "one_layer" in plugin_names("method")
