"""`spg score --report`: maps made elsewhere beside a project's cells."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tiny import sharing

from spg.cli import main
from spg.compare.statistics.intervals import two_way_interval
from spg.evaluate.outcomes import OUTCOMES
from spg.project.files import write_json
from spg.project.seeding import generator
from spg.tools.scoring.beside import YOURS

NAME = "synthetic_birds"


@pytest.fixture
def project(finished, tmp_path, two_methods, monkeypatch):
    """A finished project, its metadata, and the maps of its own first cell as somebody's."""
    workspace = sharing(finished, tmp_path, "data", "maps", "eval", "sweep")
    shutil.copy(finished.paper_file, workspace.paper_file)
    write_json(tmp_path / "params.yaml", two_methods.model_dump())
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["metadata", NAME, "words"])
    assert result.exit_code == 0, result.output
    cell = f"maps/{NAME}/inception_v3-spg-0"
    ids = pd.read_parquet(f"{cell}/scores.parquet")["image_id"]
    for image_id, raw_map in zip(ids, np.load(f"{cell}/cam.npy"), strict=True):
        path = tmp_path / "mine" / f"{image_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, raw_map)
    return workspace


def score(*options, status=0):
    words = ["score", "--maps", "mine", "--metadata", "words/test", "--protocol", "paper"]
    words += ["--step", "0.1", "--report", NAME, "--json", "n.json", "--workers", "1"]
    result = CliRunner().invoke(main, [*words, *map(str, options)])
    assert result.exit_code == status, result.output
    return result


def beside():
    with open("n.json", encoding="utf-8") as file:
        return json.load(file)["beside"]


@pytest.mark.parametrize("kind", ["fixed", "selected", "oracle"])
def test_a_cells_own_maps_have_its_own_errors_and_outcomes(project, kind, two_methods):
    """They went through files and another reader, and come out as the pipeline has them."""
    threshold = two_methods.evaluation.map_threshold
    options = {
        "fixed": ["--threshold", threshold], "oracle": [],
        "selected": ["--select-on", "mine", "words/val"],
    }[kind]  # fmt: skip
    result = score(*options)
    rows = {(row["method"], row["extractor"]): row for row in beside()}
    mine = rows[YOURS.method, "none"]
    table = pd.read_parquet(f"eval/{NAME}/inception_v3-spg-0/per_image.parquet")
    own = table[table["extractor"] == "cam"]
    assert mine["mean"] == pytest.approx((own[f"iou_{kind}"] < 0.5).mean())
    boxes = own[f"outcome_{kind}"].replace("wrong_class", "correct")
    for name in OUTCOMES:
        assert mine[name] == pytest.approx((boxes == name).mean())
    assert mine["less_yours_mean"] is None
    assert f"GT-known error, {kind}" in result.output
    assert "| your maps |" in result.output


def test_differences_are_paired_by_image_with_the_interval_of_all_comparisons(project, two_methods):
    score("--threshold", 0.5)
    row = next(
        row for row in beside() if row["method"] == "spg_plain" and row["extractor"] == "cam"
    )
    tables = {}
    for cell in ("spg-0", "spg_plain-0", "spg_plain-1"):
        table = pd.read_parquet(f"eval/{NAME}/inception_v3-{cell}/per_image.parquet")
        own = table[table["extractor"] == "cam"].set_index("image_id")
        tables[cell] = (own["iou_fixed"] < 0.5).to_numpy(np.float64)
    gains = np.stack([tables[f"spg_plain-{seed}"] - tables["spg-0"] for seed in (0, 1)])
    rule = two_methods.comparison
    variant = "Variant(backbone='inception_v3', method='spg_plain', extractor='cam')"
    want = two_way_interval(
        gains, resamples=rule.resamples, confidence=rule.confidence,
        rng=generator(rule.seed, variant, "fixed", "less yours"),
    )  # fmt: skip
    got = [row[f"less_yours_{name}"] for name in ("mean", "low", "high")]
    assert got == pytest.approx(list(want), abs=1e-9)


def test_a_bad_map_is_wrong_beside_the_others_too(project):
    ids = (project.root / "words/test/image_ids.txt").read_text(encoding="utf-8").split()
    before = score("--threshold", 0.5)
    assert before.exit_code == 0
    error = beside()[0]["mean"]
    for name in ids:
        (project.root / "mine" / f"{name}.npy").unlink()
    score("--threshold", 0.5, status=2)
    assert error < 1
    assert beside()[0]["mean"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "official"], "give --protocol paper"),
        (["--normalization", "max"], "give --normalization min_max"),
        (["--report", "birds"], "datasets has no 'birds'"),
        (["--metadata", "words/val"], "of the images differ"),
        (["--masks", "words"], "--report compares boxes; leave --masks out"),
        (["--step", "0.01"], "measured at sweep.thresholds 9; give --step 0.1"),
        (["--threshold", "0.3"], "give --threshold 0.5, or none"),
    ],
)
def test_what_cannot_stand_beside_is_one_sentence(project, options, said):
    result = score(*options, status=2)
    assert said in result.stderr


def test_cells_that_are_right_from_another_iou_on_are_no_comparison(project, two_methods):
    mapping = two_methods.model_dump()
    mapping["evaluation"]["iou_threshold"] = 0.7
    write_json(project.params_file, mapping)
    assert "evaluation.iou_threshold is 0.7; boxes of your maps" in score(status=2).stderr
