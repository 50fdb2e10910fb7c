"""Plug-ins of a user's own: in the folder that params.yaml names, and in installed packages."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import pytest

from spg.project import plugins
from spg.project.errors import UserError
from spg.project.files import write_json
from spg.project.parallel import in_order
from spg.project.params import load_params
from spg.project.plugins import SHELVES, find_plugin, plugin_names, use_folder

MEASURE = """\
WORD = {word!r}
COLUMNS = ("luck",)


def measure(loc_map, image):
    return {{"luck": 1.0}}
"""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What a test puts on a shelf is taken from it again."""
    monkeypatch.delenv(plugins._FOLDER, raising=False)
    before = {kind: list(import_module(SHELVES[kind]).__path__) for kind in ("measure", "method")}
    loaded = set(sys.modules)
    yield
    os.environ.pop(plugins._FOLDER, None)
    for kind, paths in before.items():
        import_module(SHELVES[kind]).__path__[:] = paths
    for name in set(sys.modules) - loaded:
        if name.startswith("spg."):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine/measures").mkdir(parents=True)
    (tmp_path / "mine/measures/luck.py").write_text(MEASURE.format(word="folder"), encoding="utf-8")
    return tmp_path / "mine"


def word_of(name: str) -> str:
    return find_plugin("measure", name).WORD


def test_a_file_in_the_folder_is_found_by_its_name(folder):
    assert "luck" not in plugin_names("measure")
    use_folder(folder)
    assert "luck" in plugin_names("measure")
    assert word_of("luck") == "folder"
    assert find_plugin("measure", "luck").__file__ == str(folder / "measures/luck.py")
    assert "luck" not in plugin_names("method")
    assert find_plugin("measure", "energy").__name__ == "spg.evaluate.sweep.measures.energy"


def test_processes_that_are_started_from_here_find_it_too(folder):
    use_folder(folder)
    for names in in_order(plugin_names, ["measure", "measure"], workers=2):
        assert "luck" in names


def test_params_name_the_folder_beside_themselves(folder, tiny_mapping):
    write_json(folder.parent / "params.yaml", tiny_mapping | {"plugins": "mine"})
    load_params(folder.parent / "params.yaml")
    assert "luck" in plugin_names("measure")


def test_a_folder_that_is_not_there_changes_nothing(tmp_path):
    before = plugin_names("measure")
    use_folder(tmp_path / "nowhere")
    assert plugin_names("measure") == before


def test_a_file_with_the_name_of_one_of_ours_is_one_sentence(folder):
    (folder / "measures/energy.py").write_text(MEASURE, encoding="utf-8")
    use_folder(folder)
    with pytest.raises(UserError, match=r"measure 'energy' has a file in .*measures and in .*mine"):
        find_plugin("measure", "energy")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package, as pip leaves it: its module, and its entry points beside it."""
    (tmp_path / "fortune.py").write_text(MEASURE.format(word="package"), encoding="utf-8")
    facts = tmp_path / "fortune-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: fortune\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[spg.measures]\nluck = fortune\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_plug_in_of_an_installed_package_is_found(package):
    assert "luck" in plugin_names("measure")
    assert word_of("luck") == "package"
    assert "luck" not in plugin_names("method")


@pytest.mark.parametrize("kind", sorted(SHELVES))
def test_every_kind_has_a_group_of_entry_points(kind, tmp_path, monkeypatch):
    """It is called after the shelf, as docs/extending.md says."""
    (tmp_path / "windfall.py").write_text(f"KIND = {kind!r}\n", encoding="utf-8")
    facts = tmp_path / "windfall-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: windfall\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[spg.{kind}s]\nwindfall = windfall\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "windfall", raising=False)
    found = find_plugin(kind, "windfall").KIND
    assert found == kind
    assert [k for k in SHELVES if "windfall" in plugin_names(k)] == [kind]


def test_a_file_comes_before_a_package(package, folder):
    use_folder(folder)
    assert word_of("luck") == "folder"


def test_an_unknown_name_lists_those_of_all_places(package, folder):
    (folder / "measures/other.py").write_text(MEASURE, encoding="utf-8")
    use_folder(folder)
    with pytest.raises(UserError, match=r"measure 'hope' has no file .*'energy', 'luck', 'other'"):
        find_plugin("measure", "hope")
