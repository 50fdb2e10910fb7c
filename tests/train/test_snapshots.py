"""The maps that are kept after each epoch: of test images, and without a trace in the training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spg.data.images.manifest import TEST, read_manifest, spread
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import load_model
from spg.project.workspace import Workspace
from spg.train.snapshots import save_snapshots, snapshot
from spg.train.stage import train_cell

DATASET = "synthetic_birds"


@pytest.fixture
def batch():
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return images, torch.tensor([0, 2, 1, 2])


@pytest.fixture
def model_of(tiny_params, cell_of):
    def build(method):
        torch.manual_seed(0)
        return build_network(tiny_params, cell_of(method), 3)[0].train()

    return build


@pytest.mark.parametrize(
    ("method", "names"),
    [("spg", {"attention", "b1", "b2", "c"}), ("no_c", {"attention", "b1", "b2"}),
     ("spg_plain", {"attention"}), ("acol", {"attention"})],
)  # fmt: skip
def test_a_snapshot_is_what_the_branches_say_in_evaluation_mode(model_of, batch, method, names):
    model = model_of(method)
    state = copy.deepcopy(model.state_dict())
    images, labels = batch
    maps = snapshot(model, images, labels)
    assert set(maps) == names
    assert model.training
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        outputs = model(images, labels)
    for row, label in enumerate(labels.tolist()):
        assert torch.equal(maps["attention"][row], outputs.class_maps[row, label])
    for branch in names - {"attention"}:
        assert torch.equal(maps[branch], torch.sigmoid(getattr(outputs, branch)[:, 0]))


def test_a_file_holds_one_map_an_epoch(tmp_path):
    epochs = [{"attention": torch.full((2, 3, 3), float(epoch))} for epoch in range(4)]
    save_snapshots(tmp_path / "epochs.safetensors", np.array([7, 9]), epochs)
    found = load_file(tmp_path / "epochs.safetensors")
    assert found["images"].tolist() == [7, 9]
    assert found["attention"].shape == (4, 2, 3, 3)
    assert found["attention"][:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_a_cell_keeps_the_maps_of_test_images(tiny_workspace, tiny_params, cell_of, tmp_path):
    cell = cell_of("spg")
    for name in ("data", "weights"):
        (tmp_path / name).symlink_to(tiny_workspace.root / name)
    workspace = Workspace(tmp_path)
    train_cell(workspace, tiny_params, cell)
    found = load_file(workspace.run(cell) / "epochs.safetensors")
    manifest = read_manifest(workspace.packed(DATASET) / "manifest.parquet")
    tests = np.flatnonzero(manifest["split"] == TEST)
    assert found["images"].tolist() == spread(tests, 6).tolist()
    assert set(manifest["split"][found["images"].numpy()]) == {TEST}
    epochs = tiny_params.setup(DATASET, cell.backbone).train.epochs
    assert found["attention"].shape[:2] == (epochs, 6)
    model, _ = build_network(tiny_params, cell, 3)
    load_model(workspace.run(cell) / "model.safetensors", model)
    assert not torch.equal(found["attention"][0], found["attention"][-1])


@pytest.mark.parametrize(("count", "total"), [(1, 1), (3, 100), (6, 6), (6, 9), (6, 2), (20, 4)])
def test_images_to_show_are_spread_and_never_repeated(count, total):
    places = np.arange(100, 100 + total)
    chosen = spread(places, count)
    assert 1 <= len(chosen) <= count
    assert len(set(chosen.tolist())) == len(chosen)
    assert set(chosen) <= set(places)
    assert (np.diff(chosen) > 0).all()
