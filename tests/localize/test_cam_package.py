"""Maps of the package grad-cam are its own, ours agree with them where the definitions do."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from spg.localize.cam_package import _Behind
from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell

package = pytest.importorskip("pytorch_grad_cam")
from pytorch_grad_cam.utils.image import scale_cam_image  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

OURS = {
    "grad_cam_plus_plus": "GradCAMPlusPlus", "layer_cam": "LayerCAM", "score_cam": "ScoreCAM",
    "eigen_cam": "EigenCAM", "x_grad_cam": "XGradCAM", "hires_cam": "HiResCAM",
}  # fmt: skip
IDS = torch.tensor([2, 0, 1])


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network_of(tiny_mapping):
    from copy import deepcopy

    from spg.project.params import parse_params

    def build(method, backbone="inception_v3"):
        mapping = deepcopy(tiny_mapping)
        birds = mapping["datasets"]["synthetic_birds"]["backbones"]
        birds[backbone] = deepcopy(birds[backbone])
        torch.manual_seed(0)
        cell = Cell("synthetic_birds", backbone, method, 0)
        model, _ = build_network(parse_params(mapping, "tiny"), cell, 3)
        with torch.no_grad():
            model.train()(torch.randn(8, 3, 48, 48))
        return model.eval()

    return build


def of(name, model, images, ids=IDS):
    with torch.no_grad():
        outputs = model(images)
    return find_plugin("extractor", name).extract(model, images, ids, outputs)


@pytest.mark.parametrize("method", ["spg", "acol", "cam"])
@pytest.mark.parametrize("name", OURS)
def test_scaled_as_the_package_does_they_are_its_maps(name, method, network_of, images):
    model = network_of(method)
    behind = _Behind(model)
    targets = [ClassifierOutputTarget(int(one)) for one in IDS]
    with getattr(package, OURS[name])(behind, [behind.last]) as theirs:
        want = theirs(images, targets)
    got = of(name, model, images)
    assert (got >= 0).all()
    scaled = scale_cam_image(scale_cam_image(got.numpy(), (48, 48)))
    np.testing.assert_allclose(scaled, want, atol=2e-5)


@pytest.mark.parametrize("method", ["spg", "acol", "cam"])
def test_its_grad_cam_is_ours(method, network_of, images):
    from spg.localize.cam_package import extractor

    model = network_of(method)
    theirs = extractor("GradCAM")(model, images, IDS, None)
    torch.testing.assert_close(of("grad_cam", model, images), theirs, atol=1e-5, rtol=1e-5)


def test_its_hirescam_is_cam_where_gap_and_one_linear_layer_end_the_network(network_of, images):
    model = network_of("cam", "resnet50")
    cam = of("cam", model, images) - model.branch_a.a4.bias[IDS][:, None, None]
    places = cam[0].numel()
    want = cam.clamp_min(0) / places
    torch.testing.assert_close(of("hires_cam", model, images), want, atol=1e-5, rtol=1e-4)


def test_score_cam_is_of_the_class(network_of, images):
    model = network_of("spg_plain")
    with torch.no_grad():  # an untrained network's scores hardly differ
        dimmed = images * torch.linspace(0, 1, 8).repeat_interleave(6)[:, None]
        model.branch_a.a4.weight *= 50 / (model(images).logits - model(dimmed).logits).std()
    first, second = (of("score_cam", model, images, ids) for ids in (IDS, (IDS + 1) % 3))
    assert all(not torch.allclose(a, b, rtol=0.01) for a, b in zip(first, second, strict=True))
    behind = _Behind(model)
    targets = [ClassifierOutputTarget(int(one)) for one in IDS]
    with package.ScoreCAM(behind, [behind.last]) as theirs:
        want = theirs(images, targets)
    scaled = scale_cam_image(scale_cam_image(first.numpy(), (48, 48)))
    np.testing.assert_allclose(scaled, want, atol=2e-5)


def test_a_model_is_left_as_it_was(network_of, images):
    model = network_of("spg")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name in OURS:
        of(name, model, images)
    assert not model.stem._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_each_map_depends_on_its_image_alone(network_of, images):
    model = network_of("spg_plain")
    for name in OURS:
        whole, alone = of(name, model, images), of(name, model, images[1:2], IDS[1:2])
        torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-4)


def test_without_the_package_it_is_one_sentence(network_of, images, monkeypatch):
    model = network_of("spg_plain")
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(UserError, match=r'package grad-cam .*pip install "spg\[cams\]"'):
        of("layer_cam", model, images)
