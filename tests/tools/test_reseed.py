"""`spg verify --statistically`: new seeds against those of the committed report."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from click.testing import CliRunner
from tiny import sharing

from spg.cli import main
from spg.compare.statistics.equivalence import CANNOT_TELL, DIFFERENT, SAME, compare_seeds
from spg.project.files import read_json, write_json
from spg.tools.reseed import STATUS, committed, told

NAME = "synthetic_birds"


@pytest.fixture
def stranger(finished, tiny_workspace, tmp_path, two_methods, monkeypatch):
    """What a stranger has: packed data, stem weights and the committed report, and no cell."""
    workspace = sharing(tiny_workspace, tmp_path, "data", "weights")
    shutil.copytree(finished.report(NAME), workspace.report(NAME))
    write_json(tmp_path / "params.yaml", two_methods.model_dump())
    monkeypatch.chdir(tmp_path)
    return workspace


def run(*options):
    return CliRunner().invoke(main, ["verify", "--method", "spg", *map(str, options)])


def test_new_seeds_are_trained_and_compared_with_the_committed_spread(stranger, cell_of):
    result = run("--seed", 100, "--statistically", 2, "--margin", 50)
    assert result.exit_code in STATUS.values(), result.output
    assert not (stranger.root / "runs").exists()
    own = next(path for path in stranger.scratch.iterdir() if path.name.startswith("reseed-"))
    errors = [
        read_json(own / f"eval/{NAME}/inception_v3-spg-{seed}/metrics.json")["cam"]["selected"][
            "gt_known_loc_err"
        ]
        for seed in (100, 101)
    ]
    known = committed(pd.read_csv(stranger.report(NAME) / "comparison.csv"), cell_of("spg"))
    found = compare_seeds(known, errors, margin=0.5)
    assert result.exit_code == STATUS[found.verdict]
    assert result.stdout.splitlines() == list(told(found, known, errors, 0.5))
    again = run("--seed", 100, "--statistically", 2, "--margin", 50)  # nothing is trained anew
    assert again.stdout == result.stdout


@pytest.mark.parametrize(("verdict", "status"), [(SAME, 0), (DIFFERENT, 1), (CANNOT_TELL, 3)])
def test_each_word_has_a_status_of_its_own(verdict, status):
    assert STATUS[verdict] == status


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", 1, "--statistically", 2], "--seed 1: 1 is among the committed seeds"),
        (["--seed", 100, "--statistically", 0], "--statistically"),
        (["--seed", 100, "--statistically", 1, "--margin", 0], "--margin"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(stranger, options, said):
    result = run(*options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_report_without_a_spread_or_data_that_are_missing(stranger):
    path = stranger.report(NAME) / "comparison.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table.assign(seeds=1).to_csv(path, index=False)
    result = run("--seed", 100, "--statistically", 1)
    assert result.exit_code == 2
    assert "comparison.csv: has 1 seeds of spg on inception_v3; a spread takes two" in result.stderr
    table.to_csv(path, index=False)
    (stranger.root / "weights").unlink()
    result = run("--seed", 100, "--statistically", 1)
    assert result.exit_code == 2
    assert "not there; run `dvc repro prepare weights` first" in result.stderr
