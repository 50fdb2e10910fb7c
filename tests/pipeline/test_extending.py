"""docs/extending.md by its words: from a fresh copy to a row in the report with a verdict."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML
from smoke import copy_project

from spg.project.files import write_json
from spg.project.params import read_yaml
from spg.tools.new.command import SHELF_FOLDERS, new_method

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code below a comment of the page."""
    (found,) = re.findall(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL)
    return found


def merged(mapping: dict, changes: dict) -> dict:
    changed = dict(mapping)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(mapping.get(key), dict)
        changed[key] = merged(mapping[key], value) if both else value
    return changed


def run(folder: Path, *words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=environment, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_short():
    assert len([line for line in block("cutout.py").splitlines() if line.strip()]) <= 60


def test_what_new_writes_passes_its_own_test_and_the_linter(tmp_path):
    for path in new_method(tmp_path / "plugins", "my_method"):
        assert path.is_file()
    run(tmp_path, "ruff", "check", "--isolated", "--select", "F,B", "plugins")
    run_in = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins"],
        cwd=tmp_path, env=run_in, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_new_makes_every_shelf_that_the_pipeline_names(tmp_path):
    """Else DVC stops at the first stage: a folder that dvc.yaml names is not there."""
    new_method(tmp_path / "mine", "my_method")
    named = set(re.findall(r"\$\{plugins\}/(\w+)", (ROOT / "dvc.yaml").read_text("utf-8")))
    assert named == set(SHELF_FOLDERS) <= {path.name for path in (tmp_path / "mine").iterdir()}


@pytest.mark.parametrize("name", ["guidance", "no_c", "has", "evaluation"])
def test_a_name_that_params_has_for_something_else_is_refused(tmp_path, name):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "spg", "new", "method", name], cwd=tmp_path, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: ")
    assert done.stderr.endswith("; choose another name\n")
    assert not (tmp_path / "plugins").exists()


@pytest.mark.slow
def test_the_page_goes_from_nothing_to_a_verdict(tmp_path):
    root = tmp_path / "clone"
    root.mkdir()
    copy_project(root)
    said = run(root, "spg", "new", "method", "cutout")
    assert "wrote plugins/methods/cutout.py" in said
    assert "own_methods: [cutout]" in said
    (root / "plugins/methods/cutout.py").write_text(block("cutout.py"), encoding="utf-8")
    test = root / "plugins/tests/test_cutout.py"
    text = test.read_text(encoding="utf-8").replace("dropped=0.5", "side=0.5")
    test.write_text(text, encoding="utf-8")
    run(root, "pytest", "-q", "plugins")
    changes = YAML(typ="safe").load(block("params"))
    mapping = merged(read_yaml(root / "params.yaml"), changes)
    write_json(root / "params.yaml", mapping | {"guided": [], "ablations": []})
    paper = (root / "paper.yaml").read_text(encoding="utf-8")
    (root / "paper.yaml").write_text(
        paper.replace("\nclaims:\n", f"\nclaims:\n{block('claim')}", 1), encoding="utf-8"
    )
    run(root, "dvc", "repro")
    claims = pd.read_csv(root / "reports/synthetic_birds/claims.csv").set_index("claim")
    verdicts = {"undecided", "reproduced", "not reproduced"}
    assert claims.loc["cutout_beats_gap", "verdict"] in verdicts
    table = pd.read_csv(root / "reports/synthetic_birds/comparison.csv")
    assert "cutout" in set(table["method"])
    assert "Cutout" in (root / "reports/synthetic_birds/tables.md").read_text(encoding="utf-8")


def test_cutouts_square_is_where_the_loops_say():
    import torch

    namespace: dict = {}
    exec(block("cutout.py"), namespace)
    centers = torch.tensor([[0.25, 0.5], [0.0, 1.0]])
    got = namespace["kept"](centers, 8, 0.5)
    for image, (row, column) in enumerate(centers.tolist()):
        for y in range(8):
            for x in range(8):
                hidden = abs((y + 0.5) / 8 - row) < 0.25 and abs((x + 0.5) / 8 - column) < 0.25
                assert got[image, 0, y, x] == (not hidden)
