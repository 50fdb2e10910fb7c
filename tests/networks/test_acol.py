"""ACoL's mask, read pixel by pixel, and what a gradient reaches through it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.networks.methods.acol import ACoLOutput, Criterion, keep_mask
from spg.networks.parts.build import build_network
from spg.project.params import parse_params

CLASSES = 3
stacks = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.just(CLASSES), st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(-8, 8, width=16),
)


@given(stacks, st.data())
def test_the_mask_is_the_rule_read_pixel_by_pixel(maps, data):
    classes = [data.draw(st.integers(0, CLASSES - 1)) for _ in maps]
    threshold = data.draw(st.sampled_from([0.25, 0.5, 0.7]))
    want = np.ones((len(maps), 1, *maps.shape[2:]), dtype=np.float32)
    for number, label in enumerate(classes):
        own = maps[number, label]
        spread = own.max() - own.min()
        for place, value in np.ndenumerate(own):
            if spread > 0 and (value - own.min()) / spread >= np.float32(threshold):
                want[(number, 0, *place)] = 0
    got = keep_mask(torch.from_numpy(maps), torch.tensor(classes), threshold)
    assert np.array_equal(got.numpy(), want)


def test_maps_of_half_precision_are_compared_in_full():
    """178/254 is 0.7008, which bfloat16 would round to 0.6992: below the threshold."""
    maps = torch.tensor([[[[0.0, 177.0, 178.0, 254.0]]]], dtype=torch.bfloat16)
    kept = keep_mask(maps, torch.tensor([0]), 0.7)
    assert kept.dtype == torch.bfloat16
    assert kept.flatten().tolist() == [1, 1, 0, 0]


def test_no_gradient_reaches_the_maps_through_the_mask():
    maps = torch.rand(2, CLASSES, 4, 4, requires_grad=True)
    features = torch.rand(2, 6, 4, 4, requires_grad=True)
    kept = keep_mask(maps, torch.tensor([1, 0]), 0.5)
    assert not kept.requires_grad
    (features * kept).sum().backward()
    assert maps.grad is None
    assert torch.equal(features.grad, kept.expand_as(features))
    assert 0 < kept.mean() < 1


@pytest.fixture
def acol_at(tiny_mapping, cell_of):
    def build(threshold):
        mapping = copy.deepcopy(tiny_mapping)
        mapping["acol"]["threshold"] = threshold
        torch.manual_seed(0)
        return build_network(parse_params(mapping, "tiny"), cell_of("acol"), CLASSES)[0]

    return build


@torch.no_grad()
def test_the_threshold_of_params_arrives_and_nothing_is_dropped(acol_at):
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    outputs = []
    for threshold in (0.2, 0.9, 0.9):
        model = acol_at(threshold).train()
        model.stem.eval()
        outputs.append(model(images, torch.tensor([0, 1, 2, 1])))
    assert torch.equal(outputs[0].logits, outputs[1].logits)
    assert not torch.equal(outputs[0].logits_b, outputs[1].logits_b)
    assert torch.equal(outputs[1].logits_b, outputs[2].logits_b)
    assert not torch.equal(model.classifier_a.a4.weight, model.classifier_b.a4.weight)


def test_a_map_at_the_threshold_is_erased_and_a_constant_one_is_not():
    line = torch.tensor([[[[0.0, 0.5, 0.75, 1.0]]]])
    assert keep_mask(line, torch.tensor([0]), 0.75).flatten().tolist() == [1, 1, 0, 0]
    assert keep_mask(torch.full((1, 1, 2, 2), 3.0), torch.tensor([0]), 0.7).all()


@pytest.fixture
def tiny_acol(tiny_params, cell_of):
    torch.manual_seed(0)
    return build_network(tiny_params, cell_of("acol"), 3)[0]


def test_the_second_classifier_learns_nothing_of_the_first(tiny_acol):
    """No gradient through the erased mask, and both reach the stem."""
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 2])
    losses = Criterion()(tiny_acol(images, labels), labels)
    assert set(losses) == {"cls", "cls_b"}
    for name, own in (("cls", "classifier_a"), ("cls_b", "classifier_b")):
        tiny_acol.zero_grad()
        losses[name].backward(retain_graph=True)
        moved = {
            key.split(".")[0]
            for key, parameter in tiny_acol.named_parameters()
            if parameter.grad is not None and parameter.grad.any()
        }
        assert moved == {"stem", own}


def test_without_labels_the_first_guess_erases(tiny_acol):
    tiny_acol.eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        guessed = tiny_acol(images)
        told = tiny_acol(images, guessed.logits.argmax(1))
        other = tiny_acol(images, (guessed.logits.argmax(1) + 1) % 3)
    assert torch.equal(guessed.logits_b, told.logits_b)
    assert not torch.equal(guessed.logits_b, other.logits_b)
    assert torch.equal(guessed.logits, other.logits)


def test_class_maps_are_the_maximum_of_both_normalized_maps():
    rng = torch.Generator().manual_seed(2)
    a, b = (torch.randn(2, 3, 4, 4, generator=rng) for _ in range(2))
    a[0, 0] = 7.0  # a constant map is zeros, not NaN
    got = ACoLOutput(torch.zeros(2, 3), torch.zeros(2, 3), a, b).class_maps
    for image in range(2):
        for label in range(3):
            scaled = []
            for one in (a[image, label], b[image, label]):
                spread = one.max() - one.min()
                scaled.append((one - one.min()) / spread if spread else torch.zeros_like(one))
            assert torch.allclose(got[image, label], torch.maximum(*scaled), atol=1e-6)


def test_the_losses_are_the_cross_entropies_of_both(tiny_acol):
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([1, 0])
    outputs = tiny_acol(images, labels)
    losses = Criterion()(outputs, labels)
    assert torch.equal(losses["cls"], F.cross_entropy(outputs.logits, labels))
    assert torch.equal(losses["cls_b"], F.cross_entropy(outputs.logits_b, labels))
