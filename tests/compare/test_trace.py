"""trace.json: followed back to commit, parameters, data and bytes; nothing of clock or path."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest
from tiny import sharing

from spg.compare.stage import compare
from spg.compare.trace import code_commit, trace_facts
from spg.project.files import read_json, write_json
from spg.project.fingerprint import fingerprint

NAME = "synthetic_birds"
DVC = """
stages:
  compare:
    cmd: python -m stages.compare
    deps: [stages/train.py, spg/train, spg/networks, data]
"""


def git(root, *words):
    names = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *names, *words], cwd=root, check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path = path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "dvc.yaml").write_text(DVC, encoding="utf-8")
    return tmp_path


def test_the_commit_is_the_last_one_that_changed_what_a_stage_depends_on(checkout):
    code = commit(checkout, spg__train__loop="1", stages__train="1")
    assert code_commit(checkout, "plugins") == code
    commit(checkout, docs__page="text", spg__tools__bench="1")  # nothing that it declares
    assert code_commit(checkout, "plugins") == code
    backbone = commit(checkout, spg__networks__backbones__a="1")
    assert code_commit(checkout, "plugins") == backbone
    (checkout / "spg/train/loop.py").write_text("2", encoding="utf-8")
    assert code_commit(checkout, "plugins") == f"{backbone}+"


def test_a_shallow_clone_does_not_know(checkout, tmp_path):
    commit(checkout, spg__train__loop="1")
    commit(checkout, docs__page="text")
    for name, depth in (("whole", ()), ("shallow", ("--depth", "1"))):
        git(checkout, "clone", "-q", *depth, f"file://{checkout}", str(tmp_path / name))
    assert code_commit(tmp_path / "shallow", "plugins") is None
    assert code_commit(tmp_path / "whole", "plugins") == code_commit(checkout, "plugins")


def test_without_a_repository_there_is_none(tmp_path, checkout):
    assert code_commit(checkout, "plugins") is None  # of no commit
    commit(checkout, spg__train__loop="1")
    inside = checkout / "copy"
    inside.mkdir()
    (inside / "dvc.yaml").write_text(DVC, encoding="utf-8")
    assert code_commit(inside, "plugins") is None  # a folder in somebody's repository


def test_the_trace_has_what_the_numbers_came_from(finished, two_methods):
    folder = finished.report(NAME)
    found = read_json(folder / "trace.json")
    for name, digest in found["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {"summary.json", "comparison.csv", "claims.csv"} <= found["files"].keys()
    assert found["data"]["manifest"] == fingerprint(finished.packed(NAME) / "manifest.parquet")
    assert found["data"]["of_trainings"] == found["data"]["manifest"]
    weights = finished.root / "weights/inception_v3.safetensors"
    assert found["stem_weights"] == {"inception_v3": fingerprint(weights)}
    assert found["packages"]["torch"]
    assert found["cells"] == 4
    text = json.dumps(found)
    assert str(finished.root) not in text
    assert "files" not in trace_facts(folder / "trace.json")


def test_the_same_again_and_other_parameters_another_fingerprint(finished, tmp_path, two_methods):
    workspace = sharing(finished, tmp_path, "data", "runs", "sweep", "eval", "maps")
    workspace.paper_file.symlink_to(finished.paper_file)
    compare(workspace, two_methods, NAME)
    trace = workspace.report(NAME) / "trace.json"
    assert trace.read_bytes() == (finished.report(NAME) / "trace.json").read_bytes()
    shown = two_methods.model_copy(
        update={"report": two_methods.report.model_copy(update={"digits": 1})}
    )
    compare(workspace, shown, NAME)
    assert trace.read_bytes() == (finished.report(NAME) / "trace.json").read_bytes()
    rule = two_methods.comparison.model_copy(update={"seed": 1})
    compare(workspace, two_methods.model_copy(update={"comparison": rule}), NAME)
    changed = read_json(trace)
    assert changed["parameters"] != read_json(finished.report(NAME) / "trace.json")["parameters"]


def test_what_a_training_read_is_among_the_parameters(finished, tmp_path, two_methods):
    workspace = sharing(finished, tmp_path, "data", "sweep", "eval", "maps")
    shutil.copytree(finished.root / "runs", workspace.root / "runs")
    workspace.paper_file.symlink_to(finished.paper_file)
    record = workspace.run(two_methods.cells(NAME)[0]) / "provenance.json"
    facts = read_json(record)
    facts["params"]["execution"]["compile"] = "otherwise"
    write_json(record, facts)
    compare(workspace, two_methods, NAME)
    changed, before = (read_json(own.report(NAME) / "trace.json") for own in (workspace, finished))
    assert changed.pop("parameters") != before.pop("parameters")
    assert changed == before
