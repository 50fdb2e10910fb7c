"""Ten crops and their merged map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision.transforms.v2.functional as V
from hypothesis import given
from hypothesis import strategies as st

from spg.data.images.manifest import read_manifest
from spg.data.images.packed import PackedImages
from spg.localize.crops import mean_scores, merge_ten_maps, ten_crops
from spg.localize.stage import localize_cell
from spg.networks.parts.build import load_network
from spg.project.params import parse_params
from spg.project.workspace import Workspace
from spg.train.stage import train_cell


def coverage(side, crop):
    """How many of the ten crops see each pixel, by cutting an image of pixel numbers."""
    numbers = torch.arange(side * side, dtype=torch.float64).reshape(1, 1, side, side)
    seen = torch.cat([view.flatten() for view in V.ten_crop(numbers, [crop, crop])]).long()
    return torch.bincount(seen, minlength=side * side).reshape(side, side)


@given(st.integers(2, 12), st.integers(0, 7), st.integers(0, 99))
def test_crops_laid_back_are_the_image_times_how_often_each_place_was_seen(crop, more, seed):
    side = crop + more
    image = torch.rand((2, 1, side, side), generator=torch.Generator().manual_seed(seed)) + 0.1
    crops = ten_crops(image.expand(2, 3, side, side), crop)
    assert [tuple(view.shape) for view in crops] == [(2, 3, crop, crop)] * 10
    merged = merge_ten_maps([view[:, 0] for view in crops], side, crop)
    assert torch.allclose(merged, image[:, 0] * coverage(side, crop), rtol=1e-5)


def test_magnitudes_are_added_as_published():
    maps = [torch.full((1, 2, 2), value) for value in (1.0, -1.0, 2.0, -2.0, 0.5) * 2]
    merged = merge_ten_maps(maps, 2, 2)
    assert merged.tolist() == [[[13.0, 13.0], [13.0, 13.0]]]


def test_small_maps_are_interpolated_to_the_crop():
    left_to_right = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    merged = merge_ten_maps([left_to_right] * 5 + [left_to_right.flip(-1)] * 5, 4, 4)
    assert torch.allclose(merged[0, 0], torch.tensor([0.0, 2.5, 7.5, 10.0]))


def test_scores_are_the_mean_of_the_crops_softmax():
    logits = [torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, float(np.log(3))]])]
    assert torch.allclose(mean_scores(logits), torch.tensor([[0.375, 0.625]]))


@pytest.fixture(scope="module")
def ten(tiny_mapping):
    changed = {**tiny_mapping, "methods": ["spg_plain"], "guided": [], "seeds": [0]}
    changed["localization"] = {**tiny_mapping["localization"], "ten_crop": True}
    return parse_params(changed, "")


def test_a_cell_localized_with_ten_crops(tiny_workspace, tmp_path, ten, cell_of):
    """Maps of the whole resized image; scores and maps by hand from the network itself."""
    workspace = Workspace(tmp_path)
    for name in ("data", "weights", "paper.yaml", "params.yaml"):
        (tmp_path / name).symlink_to(tiny_workspace.root / name)
    cell = cell_of("spg_plain")
    train_cell(workspace, ten, cell)
    localize_cell(workspace, ten, cell)
    maps = np.load(workspace.maps(cell) / "cam.npy")
    scores = pd.read_parquet(workspace.maps(cell) / "scores.parquet")
    geometry = ten.setup(cell.dataset, cell.backbone).input
    assert maps.shape[1:] == (geometry.resize, geometry.resize)
    assert (maps >= 0).all()
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    place = int(manifest.index[manifest["image_id"] == scores.loc[0, "image_id"]][0])
    pixels = torch.from_numpy(PackedImages(workspace.packed(cell.dataset)).image(place))
    whole = V.resize(pixels.permute(2, 0, 1), [geometry.resize] * 2, antialias=True)[None]
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    model = load_network(workspace, ten, cell, 3)
    with torch.no_grad():
        views = [
            model((view / 255 - mean) / std) for view in V.ten_crop(whole, [geometry.crop] * 2)
        ]
    softmax = torch.stack([view.logits.softmax(dim=1) for view in views]).mean(dim=0)[0]
    assert scores.loc[0, "top1"] == int(softmax.argmax())
    assert scores.loc[0, "score1"] == pytest.approx(float(softmax.max()), abs=1e-5)
    label = int(manifest.loc[place, "class_id"])
    merged = merge_ten_maps(
        [view.class_maps[:, label] for view in views], geometry.resize, geometry.crop
    )
    assert np.allclose(maps[0], merged[0].numpy(), atol=1e-4)
