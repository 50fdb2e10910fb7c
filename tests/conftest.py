"""Shared fixtures: the project's params, a tiny copy of them, and a tiny project on disk."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch

from spg.config import Params, load_params, parse_params, read_yaml
from spg.data.prepare import prepare
from spg.data.synthetic_birds import fetch
from spg.files import write_json
from spg.weights import make_weights
from spg.workspace import Cell, Workspace

ROOT = Path(__file__).parent.parent
DATASET = "synthetic_birds"
BACKBONE = "inception_v3"


@pytest.fixture(scope="session", autouse=True)
def _one_cpu_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny networks lose more to threads than they gain
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPG_DEVICE", "cpu")
        patch.setenv("SPG_WORKERS", "0")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def mapping() -> dict:
    """params.yaml as YAML reads it; copy it before changing it."""
    return read_yaml(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def tiny_mapping(mapping) -> dict:
    tiny = copy.deepcopy(mapping)
    tiny["seeds"] = [0, 1]
    dataset = tiny["datasets"][DATASET]
    dataset["source"] |= {"side": 64, "classes": 3, "train_per_class": 6, "test_per_class": 3}
    dataset["prepare"]["holdout_per_class"] = 2
    dataset["stem"]["width"] = 0.0625
    dataset["mask_side"] = 32
    pretraining = tiny["pretraining"]
    pretraining |= {"side": 64, "classes": 2, "images_per_class": 4}
    for owner, epochs in ((dataset, 2), (pretraining, 1)):
        owner["input"] = {"resize": 40, "crop": 32}
        owner["train"] |= {"epochs": epochs, "batch_size": 4, "precision": "float32"}
    tiny["localization"]["batch_size"] = 4
    tiny["sweep"]["thresholds"] = 9
    tiny["comparison"]["resamples"] = 100
    return tiny


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
