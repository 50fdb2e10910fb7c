"""Which code runs: the stages of a checkout run its own files, or stop with one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spg.project import checkout
from spg.project.checkout import check_checkout, installed_checkout
from spg.project.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def other(tmp_path):
    """Another checkout, whose fetch stage says that it ran."""
    for name in ("spg", "stages", "params.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    stage = tmp_path / "spg/data/fetch/stage.py"
    stage.write_text(stage.read_text() + "\nraise SystemExit('the code of the other checkout')\n")
    return tmp_path


def fetch(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DVC_ROOT")}
    return subprocess.run(
        [sys.executable, "-m", "stages.fetch", "synthetic_birds"], cwd=folder, check=False,
        capture_output=True, text=True, env=environment | variables,
    )  # fmt: skip


def test_a_stage_imports_the_files_beside_it_whatever_is_installed(other):
    assert "the code of the other checkout" in fetch(other, PYTHONPATH=str(other)).stderr


def test_a_copy_that_dvc_makes_runs_its_own_code(other):
    """`dvc exp run --temp` and `--queue` name the checkout in DVC_ROOT."""
    ended = fetch(other, DVC_ROOT=str(installed_checkout()))
    assert "the code of the other checkout" in ended.stderr


def without_its_mark(other):
    stage = other / "spg/data/fetch/stage.py"
    stage.write_text(stage.read_text().rpartition("\nraise")[0])
    return other


@pytest.mark.skipif(installed_checkout() is None, reason="spg is not installed editable here")
def test_another_checkouts_installation_is_one_sentence_and_nothing_is_written(other):
    ended = fetch(without_its_mark(other))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {other}: this environment runs the code of ")
    assert len(ended.stderr.splitlines()) == 1
    assert not (other / "data").exists()


def test_a_command_run_in_another_checkout_is_refused(other):
    with pytest.raises(UserError, match="this environment runs the code of"):
        check_checkout(other)


def test_a_folder_without_code_is_anybodys(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "installed_checkout", lambda: Path("/elsewhere"))
    check_checkout(tmp_path)


def test_the_checkout_itself_may_run(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(checkout, "installed_checkout", lambda: ROOT)
    check_checkout(ROOT)
    monkeypatch.setattr(checkout, "installed_checkout", lambda: None)  # not installed at all
    check_checkout(ROOT)
    monkeypatch.setattr(checkout, "installed_checkout", lambda: Path("/elsewhere"))
    with pytest.raises(UserError, match="/elsewhere, another checkout; run `make setup`"):
        check_checkout(ROOT)


def test_without_an_activated_environment_a_stage_finds_its_own():
    """`.venv/bin/dvc repro` leaves `python` to the system, whose Python has no package."""
    system = getattr(sys, "_base_executable", sys.executable)
    bare = subprocess.run([system, "-c", "import dvc, torch"], check=False, capture_output=True)
    if bare.returncode == 0 or not (ROOT / ".venv/bin/python").exists():
        pytest.skip("the system's Python has the packages, or there is no .venv")
    ended = subprocess.run(
        [system, "-m", "stages.fetch", "moon"], cwd=ROOT, check=False, capture_output=True,
        text=True, env={k: v for k, v in os.environ.items() if k != "DVC_ROOT"},
    )  # fmt: skip
    assert ended.returncode == 2
    assert "datasets has no 'moon'" in ended.stderr
