"""A finished cell made again: equal, or where not."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file
from tiny import sharing

from spg.cli import main
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.params import parse_params
from spg.project.workspace import Workspace
from spg.tools.again import place_of
from spg.tools.verify import differences, verify_cell, where


@pytest.fixture
def copy(finished, tiny_workspace, tmp_path, two_methods):
    """A finished project of its own, to be spoilt."""
    workspace = sharing(tiny_workspace, tmp_path, "data", "weights")
    for folder in ("runs", "maps", "sweep", "eval"):
        shutil.copytree(finished.root / folder, tmp_path / folder)
    write_json(tmp_path / "params.yaml", two_methods.model_dump())
    return workspace


def words(cell):
    return ["verify", "--method", cell.method, "--seed", str(cell.seed)]


def test_a_cell_made_again_is_equal_and_stays_as_it_was(copy, cell_of, monkeypatch):
    monkeypatch.chdir(copy.root)
    before = [path.stat().st_mtime_ns for path in copy.run(cell_of("spg")).iterdir()]
    result = CliRunner().invoke(main, words(cell_of("spg")))
    assert result.exit_code == 0, result.output
    assert "inception_v3-spg-0: equal, byte for byte" in result.output
    assert [path.stat().st_mtime_ns for path in copy.run(cell_of("spg")).iterdir()] == before
    assert [path.name for path in copy.scratch.iterdir()] == ["locks"]


def test_other_parameters_are_named_with_what_they_change(copy, cell_of, monkeypatch, two_methods):
    monkeypatch.chdir(copy.root)
    mapping = two_methods.model_dump()
    mapping["guidance"]["b2"]["high"] = 0.6
    mapping["evaluation"]["map_threshold"] = 0.3
    write_json(copy.root / "params.yaml", mapping)
    result = CliRunner().invoke(main, words(cell_of("spg")))
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    said = result.stdout
    assert "provenance.json: params.guidance.b2.high is 0.7, now 0.6" in said
    assert "metrics.json: cam." in said
    assert "history.csv: " in said
    assert said.endswith("inception_v3-spg-0: not equal, byte for byte\n")


def test_what_was_made_of_something_else_is_taken_for_no_result_of_today(
    tiny_workspace, tmp_path, cell_of, two_methods
):
    """Another folder for other images, stem weights, parameters and PyTorch."""
    cell, workspace = cell_of("spg"), Workspace(tmp_path)
    for place in (Workspace.packed, Workspace.weights):
        name = cell.dataset if place is Workspace.packed else cell.backbone
        source, target = place(tiny_workspace, name), place(workspace, name)
        target.parent.mkdir(parents=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    found = [place_of(workspace, two_methods, cell, "verify").root]
    assert place_of(workspace, two_methods, cell, "verify").root == found[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "__version__", "0.3")
        found.append(place_of(workspace, two_methods, cell, "verify").root)
    mapping = two_methods.model_dump()
    mapping["guidance"]["b2"]["high"] = 0.6
    found.append(place_of(workspace, parse_params(mapping, "other"), cell, "verify").root)
    for file in (
        workspace.weights(cell.backbone),
        workspace.packed(cell.dataset) / "manifest.parquet",
    ):
        file.write_bytes(file.read_bytes() + b" ")
        found.append(place_of(workspace, two_methods, cell, "verify").root)
    assert len(set(found)) == 5


def test_a_cell_that_is_not_finished_is_one_sentence(copy, cell_of, two_methods):
    shutil.rmtree(copy.evaluation(cell_of("spg")))
    with pytest.raises(UserError, match="no such folder; the cell is not finished"):
        verify_cell(copy, two_methods, cell_of("spg"))


@pytest.fixture
def pair(copy, cell_of, tmp_path):
    """Two equal copies of each folder of a cell."""
    cell, again = cell_of("spg"), Workspace(tmp_path / "again")
    for place in (Workspace.run, Workspace.maps, Workspace.evaluation):
        shutil.copytree(place(copy, cell), place(again, cell))
    return copy, again, cell


def spoil_map(path):
    maps = np.load(path)
    maps[3, 0, 0] += 0.25
    np.save(path, maps)


def spoil_model(path):
    state = load_file(path)
    name = min(name for name in state if name.endswith("bias"))
    state[name] = state[name] + np.float32(0.5)
    save_file(state, path)


def spoil_table(path):
    table = pd.read_parquet(path)
    table.loc[2, "outcome_fixed"] = "merged"
    table.loc[[1, 2], "iou_fixed"] = 7.0
    table.to_parquet(path, index=False)


SPOILT = [
    (Workspace.maps, "cam.npy", spoil_map, r"maps differs in 1 of \d+ numbers, by 0.25 at most"),
    (Workspace.run, "model.safetensors", spoil_model,
     r"bias differs in (\d+) of \1 numbers, by 0.5 at most$"),
    (Workspace.evaluation, "per_image.parquet", spoil_table,
     r"iou_fixed differs in 2 of \d+ numbers, by \S+ at most, outcome_fixed differs in 1 of"),
    (Workspace.run, "history.csv", lambda path: path.write_bytes(b"epoch\n"), "alone"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "name", "spoil", "said"), SPOILT, ids=lambda one: str(one)[:20])
def test_a_file_that_differs_is_named_with_where(pair, place, name, spoil, said):
    workspace, again, cell = pair
    old, new = place(workspace, cell), place(again, cell)
    assert list(differences(old, new)) == []
    spoil(new / name)
    (line,) = differences(old, new)
    assert line.startswith(f"{old / name}: ")
    assert re.search(said, line), line


def test_missing_and_new_files_are_named(pair):
    workspace, again, cell = pair
    old, new = workspace.maps(cell), again.maps(cell)
    (new / "cam.npy").rename(new / "dog.npy")
    assert list(differences(old, new)) == [
        f"{old / 'cam.npy'}: is not made any more",
        f"{old / 'dog.npy'}: is missing, but was made again",
    ]


def test_equal_values_in_other_bytes_are_told_apart(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"a": 1, "b": 2}))
    second.write_text(json.dumps({"b": 2, "a": 1}))
    assert where(first, second) == "equal values in other bytes"


def test_numbers_that_are_missing_in_both_do_not_count(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pd.DataFrame({"x": [np.nan, 1.0, np.nan]}).to_parquet(first)
    pd.DataFrame({"x": [np.nan, 2.5, 3.0]}).to_parquet(second)
    assert where(first, second) == "x differs in 2 of 3 numbers, by nan at most"
