"""`spg doctor`: what would change results is said, and nothing else."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

import spg.tools.doctor
from spg.cli import main
from spg.networks.compute.machine import machine_facts, package_versions
from spg.project.workspace import Workspace
from spg.tools.doctor import as_text, diagnose, lock_warnings, python_warnings, record_warnings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lock(tmp_path):
    def write(*lines):
        path = tmp_path / "requirements.lock"
        path.write_text("\n".join(["# a comment", "", *lines, ""]), encoding="utf-8")
        return list(lock_warnings(path))

    return write


def test_what_is_installed_as_locked_is_silent(lock):
    assert (
        lock(f"numpy=={version('numpy')}", f"Torch=={version('torch').split('+')[0]}  # why") == []
    )


def test_drift_from_the_lock_file_is_named_with_both_versions(lock):
    (said,) = lock("numpy==1.0", f"scipy=={version('scipy')}")
    assert said.startswith(
        f"numpy {version('numpy')} is installed, but requirements.lock has ==1.0"
    )


def test_a_package_that_is_missing_is_named(lock):
    assert lock("no-such-package==1.0")[0].startswith("no-such-package is not installed")


def test_lines_for_other_systems_and_pythons_do_not_count(lock):
    other = "win32" if sys.platform != "win32" else "linux"
    assert (
        lock(f"numpy==1.0 ; sys_platform == '{other}'", "numpy==1.0 ; python_version < '3.10'")
        == []
    )


def test_a_damaged_lock_file_is_named_with_its_line(lock):
    assert lock("numpy===", "<<<<<<< HEAD")[1].startswith("requirements.lock:4: '<<<<<<< HEAD'")


def test_the_projects_lock_file_is_what_is_installed():
    """In an environment that the Makefile made; others have what their owner wanted."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("this Python is not that of .venv")
    assert list(lock_warnings(ROOT / "requirements.lock")) == []


@pytest.mark.parametrize(
    ("running", "count"), [((3, 9), 1), ((3, 10), 0), ((3, 13), 0), ((3, 14), 1)]
)
def test_the_pythons_are_those_of_the_project(running, count):
    assert len(list(python_warnings(running))) == count


def test_the_pythons_are_those_of_pyproject():
    assert 'requires-python = ">=3.10,<3.14"' in (ROOT / "pyproject.toml").read_text()


# ---- Cells that were trained elsewhere ----


@pytest.fixture
def runs(finished, tmp_path):
    for path in (finished.root / "runs").glob("*/*/provenance.json"):
        target = tmp_path / path.relative_to(finished.root)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    return tmp_path / "runs"


def warnings(runs):
    return list(record_warnings(runs, machine_facts(), package_versions()))


def test_cells_of_this_machine_are_silent(runs):
    assert len(list(runs.rglob("provenance.json"))) == 4
    assert warnings(runs) == []


def test_cells_of_another_machine_are_counted_with_what_differs(runs):
    paths = sorted(runs.rglob("provenance.json"))
    for path in paths[:3]:
        record = json.loads(path.read_text())
        record["machine"]["threads"] = 64
        record["machine"]["processes"] = 8  # of the run, not of the machine
        path.write_text(json.dumps(record))
    record = json.loads(paths[3].read_text())
    record["packages"]["torch"] = "2.0"
    paths[3].write_text(json.dumps(record))
    said = warnings(runs)
    now = machine_facts()["threads"]
    assert [text.partition(":")[0] for text in said] == [
        f"3 cells in runs/ were trained with threads 64, and here it is {now}",
        f"1 cells in runs/ were trained with torch 2.0, and here it is {version('torch')}",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"machine": 5, "packages": {}}', b"\xff", b"[" * 9000]
)
def test_a_damaged_record_is_a_warning(runs, content):
    path = sorted(runs.rglob("provenance.json"))[0]
    path.write_bytes(content)
    (said,) = warnings(runs)
    assert said.startswith(f"{path}: not readable")


# ---- The command ----


def test_it_works_outside_a_project_and_writes_its_facts(tmp_path, monkeypatch):
    """On any machine, however little disk and memory it has."""
    monkeypatch.setattr(spg.tools.doctor, "LITTLE_DISK", 0)
    monkeypatch.setattr(spg.tools.doctor, "LITTLE_MEMORY", 0)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["doctor", "--json", "out/doctor.json"])
    assert result.exit_code == 0, result.output
    assert "nothing found that would change results" in result.output
    found = json.loads((tmp_path / "out/doctor.json").read_text())
    assert found["warnings"] == []
    facts = found["facts"]
    assert facts["machine"]["python"] == platform.python_version()
    assert facts["packages"]["torch"] == version("torch")
    assert facts["precision"]["auto"] in ("bf16", "float32")
    assert facts["disk"]["free_bytes"]["project"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_warnings_end_it_with_status_1(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPG_WORKERS", "many")
    (tmp_path / "requirements.lock").write_text("numpy==1.0\n")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("warning: ")]
    assert any("numpy" in line for line in lines)
    assert any("SPG_WORKERS: 'many' is no number" in line for line in lines)


def test_little_space_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(spg.tools.doctor, "LITTLE_DISK", 1 << 62)
    monkeypatch.setattr(spg.tools.doctor, "LITTLE_MEMORY", 1 << 62)
    found = diagnose(Workspace(tmp_path))
    assert any("GiB are free" in text for text in found.warnings)
    assert any("GiB of memory are little" in text for text in found.warnings)
    assert as_text(found).count("warning: ") == len(found.warnings)


def test_a_record_holds_what_the_doctor_says(finished, cell_of):
    record = json.loads((finished.run(cell_of("spg")) / "provenance.json").read_text())
    assert machine_facts().items() <= record["machine"].items()
    assert record["packages"] == package_versions()
