"""When does guidance help: the pair on birds that other parts tell apart."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tiny import sharing

from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import read_model
from spg.project.workspace import Cell
from spg.tools.telling import stage
from spg.tools.telling.stage import METRICS, measure_telling

NAME = "synthetic_birds"
SETS = {"own": ["crown", "bill", "bars"], "head": ["crown", "bill"]}
PAIR = {"dataset": NAME, "backbone": "inception_v3", "better": "spg", "worse": "spg_plain"}


@pytest.fixture
def project(finished, tiny_workspace, tiny_mapping, tmp_path, monkeypatch):
    workspace = sharing(finished, tmp_path, "data", "weights", "runs", "maps", "sweep", "eval")
    (tmp_path / "stems").symlink_to(tiny_workspace.root / "stems")
    write_json(tmp_path / "params.yaml", tiny_mapping)
    write_json(tmp_path / "telling/params.yaml", {"pair": PAIR, "seeds": [0, 1], "telling": SETS})
    monkeypatch.setenv("SPG_WORKERS", "0")
    return workspace


@pytest.fixture
def measured(project):
    measure_telling(project)
    folder = project.report(NAME) / "telling"
    assert {path.name for path in folder.iterdir()} == {
        "telling.csv", "gains.csv", "gains.png", "gains.svg"
    }  # fmt: skip
    return pd.read_csv(folder / "telling.csv"), pd.read_csv(folder / "gains.csv")


def test_every_set_method_and_metric_has_a_row(measured):
    values, gains = measured
    assert list(values.columns[:4]) == ["telling", "parts", "method", "metric"]
    assert len(values) == len(SETS) * 2 * len(METRICS)
    assert len(gains) == len(SETS) * len(METRICS)
    assert set(values["seeds"]) == {2}
    wide = values.pivot_table(index=["telling", "metric"], columns="method", values="mean")
    for row in gains.to_dict("records"):
        one = wide.loc[row["telling"], row["metric"]]
        sign = -1 if row["metric"] in ("gt_known_loc_err", "covered_background") else 1
        assert row["mean"] == pytest.approx(sign * (one["spg"] - one["spg_plain"]), abs=1e-5)


def test_the_set_of_params_takes_the_pipelines_cells(measured, project):
    """Nothing is trained for it, and its numbers are those of the cells."""
    values, _ = measured
    folders = [path.name for path in project.scratch.glob("telling-*")]
    assert len(folders) == 1
    assert folders[0].startswith("telling-head-")
    found = []
    for seed in (0, 1):
        cell = Cell(NAME, "inception_v3", "spg", seed)
        metrics = json.loads((project.evaluation(cell) / "metrics.json").read_text())["cam"]
        found.append(metrics["selected"]["gt_known_loc_err"])
    row = values.query("telling == 'own' and method == 'spg' and metric == 'gt_known_loc_err'")
    assert row["mean"].item() == pytest.approx(np.mean(found), abs=1e-6)


def test_the_other_set_has_data_of_its_own(measured, project):
    (own,) = project.scratch.glob("telling-head-*")
    theirs = pd.read_parquet(own / "data/packed" / NAME / "manifest.parquet")
    ours = pd.read_parquet(project.packed(NAME) / "manifest.parquet")
    assert theirs["image_id"].tolist() == ours["image_id"].tolist()
    shard = next((own / "data/packed" / NAME).glob("*.arrow")).name
    assert (own / "data/packed" / NAME / shard).read_bytes() != (
        project.packed(NAME) / shard
    ).read_bytes()


def test_what_is_measured_is_not_measured_again(measured, project, monkeypatch):
    before = (project.report(NAME) / "telling/telling.csv").read_bytes()
    monkeypatch.setattr("spg.tools.effect.rerun.train_cell", lambda *_: pytest.fail("trained"))
    shutil.rmtree(project.report(NAME) / "telling")
    measure_telling(project)
    assert (project.report(NAME) / "telling/telling.csv").read_bytes() == before


def test_a_part_that_no_bird_has_is_one_sentence(project):
    write_json(
        project.root / "telling/params.yaml",
        {"pair": PAIR, "seeds": [0], "telling": {"odd": ["beak"]}},
    )
    with pytest.raises(UserError, match="beak"):
        measure_telling(project)
    assert not (project.report(NAME) / "telling").exists()


def test_an_unknown_key_is_one_sentence(tmp_path):
    write_json(tmp_path / "params.yaml", {"pair": PAIR, "seeds": [0], "telling": SETS, "x": 1})
    with pytest.raises(UserError, match=r"params\.yaml: x: no such key"):
        read_model(stage.TellingParams, tmp_path / "params.yaml")
