"""What an unfinished training is named by: its stage's own code, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import spg
import spg.networks.weights.drawn
import spg.train.stage
from spg.project.fingerprint import code_of, fingerprint
from spg.project.plugins import find_plugin

ROOT = Path(__file__).parents[2]


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A copy of the code that may be edited, as if it were the package."""
    shutil.copytree(ROOT / "spg", tmp_path / "spg", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(spg, "__file__", str(tmp_path / "spg/__init__.py"))

    def edit(place):
        path = tmp_path / place
        path.write_text(path.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")

    return edit


@pytest.mark.parametrize("rooms", [spg.train.stage.ROOMS, spg.networks.weights.drawn.ROOMS])
def test_an_edit_elsewhere_keeps_the_name_and_one_of_the_stage_changes_it(edited, rooms):
    name = fingerprint(*code_of(rooms))
    for elsewhere in ("report/tables.py", "compare/claims.py", "cli/data.py", "tools/plan.py"):
        edited(f"spg/{elsewhere}")
    assert fingerprint(*code_of(rooms)) == name
    seen = {name}
    for own in rooms:
        edited(next(str(path) for path in map(Path, files_in(own))))
        seen.add(fingerprint(*code_of(rooms)))
    assert len(seen) == 1 + len(rooms)


def files_in(room):
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py"))


def test_a_plug_in_is_its_file_or_all_files_of_its_package():
    assert [path.name for path in code_of([], find_plugin("method", "cam"))] == ["cam.py"]
    names = {path.name for path in code_of([], find_plugin("method", "spg"))}
    assert names == {"__init__.py", "guidance.py"}


def test_parts_do_not_run_into_each_other():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("ab") == fingerprint(b"ab")
