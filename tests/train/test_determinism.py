"""The same bytes whatever the machine's settings: from nothing to a cell's numbers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny, with_setup

from spg.project.files import read_json
from spg.project.params import read_yaml

ROOT = Path(__file__).parents[2]
CELL = ["--method", "spg", "--seed", "1"]
COMMANDS = [["train", *CELL], ["localize", *CELL], ["sweep", *CELL], ["evaluate", *CELL]]
CHAIN = f"""
from spg.cli import main
for words in {COMMANDS!r}:
    main(words, standalone_mode=False)
"""
OTHER_PLACE = {
    "TZ": "Asia/Kathmandu", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
    "PYTHONHASHSEED": "11", "USER": "nobody", "COLUMNS": "40",
}  # fmt: skip


def results(root, precision, **variables):
    """Make a cell from nothing in ``root`` and return the hash of every file of results."""
    mapping = with_setup(tiny(read_yaml(ROOT / "params.yaml")), train={"precision": precision})
    mapping["localization"]["precision"] = precision
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(json.dumps(mapping), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-c", CHAIN], cwd=root, check=True, capture_output=True, timeout=200,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SPG_WORKERS": "0"} | variables,
    )  # fmt: skip
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("data", "weights", "runs", "maps", "sweep", "eval")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module", params=["float32", pytest.param("bf16", marks=pytest.mark.slow)])
def made(request, tmp_path_factory):
    """A precision and the results with it, without any worker."""
    return request.param, results(tmp_path_factory.mktemp("base") / "project", request.param)


def test_workers_folder_locale_time_zone_and_a_cold_cache_change_no_byte(made, tmp_path):
    precision, want = made
    cold = {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    root = tmp_path / "an other place"
    assert results(root, precision, SPG_WORKERS="4", **OTHER_PLACE, **cold) == want
    assert any(name.endswith("metrics.json") for name in want)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_number_of_workers_changes_no_byte(made, tmp_path, workers):
    precision, want = made
    if precision == "bf16":
        pytest.skip("workers load and sweep, whatever the precision; 4 of them are tried above")
    assert results(tmp_path / "project", precision, SPG_WORKERS=workers) == want


def test_the_precision_changes_the_model(made, tmp_path):
    """So that equal bytes above are no accident of a cell that nothing can change."""
    precision, want = made
    if precision == "bf16":
        pytest.skip("compared once")
    assert results(tmp_path / "project", "bf16") != want


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_two_runs_on_one_gpu_are_the_same_bytes(precision, tmp_path):
    """`execution.deterministic` is on; nothing that was made on a CPU stands for it."""
    first, second = (
        results(tmp_path / name, precision, SPG_DEVICE="cuda") for name in ("first", "second")
    )
    (made,) = (tmp_path / "first/runs").rglob("provenance.json")
    assert read_json(made)["machine"]["device"] != "cpu"
    assert first == second
