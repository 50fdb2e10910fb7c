"""wsolevaluation's table joined from reports on its data sets (`spg table`)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from spg.cli import main
from spg.compare.paper import load_paper
from spg.project.errors import UserError
from spg.report.accuracy_tables import whole_table
from spg.report.run import Measured, read_measured

PAPER = load_paper(Path(__file__).parents[2] / "paper.yaml")
BACKBONES = ("vgg16", "inception_v3", "resnet50")
METRIC = {"ilsvrc": "max_box_acc_v2", "cub": "max_box_acc_v2", "openimages30k": "px_ap"}
WSOL = "wsolevaluation"
SHORT = {name: PAPER.datasets[name].short for name in METRIC}
ROWS = {"CAM": ("cam", "cam"), "ADL": ("adl", "cam"), "Center": ("cam", "center")}


def measured(dataset, seed, *, backbones=BACKBONES):
    rng = np.random.default_rng(seed)
    rows = [
        {"backbone": backbone, "method": method, "extractor": extractor}
        | {name: round(float(rng.uniform(0.3, 0.9)), 3) for name in ("max_box_acc_v2", "px_ap")}
        for backbone in backbones
        for method, extractor in ROWS.values()
    ]
    frame = pd.DataFrame(rows).assign(max_box_acc_v2_std=0.01, px_ap_std=0.01)
    if dataset == "openimages30k":
        frame["max_box_acc_v2"] = np.nan  # it has masks and no boxes
    compared = [
        {**{key: row[key] for key in ("backbone", "method", "extractor")}, "threshold": "none",
         "metric": METRIC[dataset], "mean": row[METRIC[dataset]],
         "low": row[METRIC[dataset]] - 0.02, "high": row[METRIC[dataset]] + 0.02}
        for row in frame.to_dict("records")
    ]  # fmt: skip
    return Measured(f"my_{dataset}", dataset, pd.DataFrame(compared), frame, "min_max", WSOL)


def three_lines(table, name):
    place = table.frame.index[table.frame["method"] == name][0]
    return table.frame.loc[place], table.frame.loc[place + 1], table.frame.loc[place + 2]


def value(report, backbone, row):
    method, extractor = ROWS[row]
    found = report.accuracies
    found = found[(found["backbone"] == backbone) & (found["method"] == method)]
    return float(found.loc[found["extractor"] == extractor, METRIC[report.theirs]].iloc[0])


@pytest.mark.parametrize("row", ROWS)
def test_all_three_data_sets_give_every_mean_and_the_mean_of_means(row):
    reports = [measured(name, seed) for seed, name in enumerate(METRIC)]
    reported, ours, difference = three_lines(whole_table(PAPER, reports), row)
    means = []
    for report in reports:
        values = [value(report, backbone, row) for backbone in BACKBONES]
        means.append(sum(values) / 3)
        column = f"{SHORT[report.theirs]}, VGG"
        low, high = 100 * values[0] - 2, 100 * values[0] + 2
        assert ours[column] == f"{100 * values[0]:.1f} ({low:.1f} to {high:.1f})"
        assert difference[column] == f"{100 * values[0] - float(reported[column]):+.1f}"
        assert ours[f"{SHORT[report.theirs]}, mean"] == f"{100 * means[-1]:.1f}"
    total = 100 * sum(means) / 3
    assert ours["mean of the data sets"] == f"{total:.1f}"
    printed = float(reported["mean of the data sets"])
    assert difference["mean of the data sets"] == f"{total - printed:+.1f}"


def test_what_is_printed_is_what_is_reported():
    frame = whole_table(PAPER, [measured("cub", 0)]).frame
    cam = frame.iloc[0]
    known = {r.id: r.value for r in PAPER.results if r.table == "wsolevaluation"}
    assert cam[f"{SHORT['cub']}, ResNet"] == f"{known['wsol_cam_cub_resnet50']:.1f}"
    assert cam["mean of the data sets"] == f"{known['wsol_cam_total']:.1f}"
    assert len(frame.columns) == 1 + 3 * 4 + 1


def test_what_is_missing_is_a_dash_and_so_is_its_mean():
    two = measured("cub", 0, backbones=BACKBONES[:2])
    _, ours, difference = three_lines(whole_table(PAPER, [two, measured("ilsvrc", 1)]), "ADL")
    assert ours[f"{SHORT['cub']}, ResNet"] == ours[f"{SHORT['cub']}, mean"] == "–"
    assert ours[f"{SHORT['cub']}, VGG"] != "–"
    assert ours[f"{SHORT['ilsvrc']}, mean"] != "–"
    assert ours["mean of the data sets"] == difference["mean of the data sets"] == "–"
    assert set(three_lines(whole_table(PAPER, [two]), "SPG")[1][1:]) == {"–"}


def test_other_normalizations_do_not_stand_beside_the_table():
    other = measured("cub", 0)._replace(normalization="ivr")
    assert set(three_lines(whole_table(PAPER, [other]), "CAM")[1][1:]) == {"–"}


def test_a_report_on_other_images_is_refused():
    with pytest.raises(UserError, match=r"^my_cub: wsolevaluation's table is of cub, ilsvrc, open"):
        whole_table(PAPER, [measured("cub", 0)._replace(theirs=None)])
    with pytest.raises(UserError, match=r"^my_cub: its boxes are those of the evaluator 'paper'"):
        whole_table(PAPER, [measured("cub", 0)._replace(evaluator="paper")])
    with pytest.raises(UserError, match=r"^my_cub: two reports are on cub"):
        whole_table(PAPER, [measured("cub", 0), measured("cub", 1)])


def folder_of(report, path):
    path.mkdir()
    facts = {"dataset": {"name": report.dataset, "published": report.theirs}}
    facts |= {"normalization": "min_max", "evaluator": WSOL}
    (path / "trace.json").write_text(json.dumps(facts))
    report.comparison.to_csv(path / "comparison.csv", index=False)
    report.accuracies.to_csv(path / "accuracies.csv", index=False)
    return path


def test_a_folder_gives_back_its_numbers(tmp_path):
    report = measured("ilsvrc", 3)
    found = read_measured(folder_of(report, tmp_path / "ilsvrc"))
    assert found[:2] == report[:2]
    assert whole_table(PAPER, [found]).frame.equals(whole_table(PAPER, [report]).frame)


def test_the_command_prints_the_table_and_an_older_report_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    folder = folder_of(measured("cub", 0), tmp_path / "cub")
    done = CliRunner().invoke(main, ["table", str(folder)])
    assert done.exit_code == 0
    assert done.output.startswith("Table of wsolevaluation: ")
    lines = done.output.splitlines()
    assert sum(line.startswith("| reproduced |") for line in lines) == 8
    (folder / "trace.json").write_text("{}")
    done = CliRunner().invoke(main, ["table", str(folder)])
    assert done.exit_code == 2
    said = done.output.strip()
    assert said == f"error: {folder}/trace.json: does not name its data set; run `dvc repro` again"
