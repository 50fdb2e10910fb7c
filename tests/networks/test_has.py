"""Hide-and-Seek: which pixels are hidden, when, and what a gradient reaches through them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spg.networks.methods.has import keep_mask, scaled_patch
from spg.networks.parts.build import build_network
from spg.project.params import parse_params

CLASSES = 3


def hidden_by_loops(draws, patch, hidden):
    """hide_patch.py of the authors, read anew: patches from the upper left, cut at the borders."""
    side = len(draws)
    kept = np.ones((side, side), dtype=bool)
    for row, top in enumerate(range(0, side, patch) if patch else ()):
        for column, left in enumerate(range(0, side, patch)):
            if draws[row, column] < hidden:
                kept[top : min(side, top + patch), left : min(side, left + patch)] = False
    return kept


@given(
    st.integers(1, 20),
    st.lists(st.integers(0, 25), min_size=1, max_size=4),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.integers(0, 99),
)
def test_the_mask_is_the_published_loop(side, patches, hidden, seed):
    draws = torch.rand(len(patches), side, side, generator=torch.Generator().manual_seed(seed))
    got = keep_mask(draws, torch.tensor(patches), hidden)
    want = [
        hidden_by_loops(own.numpy(), patch, hidden)
        for own, patch in zip(draws, patches, strict=True)
    ]
    assert got.shape == draws.shape
    assert np.array_equal(got.numpy(), np.stack(want))


def test_half_of_the_patches_are_hidden():
    draws = torch.rand(2000, 28, 28, generator=torch.Generator().manual_seed(0))
    kept = keep_mask(draws, torch.full((2000,), 4), 0.5)
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("patch", "side", "scaled"), [(32, 224, 32), (32, 96, 14), (16, 28, 2), (56, 321, 80),
                                  (0, 96, 0), (1, 32, 1)],
)  # fmt: skip
def test_a_patch_covers_the_same_share_of_any_image(patch, side, scaled):
    assert scaled_patch(patch, side) == scaled


@pytest.fixture
def has_with(tiny_mapping, cell_of):
    def build(**rule):
        mapping = copy.deepcopy(tiny_mapping)
        mapping["has"] |= rule
        torch.manual_seed(0)
        return build_network(parse_params(mapping, "tiny"), cell_of("has"), CLASSES)[0]

    return build


def seen_by_the_stem(model, images):
    """The pixels that reach the stem, and the outputs."""
    seen = []
    handle = model.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    outputs = model(images)
    handle.remove()
    return seen[0], outputs


def test_in_training_whole_patches_of_all_colors_are_the_mean_color(has_with):
    images = torch.rand(6, 3, 28, 28) + 1  # nowhere 0, which is the mean color
    model = has_with(patches=[32]).train()
    torch.manual_seed(3)
    seen, _ = seen_by_the_stem(model, images)
    grid = seen.reshape(6, 3, 7, 4, 7, 4)  # 32 of 224 is 4 of 28
    shown = grid != 0
    assert torch.equal(shown, shown[:, :1, :, :1, :, :1].expand_as(shown))
    assert torch.equal(grid[shown], images.reshape_as(grid)[shown])
    assert 0.3 < shown.float().mean() < 0.7
    assert not torch.equal(shown[0], shown[1])  # each image has patches of its own


def test_a_test_hides_nothing(has_with):
    model, images = has_with().eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        seen, outputs = seen_by_the_stem(model, images)
        plain = model.branch_a(model.stem(images).last)
    assert torch.equal(seen, images)
    assert torch.equal(outputs.class_maps, plain.class_maps)


def test_no_gradient_reaches_a_hidden_pixel(has_with):
    images = (torch.rand(4, 3, 32, 32) + 1).requires_grad_(True)
    model = has_with(hidden=0.6).train()
    torch.manual_seed(1)
    seen, outputs = seen_by_the_stem(model, images)
    outputs.logits[:, 0].sum().backward()
    hidden = (seen == 0).all(dim=1, keepdim=True).expand_as(images)
    assert hidden.any()
    assert not images.grad[hidden].any()
    assert images.grad[~hidden].any()


def test_the_sizes_of_params_are_drawn_for_each_image(has_with):
    """0 hides nothing, 224 all or nothing: with both, an image is whole or gone."""
    model = has_with(patches=[0, 224]).train()
    torch.manual_seed(5)
    seen, _ = seen_by_the_stem(model, torch.rand(64, 3, 16, 16) + 1)
    shown = (seen != 0).flatten(1)
    assert torch.equal(shown.all(1), shown.any(1))
    assert shown.all(1).float().mean().item() == pytest.approx(0.75, abs=0.15)


def test_the_same_seed_hides_the_same(has_with):
    model, images = has_with().train(), torch.rand(3, 3, 32, 32) + 1
    seen = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        seen.append(seen_by_the_stem(model, images)[0])
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize("method", ["cam", "has", "adl", "cutmix"])
@pytest.mark.parametrize(("head", "convolutions"), [("one_conv", 1), ("wsolevaluation", 2)])
def test_the_head_of_the_gap_network_is_the_papers_or_wsolevaluations(
    tiny_mapping, cell_of, method, head, convolutions
):
    mapping = copy.deepcopy(tiny_mapping)
    mapping[method]["head"] = head
    model, _ = build_network(parse_params(mapping, "tiny"), cell_of(method), CLASSES)
    assert len(model.branch_a.a3) == convolutions


@pytest.mark.parametrize(("protocol", "side"), [("paper", 112), ("wsolevaluation", 14)])
def test_the_side_of_a_patch_is_the_protocols(tiny_mapping, cell_of, protocol, side):
    """HaS-32 of the paper's row, wsolevaluation's 4: on 784 pixels for 224, so 112 and 14."""
    mapping = copy.deepcopy(tiny_mapping) | {"protocol": protocol}
    model, _ = build_network(parse_params(mapping, "tiny"), cell_of("has"), CLASSES)
    (published,) = model.rule.patches
    assert scaled_patch(published, 784) == side
