"""Attention-based dropout: its map, read pixel by pixel, its gradient, and where it stands."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.networks.methods import adl
from spg.networks.methods.adl import attention
from spg.networks.parts.build import build_network
from spg.networks.parts.stem import HEAD
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell

CLASSES = 3
features = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    elements=st.floats(-8, 8, width=16),
)


def weighed_by_loops(values, hides, threshold):
    """What an image's features become: adl.py of wsolevaluation, pixel by pixel."""
    out = np.empty_like(values)
    for number, image in enumerate(values):
        channels, height, width = image.shape
        mean = [[math.fsum(image[:, y, x]) / channels for x in range(width)] for y in range(height)]
        highest = max(value for row in mean for value in row)
        for y in range(height):
            for x in range(width):
                weight = 1 / (1 + math.exp(-mean[y][x]))
                if hides:
                    weight = float(mean[y][x] < threshold * highest)
                out[number, :, y, x] = image[:, y, x] * weight
    return out


@given(features, st.booleans(), st.sampled_from([0.0, 0.5, 0.75, 1.0]))
def test_the_map_is_the_rule_read_pixel_by_pixel(values, hides, threshold):
    x = torch.from_numpy(values)
    got = x * attention(x, hides=hides, threshold=threshold)
    # of sixteenths of powers of two every mean of up to 4 channels but 3 is exact; 3 may round
    want = weighed_by_loops(values, hides, threshold)
    if hides and values.shape[1] == 3:
        mean = values.mean(1, keepdims=True)
        near = np.abs(mean - threshold * mean.max((2, 3), keepdims=True)) < 1e-9
        got, want = (np.where(near, 0, one) for one in (got.numpy(), want))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("hides", [True, False])
def test_the_gradient_is_that_of_small_differences(hides):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    weight = torch.randn_like(x)
    leaf = x.clone().requires_grad_()
    (leaf * attention(leaf, hides=hides, threshold=0.9) * weight).sum().backward()
    want = np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        value = []
        for step in (1e-6, -1e-6):
            moved = x.clone()
            moved[place] += step
            value.append(float((torch.from_numpy(
                weighed_by_loops(moved.numpy(), hides, 0.9)) * weight).sum()))  # fmt: skip
        want[place] = (value[0] - value[1]) / 2e-6
    np.testing.assert_allclose(leaf.grad.numpy(), want, atol=1e-7)


@pytest.fixture
def network(tiny_mapping):
    def build(backbone="inception_v3", method="adl", *, head=None, **rule):
        mapping = copy.deepcopy(tiny_mapping)
        mapping["adl"] |= rule
        for name in ("adl", "cam"):
            mapping[name]["head"] = head
        setups = mapping["datasets"]["synthetic_birds"]["backbones"]
        if backbone not in setups:  # only ever on photographs
            setups[backbone] = mapping["datasets"]["imagenette"]["backbones"][backbone]
        params = parse_params(mapping, "tiny")
        torch.manual_seed(0)
        return build_network(params, Cell("synthetic_birds", backbone, method, 0), CLASSES)[0]

    return build


PUBLISHED = {  # positions of wsolevaluation's networks, and the shapes of what is attended
    "inception_v3": 3, "vgg16": 3, "resnet50": 3, "efficientnet_lite0": 2,
}  # fmt: skip


@pytest.mark.parametrize(("backbone", "layers"), PUBLISHED.items())
def test_every_published_layer_is_attended_once_a_batch(network, backbone, layers, monkeypatch):
    seen = []
    monkeypatch.setattr(
        adl, "attention", lambda x, **_: seen.append(x.shape[1]) or torch.ones_like(x[:, :1])
    )
    model = network(backbone)
    images = torch.randn(2, 3, 32, 32)
    model.train()(images)
    assert len(seen) == layers == len(model.stem.attended)
    model.eval()(images)
    assert len(seen) == layers  # and none in a test


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_what_is_attended_is_what_the_next_layer_reads(network, backbone, monkeypatch):
    """A map of zeros at one layer alone leaves a stem behind it that sees no image."""
    monkeypatch.setattr(adl, "attention", lambda x, **_: torch.zeros_like(x[:, :1]))
    for name in network(backbone).stem.attended:
        model = network(backbone, positions=[name]).train()
        with torch.no_grad():
            first, second = (model(torch.randn(3, 3, 32, 32)).logits for _ in range(2))
        assert torch.allclose(first, second, atol=1e-6), name


def test_where_vggs_and_inceptions_layers_stand(network, monkeypatch):
    """Positions told by what the attended features equal: pool3, and ReLUs behind conv4 and 5."""
    seen = []
    monkeypatch.setattr(
        adl, "attention", lambda x, **_: seen.append(x.detach()) or torch.ones_like(x[:, :1])
    )
    images = torch.randn(2, 3, 32, 32)
    model = network("vgg16").train()
    outputs = model(images)
    stem = model.stem
    x = images
    blocks = []
    for number in range(5):
        x = stem._block(number, x)
        blocks.append(x)
        if number < 3:
            x = torch.nn.functional.max_pool2d(x, 2)
    assert torch.equal(seen[0], torch.nn.functional.max_pool2d(blocks[2], 2))
    assert torch.equal(seen[1], blocks[3])
    assert torch.equal(seen[2], blocks[4])
    assert stem.attended == ("features.16", "features.22", "features.29")
    seen.clear()
    model = network().train()
    outputs = model(images)
    assert model.stem.attended == ("Mixed_5d", "Mixed_6e", HEAD)
    assert torch.equal(seen[2], outputs.a3)


def test_without_positions_it_is_the_gap_network_to_the_bit(network):
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 1])
    for one, other in zip(
        _step(network(positions=[]), images, labels),
        _step(network(method="cam"), images, labels),
        strict=True,
    ):
        assert torch.equal(one, other)


def _step(model, images, labels):
    outputs = model.train()(images, labels)
    torch.nn.functional.cross_entropy(outputs.logits, labels).backward()
    return [outputs.class_maps.detach(), *(p.grad for p in model.parameters())]


def by_hand(hides, threshold):
    """Return a hook's function that does to features what the paper says."""

    def weigh(x):
        mean = x.sum(1, keepdim=True) / x.shape[1]
        if not hides:
            return x / (1 + torch.exp(-mean))
        kept = torch.stack([image < threshold * image.max() for image in mean.detach()])
        return torch.where(kept, x, torch.zeros_like(x))

    return weigh


@pytest.mark.parametrize("seed", range(4))
def test_a_training_step_is_the_gap_networks_with_the_rule_by_hand_between_its_layers(
    network, seed
):
    """Loss and the gradient of every parameter, at a threshold that is not the published one."""
    images, labels = torch.randn(4, 3, 32, 32).double(), torch.tensor([0, 1, 2, 1])
    plain = network(method="cam").double()
    torch.manual_seed(seed)
    hides = [float(torch.rand(())) < 0.5 for _ in range(3)]
    first, second, last = [by_hand(hide, 0.6) for hide in hides]
    layers = dict(plain.stem.named_modules())
    layers["Mixed_5d"].register_forward_hook(lambda _, __, x: first(x))
    layers["Mixed_6e"].register_forward_hook(lambda _, __, x: second(x))
    plain.branch_a.a4.register_forward_pre_hook(lambda _, inputs: (last(inputs[0]),))
    want = _step(plain, images, labels)
    attended = network(drop_rate=0.5, threshold=0.6).double()
    torch.manual_seed(seed)
    got = _step(attended, images, labels)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_a_test_is_the_gap_networks(network):
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        one, other = (network(method=name).eval()(images) for name in ("adl", "cam"))
    assert torch.equal(one.class_maps, other.class_maps)


def test_the_drop_rate_is_how_often_a_layer_hides(network, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        adl, "attention",
        lambda x, hides, **_: drawn.append(hides) or torch.ones_like(x[:, :1]),
    )  # fmt: skip
    model = network(drop_rate=0.75).train()
    torch.manual_seed(4)
    with torch.no_grad():
        for _ in range(150):
            model(torch.zeros(2, 3, 32, 32))
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.06)
    layers = np.array(drawn).reshape(-1, 3)
    assert 0.4 < (layers[:, 0] == layers[:, 1]).mean() < 0.8  # 10/16: each layer draws its own
    for rate, always in ((0.0, False), (1.0, True)):
        drawn.clear()
        network(drop_rate=rate).train()(torch.zeros(2, 3, 32, 32))
        assert drawn == [always] * 3


def test_it_takes_the_place_of_dropout(tiny_mapping, cell_of):
    from tiny import with_setup

    params = parse_params(with_setup(tiny_mapping, train={"dropout": 0.5}), "")
    assert build_network(params, cell_of("adl"), CLASSES)[0].branch_a.dropout == 0


def test_an_unknown_position_is_one_sentence(network):
    with pytest.raises(UserError, match=r"adl\.positions: 'Mixed_9z' is no layer.*'Mixed_5d'"):
        network(positions=["Mixed_9z"])


@pytest.mark.parametrize(
    ("backbone", "name"),
    [("resnet50", "layer3"), ("vgg16", "features"), ("resnet50", "bn1"), ("resnet50", "")],
)
def test_a_position_at_which_nothing_would_happen_is_refused(network, backbone, name):
    """What only holds layers is never called; several processes replace batch norms."""
    with pytest.raises(UserError, match=r"adl\.positions: "):
        network(backbone, positions=[name])


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_every_stem_names_layers_that_it_calls(backbone):
    stem = find_plugin("backbone", backbone).build(0.125).train()
    before = {name: value.clone() for name, value in stem.state_dict().items()}
    layers = adl.layers_with_maps(stem)
    assert set(stem.attended) - {HEAD} <= set(layers)
    assert stem.training
    assert not any(layer._forward_hooks for layer in stem.modules())
    assert all(torch.equal(value, before[name]) for name, value in stem.state_dict().items())


@pytest.mark.parametrize(
    "rule",
    [
        {"drop_rate": 1.5},
        {"threshold": -0.1},
        {"positions": "everywhere"},
        {"positions": ["Mixed_6e", "head", "Mixed_6e"]},
    ],
)
def test_a_value_out_of_range_is_named(network, rule):
    (key,) = rule
    with pytest.raises(UserError, match=rf"adl\.{key}"):
        network(**rule)
