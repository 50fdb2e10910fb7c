from __future__ import annotations

import copy
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from spg.networks.parts.build import build_network
from spg.networks.parts.heads import Classified
from spg.networks.parts.normalize import normalize_maps
from spg.networks.parts.stem import Features
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.plugins import find_plugin, plugin_names
from spg.project.workspace import Cell

PACKAGED = {
    name
    for name in plugin_names("extractor")
    if find_plugin("extractor", name).extract.__module__ == "spg.localize.cam_package"
}
EXTRACTORS = sorted(
    set(plugin_names("extractor")) - (PACKAGED if find_spec("pytorch_grad_cam") is None else set())
)
CLASSES, BATCH = 3, 4


@pytest.fixture(scope="module", params=["spg_plain", "spg"])
def network(request, tiny_params, cell_of):
    torch.manual_seed(0)
    model, _ = build_network(tiny_params, cell_of(request.param), CLASSES)
    with torch.no_grad():  # statistics of some images, as after a training
        model.train()(torch.randn(8, 3, 32, 32))
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def class_ids():
    return torch.tensor([2, 0, 1, 2])


def maps_of(name, model, images, class_ids):
    with torch.no_grad():
        outputs = model(images)
    return find_plugin("extractor", name).extract(model, images, class_ids, outputs)


def test_there_are_the_extractors_of_the_params(params):
    asked = {name for names in params.localization.extractors.values() for name in names}
    assert asked <= set(EXTRACTORS)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_maps_are_finite_float32_and_of_one_shape(name, network, images, class_ids):
    maps = maps_of(name, network, images, class_ids)
    assert maps.dtype == torch.float32
    assert maps.ndim == 3
    assert len(maps) == BATCH
    assert torch.isfinite(maps).all()
    assert not maps.requires_grad
    assert maps.max() > maps.min()


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_map_depends_on_its_image_alone(name, network, images, class_ids):
    together = maps_of(name, network, images, class_ids)
    for place in range(BATCH):
        alone = maps_of(name, network, images[place : place + 1], class_ids[place : place + 1])
        scale = together[place].abs().max()
        assert torch.allclose(alone[0], together[place], rtol=1e-4, atol=1e-5 * float(scale))


@pytest.mark.parametrize("name", sorted(set(EXTRACTORS) - {"center", "eigen_cam", "score_cam"}))
def test_another_class_gives_another_map(name, network, images, class_ids):
    """Eigen-CAM and center know no class; Score-CAM needs other scores: test_cam_package.py."""
    first = maps_of(name, network, images, class_ids)
    second = maps_of(name, network, images, (class_ids + 1) % CLASSES)
    assert all(not torch.equal(one, other) for one, other in zip(first, second, strict=True))


def everything_about(model):
    return {
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "gradients": [parameter.grad for parameter in model.parameters()],
        "requires": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [
            len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules()
        ],
    }


@pytest.mark.parametrize("name", EXTRACTORS)
def test_an_extractor_leaves_the_model_and_the_images_as_they_were(
    name, network, images, class_ids
):
    before, pixels = everything_about(network), images.clone()
    maps_of(name, network, images, class_ids)
    after = everything_about(network)
    states = zip(before.pop("state").items(), after.pop("state").items(), strict=True)
    assert all(key == other and torch.equal(a, b) for (key, a), (other, b) in states)
    assert before == after
    assert all(gradient is None for gradient in after["gradients"])
    assert torch.equal(images, pixels)
    assert not images.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", EXTRACTORS)
def test_an_extractor_works_where_gradients_are_off(name, network, images, class_ids):
    want = maps_of(name, network, images, class_ids)
    with torch.no_grad():
        got = maps_of(name, network, images, class_ids)
        assert not torch.is_grad_enabled()
    assert torch.equal(got, want)


class Broken(nn.Module):
    def __init__(self, stem):
        super().__init__()
        self.stem = stem

    def forward(self, images, labels=None):
        self.stem(images)
        raise RuntimeError("out of memory")


def test_a_failed_grad_cam_leaves_no_hook(network, images, class_ids):
    with pytest.raises(RuntimeError, match="out of memory"):
        find_plugin("extractor", "grad_cam").extract(Broken(network.stem), images, class_ids, None)
    assert len(network.stem._forward_hooks) == 0


def test_cam_is_the_channel_of_the_class(network, images, class_ids):
    with torch.no_grad():
        class_maps = network(images).class_maps
    maps = maps_of("cam", network, images, class_ids)
    for place, class_id in enumerate(class_ids.tolist()):
        assert torch.equal(maps[place], class_maps[place, class_id])


def test_cam_is_the_weighted_sum_of_features(network, images, class_ids):
    """Zhou et al.'s definition from A3 and the classifier's weights, up to the bias."""
    with torch.no_grad():
        features = network.branch_a(network.stem(images).last).a3
        weights = network.branch_a.a4.weight[:, :, 0, 0]
        want = torch.einsum("bk,bkhw->bhw", weights[class_ids], features)
        want += network.branch_a.a4.bias[class_ids][:, None, None]
    got = maps_of("cam", network, images, class_ids)
    assert torch.allclose(got, want, atol=1e-5)


class LinearStem(nn.Module):
    """Features are a 1x1 convolution of the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, images, labels=None):
        features = self.conv(images)
        return Features(features * 2, features * 3, features * 4, features)


class Linear(nn.Module):
    """Logits are linear in the mean of the features, so Grad-CAM has a closed form."""

    def __init__(self):
        super().__init__()
        self.stem = LinearStem()
        self.classifier = nn.Conv2d(5, CLASSES, 1)

    def forward(self, images, labels=None):
        features = self.stem(images).last
        class_maps = self.classifier(features)
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, features)


@pytest.fixture
def linear():
    torch.manual_seed(2)
    return Linear().double().eval()


@pytest.fixture
def small_images():
    return torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def test_grad_cam_of_a_linear_model_in_closed_form(linear, small_images):
    """d y_c / d A_k is w_ck / (h w) everywhere, hence L = ReLU(sum_k w_ck A_k) / (h w)."""
    class_ids = torch.tensor([0, 2])
    got = maps_of("grad_cam", linear, small_images, class_ids)
    features = linear.stem(small_images).last
    weights = linear.classifier.weight[class_ids, :, 0, 0]
    want = torch.einsum("bk,bkhw->bhw", weights, features).clamp_min(0) / 24
    assert (want > 0).any()
    assert (want == 0).any()  # so that the ReLU matters
    assert torch.allclose(got.double(), want, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet50", "efficientnet_lite0"])
def test_grad_cam_is_cam_where_gap_and_a_linear_layer_end_the_network(backbone, tiny_mapping):
    """Selvaraju et al., section 3: then a_k = w_k / (h w), so that Grad-CAM is ReLU(CAM - bias)
    over the number of pixels; after scaling to [0, 1] both are one map where CAM is positive."""
    mapping = copy.deepcopy(tiny_mapping)
    setups = mapping["datasets"]["synthetic_birds"]["backbones"]
    stem = {"width": 1 / 8, "stride": 8, "weights": "drawn"}
    setups[backbone] = setups["inception_v3"] | {"stem": stem}
    torch.manual_seed(0)
    cell = Cell("synthetic_birds", backbone, "cam", 0)
    model, _ = build_network(parse_params(mapping, "tiny"), cell, CLASSES)
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 64, 64))
    model.eval()
    assert not list(model.branch_a.a3)  # GAP and a linear layer alone
    images, class_ids = torch.randn(4, 3, 64, 64), torch.tensor([2, 0, 1, 2])
    cam = maps_of("cam", model, images, class_ids)
    grad_cam = maps_of("grad_cam", model, images, class_ids)
    bias = model.branch_a.a4.bias.detach()[class_ids][:, None, None]
    want = (cam - bias).clamp_min(0)
    assert (want > 0).any()
    assert torch.allclose(grad_cam * cam[0].numel(), want, atol=1e-5)
    assert torch.allclose(normalize_maps(grad_cam), normalize_maps(want), atol=1e-5)


def test_backprop_of_a_linear_model_in_closed_form(linear, small_images):
    """The gradient is the same at every pixel: max over colors of |w conv| / (h w)."""
    class_ids = torch.tensor([1, 2])
    got = maps_of("backprop", linear, small_images, class_ids)
    jacobian = linear.classifier.weight[class_ids, :, 0, 0] @ linear.stem.conv.weight[:, :, 0, 0]
    want = jacobian.abs().amax(dim=1)[:, None, None].expand(2, 4, 6) / 24
    assert torch.allclose(got.double(), want, atol=1e-7)


def test_backprop_equals_finite_differences():
    """A model that is not linear, pixel by pixel, in float64."""
    torch.manual_seed(4)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, CLASSES, 1))
    layers = layers.double()

    def model(images):
        class_maps = layers(images)
        return SimpleNamespace(logits=class_maps.square().mean(dim=(2, 3)), class_maps=class_maps)

    images = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    class_ids = torch.tensor([1, 0])
    got = find_plugin("extractor", "backprop").extract(model, images, class_ids, None)
    step = 1e-6
    for place in range(2):
        slopes = torch.zeros(3, 3, 4)
        for pixel in torch.cartesian_prod(torch.arange(3), torch.arange(3), torch.arange(4)):
            moved = images.clone()
            moved[(place, *pixel)] += step
            up = model(moved).logits[place, class_ids[place]]
            moved[(place, *pixel)] -= 2 * step
            down = model(moved).logits[place, class_ids[place]]
            slopes[tuple(pixel)] = (up - down).item() / (2 * step)
        assert torch.allclose(got[place], slopes.abs().amax(dim=0), rtol=1e-4, atol=1e-7)


def test_sizes_are_those_of_features_and_of_images(network, images, class_ids):
    assert maps_of("cam", network, images, class_ids).shape[1:] == (4, 4)
    assert maps_of("grad_cam", network, images, class_ids).shape[1:] == (4, 4)
    assert maps_of("backprop", network, images, class_ids).shape[1:] == (32, 32)


def test_an_unknown_extractor_is_one_sentence():
    with pytest.raises(UserError, match="'guess' has no file in spg/localize/extractors"):
        find_plugin("extractor", "guess")
