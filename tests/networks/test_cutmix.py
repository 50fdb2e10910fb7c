"""CutMix: which pixels come from where, what the loss asks for, and torchvision's word on both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tiny import with_setup
from torchvision.transforms import v2

from spg.networks.methods import cutmix
from spg.networks.methods.cutmix import Criterion, Mixed, Patch, drawn_patch, mixed
from spg.networks.parts.build import build_network
from spg.project.errors import UserError
from spg.project.params import parse_params

CLASSES = 3


@st.composite
def patches(draw):
    side = draw(st.integers(2, 12))
    edges = [sorted(draw(st.tuples(st.integers(0, side), st.integers(0, side)))) for _ in "yx"]
    return side, Patch(*edges[0], *edges[1])


@given(patches(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_pixels_come_from_where_the_loops_say(case, count, random):
    side, patch = case
    order = list(range(count))
    random.shuffle(order)
    images = torch.rand(count, 3, side, side)
    before = images.clone()
    got, share = mixed(images, torch.tensor(order), patch)
    want, own = images.clone(), 0
    for number in range(count):
        for y in range(side):
            for x in range(side):
                inside = patch.top <= y < patch.bottom and patch.left <= x < patch.right
                own += not inside
                want[number, :, y, x] = images[order[number] if inside else number, :, y, x]
    assert torch.equal(got, want)
    assert share == pytest.approx(own / (count * side * side))
    assert torch.equal(images, before)


@pytest.mark.parametrize("seed", range(30))
def test_patch_image_and_loss_are_torchvisions(seed, monkeypatch):
    """torchvision rolls by one image where wsolevaluation permutes, and has soft labels."""
    side, labels = 33, torch.tensor([2, 0, 1, 2])
    torch.manual_seed(seed)
    images, logits = torch.rand(4, 3, side, side), torch.randn(4, CLASSES)
    oracle = v2.CutMix(alpha=1.0, num_classes=CLASSES)
    torch.manual_seed(seed)
    theirs, soft = oracle(images, labels)
    # the same two draws in another order: the center's column comes first there
    torch.manual_seed(seed)
    kept = float(oracle._dist.sample(()))
    column, row = (int(torch.randint(0, side, size=(1,))) for _ in "xy")
    fixed(monkeypatch, kept)
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor([row, column]))
    patch = drawn_patch(side, 1.0)
    order = torch.tensor([3, 0, 1, 2])
    ours, share = mixed(images, order, patch)
    assert torch.equal(ours, theirs)
    loss = Criterion()(Mixed(logits, logits[..., None, None], labels[order], share), labels)["cls"]
    want = torch.nn.functional.cross_entropy(logits, soft)
    assert loss.item() == pytest.approx(want.item(), rel=1e-5)


def fixed(monkeypatch, kept):
    drawn = type("Drawn", (), {"sample": lambda _: kept})
    monkeypatch.setattr(cutmix, "Beta", lambda *_: drawn())


def test_the_kept_share_has_a_beta_distribution(monkeypatch):
    side = 20_000
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor([side // 2, side // 2]))
    torch.manual_seed(0)
    drawn = [drawn_patch(side, 0.4) for _ in range(2000)]
    kept = [1 - (p.bottom - p.top) * (p.right - p.left) / side**2 for p in drawn]
    assert stats.kstest(kept, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_the_center_may_lie_anywhere_and_borders_cut(monkeypatch):
    fixed(monkeypatch, 0.99)  # 10 pixels of 100 to a side, halved: 5 above and 5 below
    torch.manual_seed(0)
    drawn = [drawn_patch(100, 1.0) for _ in range(5000)]
    for edges in ({(p.top, p.bottom) for p in drawn}, {(p.left, p.right) for p in drawn}):
        assert edges == {(max(c - 5, 0), min(c + 5, 100)) for c in range(100)}
    rows = np.bincount([p.top for p in drawn], minlength=95)[1:95]
    assert stats.chisquare(rows).pvalue > 0.001
    assert abs(np.corrcoef([p.top for p in drawn], [p.left for p in drawn])[0, 1]) < 0.05


@pytest.fixture
def network(tiny_mapping, cell_of):
    def build(method="cutmix", **rule):
        mapping = with_setup(tiny_mapping, train={"dropout": 0.5})
        mapping["cutmix"] |= rule
        torch.manual_seed(0)
        return build_network(parse_params(mapping, "tiny"), cell_of(method), CLASSES)

    return build


IMAGES, LABELS = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 1, 0, 2])


def step(network, seed):
    model, criterion = network
    torch.manual_seed(seed)
    outputs = model.train()(IMAGES, LABELS)
    criterion(outputs, LABELS)["cls"].backward()
    return [outputs.class_maps.detach(), *(p.grad for p in model.parameters())]


def test_at_probability_0_it_is_the_gap_network_to_the_bit(network):
    for one, other in zip(step(network(probability=0.0), 3), step(network("cam"), 3), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("beta", [1.0, 0.2])
def test_in_training_the_stem_sees_the_mixed_images(network, beta):
    model, criterion = network(beta=beta)
    seen = []
    model.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(2)
    outputs = model.train()(IMAGES, LABELS)
    torch.manual_seed(2)
    torch.rand(())
    order = torch.randperm(6)
    want, share = mixed(IMAGES, order, drawn_patch(32, beta))
    assert not torch.equal(want, IMAGES)
    assert torch.equal(seen[0], want)
    assert torch.equal(outputs.partners, LABELS[order])
    assert outputs.share == share
    scores = outputs.logits.double().log_softmax(1)
    terms = [
        -share * scores[row, LABELS[row]] - (1 - share) * scores[row, LABELS[order[row]]]
        for row in range(6)
    ]
    got = criterion(outputs, LABELS)["cls"].item()
    assert got == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_the_losss_gradient_is_that_of_both_classes(seed, share):
    """Softmax less what was asked for: the own class by its share, the partner's by the rest."""
    torch.manual_seed(seed)
    logits = torch.randn(6, CLASSES, dtype=torch.float64, requires_grad=True)
    partners = LABELS[torch.randperm(6)]
    outputs = Mixed(logits, logits[..., None, None], partners, share)
    Criterion()(outputs, LABELS)["cls"].backward()
    want = np.empty((6, CLASSES))
    own, others = LABELS.tolist(), partners.tolist()
    for row, scores in enumerate(logits.detach().numpy()):
        softmax = np.exp(scores) / np.exp(scores).sum()
        for k in range(CLASSES):
            asked = share * (own[row] == k) + (1 - share) * (others[row] == k)
            want[row, k] = (softmax[k] - asked) / 6
    np.testing.assert_allclose(logits.grad.numpy(), want, atol=1e-12)


def test_a_test_and_a_network_without_labels_mix_nothing(network):
    model, _ = network()
    for outputs in (model.eval()(IMAGES, LABELS), model.train()(IMAGES)):
        assert outputs.partners is None
        assert outputs.share == 1


def test_the_probability_is_of_a_batch(network):
    model, _ = network(probability=0.3)
    torch.manual_seed(1)
    with torch.no_grad():
        chosen = [model.train()(IMAGES, LABELS).partners is not None for _ in range(200)]
    assert np.mean(chosen) == pytest.approx(0.3, abs=0.09)


def test_a_patch_without_pixels_changes_nothing():
    images = torch.rand(2, 3, 8, 8)
    got, share = mixed(images, torch.tensor([1, 0]), Patch(3, 3, 0, 8))
    assert got is images
    assert share == 1


@pytest.mark.parametrize("rule", [{"probability": 1.1}, {"beta": 0.0}])
def test_a_value_out_of_range_is_named(network, rule):
    (key,) = rule
    with pytest.raises(UserError, match=rf"cutmix\.{key}"):
        network(**rule)
