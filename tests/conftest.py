"""Shared fixtures: the project's params, a tiny copy of them, and a tiny project on disk."""

from __future__ import annotations

import os

# Tiny networks lose more to threads than they gain, in this process and in every command that a
# test starts; torch reads the variable when it is loaded. What a test computes here has to be what
# a command computes, so this process is capped as they are, before any library is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from spg.project.portable import in_force

assert in_force(), "run pytest in the project's folder, whose params.yaml asks for portable bits"

import copy
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from kernels import Kernels
from nbclient import NotebookClient
from tiny import sharing, tiny
from victims import run_all

from spg.compare.stage import compare
from spg.data.fetch.stage import fetch
from spg.data.prepare.stage import prepare
from spg.evaluate.stage import evaluate_cell
from spg.evaluate.sweep.stage import sweep_cell
from spg.localize.stage import localize_cell
from spg.networks.weights.stage import make_weights
from spg.project.files import write_json
from spg.project.params import Params, load_params, parse_params, read_yaml
from spg.project.workspace import Cell, Workspace
from spg.report import notebook
from spg.train.stage import train_cell

ROOT = Path(__file__).parent.parent

# pytest imports each test file by its bare name. One whose name is taken would be an error at the
# end of the whole run, so it is one at the start.
_NAMES = Counter(path.stem for path in (ROOT / "tests").glob("*/test_*.py"))
assert max(_NAMES.values()) == 1, f"two test files are called {_NAMES.most_common(1)[0][0]}.py"
DATASET = "synthetic_birds"
BACKBONE = "inception_v3"

# The same examples every time, whatever the machine's speed.
settings.register_profile("spg", deadline=None, derandomize=True, database=None)
settings.load_profile("spg")


@pytest.fixture(scope="session", autouse=True)
def _one_cpu_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny networks lose more to threads than they gain
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPG_DEVICE", "cpu")
        patch.setenv("SPG_WORKERS", "0")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _kernels_take_no_ports():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            notebook, "NotebookClient", partial(NotebookClient, kernel_manager_class=Kernels)
        )
        yield


@pytest.fixture(scope="session")
def mapping() -> dict:
    """params.yaml as YAML reads it; copy it before changing it."""
    return read_yaml(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def tiny_mapping(mapping) -> dict:
    return tiny(mapping)


@pytest.fixture(scope="session")
def _pristine(mapping, tiny_mapping) -> list[dict]:
    return copy.deepcopy([mapping, tiny_mapping])


@pytest.fixture(autouse=True)
def _what_tests_share_stays(mapping, tiny_mapping, _pristine):
    """A test that changes them fails itself, not those that run behind it in its process."""
    yield
    if [mapping, tiny_mapping] != _pristine:
        for shared, kept in zip((mapping, tiny_mapping), copy.deepcopy(_pristine), strict=True):
            shared.clear()
            shared.update(kept)
        pytest.fail("this test changed mapping or tiny_mapping, which all tests share: copy it")


@pytest.fixture(scope="session")
def tiny_params(tiny_mapping) -> Params:
    return parse_params(tiny_mapping, "tiny params")


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory, tiny_mapping, tiny_params) -> Workspace:
    """A project with drawn, packed images and stem weights; nothing may change what lies in it."""
    root = tmp_path_factory.mktemp("project")
    write_json(root / "params.yaml", tiny_mapping)  # JSON is YAML
    shutil.copy(ROOT / "paper.yaml", root / "paper.yaml")
    workspace = Workspace(root)
    fetch(workspace, tiny_params, DATASET)
    prepare(workspace, tiny_params, DATASET)
    make_weights(workspace, tiny_params, DATASET, BACKBONE)
    return workspace


@pytest.fixture(scope="session")
def cell_of():
    """A function from method and seed to the cell on the default data set and backbone."""
    return lambda method, seed=0: Cell(DATASET, BACKBONE, method, seed)


@pytest.fixture(scope="session")
def two_methods(tiny_mapping):
    return parse_params({**tiny_mapping, "guided": ["spg"], "ablations": []}, "two methods")


@pytest.fixture(scope="session")
def cells(cell_of):
    return [cell_of(method, seed) for method in ("spg_plain", "spg") for seed in (0, 1)]


@pytest.fixture(scope="session")
def finished(tiny_workspace, tmp_path_factory, two_methods, cells):
    """A tiny project in which all stages up to compare ran."""
    workspace = sharing(tiny_workspace, tmp_path_factory.mktemp("finished"), "data", "weights")
    shutil.copy(tiny_workspace.paper_file, workspace.paper_file)
    for cell in cells:
        for stage in (train_cell, localize_cell, sweep_cell, evaluate_cell):
            stage(workspace, two_methods, cell)
    compare(workspace, two_methods, DATASET)
    return workspace


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, tiny_mapping):
    """A tiny project that commands of one cell made in processes of their own."""
    root = tmp_path_factory.mktemp("undisturbed")
    write_json(root / "params.yaml", tiny_mapping)
    return run_all(root)
