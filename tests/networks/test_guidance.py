from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spg.networks.methods.spg.guidance import (
    BACKGROUND,
    FOREGROUND,
    IGNORE,
    attention_map,
    fuse,
    guidance_mask,
    masked_bce,
    upsample,
    upsample_by_products,
)
from spg.networks.parts.normalize import normalize_maps

NO_MINIMUM = {"minimum_pixels": 0, "fraction_of_max": 0.7, "leak": False}
PUBLISHED = {"minimum_pixels": 30, "fraction_of_max": 0.7, "leak": False}
AFTER = {"normalize_first": False}
unit_maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 7), st.integers(2, 7)),
    elements=st.sampled_from([0, 0.04, 0.05, 0.1, 0.25, 0.3, 0.5, 0.6, 0.7, 0.75, 0.9, 1]),
)
any_maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 7), st.integers(2, 7)),
    elements=st.floats(-1e4, 1e4, width=32),
)


def mask_by_loops(maps, low, high, *, minimum_pixels, fraction_of_max, leak):
    """Eq. 1 and the minimum foreground, pixel by pixel, in Python's own words."""
    result = np.empty(maps.shape, dtype=np.float32)
    limit = np.float32(high)
    for number, one in enumerate(maps):
        limit = limit if leak else np.float32(high)
        above = sum(bool(value > limit) for value in one.flat)
        if above * 224 * 224 < minimum_pixels * one.size:
            limit = np.float32(fraction_of_max) * one.max()
        for place, value in np.ndenumerate(one):
            if value < np.float32(low):
                result[number][place] = 0
            else:
                result[number][place] = 1 if value > limit else 255
    return result


def test_both_inequalities_of_eq_1_are_strict():
    low, high = 0.25, 0.75
    below, above = math.nextafter(low, 0), math.nextafter(high, 1)
    maps = torch.tensor([[[0, below, low, 0.5, high, above, 1]]], dtype=torch.float64)
    want = [BACKGROUND, BACKGROUND, IGNORE, IGNORE, IGNORE, FOREGROUND, FOREGROUND]
    assert guidance_mask(maps, low, high, **NO_MINIMUM).flatten().tolist() == want


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.7), (0.05, 0.5), (0.1, 0.7)])
def test_a_float32_pixel_at_a_threshold_of_params_is_ignored(low, high):
    maps = torch.tensor([[[low, high]]], dtype=torch.float32)
    assert guidance_mask(maps, low, high, **NO_MINIMUM).tolist() == [[[IGNORE, IGNORE]]]


@given(unit_maps, st.integers(0, 30_000), st.booleans())
def test_masks_are_those_of_the_rule_read_pixel_by_pixel(maps, pixels, leak):
    rules = {"minimum_pixels": pixels, "fraction_of_max": 0.7, "leak": leak}
    got = guidance_mask(torch.from_numpy(maps), 0.1, 0.6, **rules)
    assert np.array_equal(got.numpy(), mask_by_loops(maps, 0.1, 0.6, **rules))


def test_background_wins_over_a_lowered_threshold():
    maps = torch.full((1, 8, 8), 0.01)
    maps[0, 0, 0] = 0.04  # above 0.7 x 0.04 and below low
    mask = guidance_mask(maps, 0.05, 0.7, **PUBLISHED)
    assert (mask == BACKGROUND).all()


def test_thirty_pixels_of_224_are_enough_and_twenty_nine_are_not():
    maps = torch.full((2, 224, 224), 0.55)
    maps[0].view(-1)[:30] = 0.75
    maps[1].view(-1)[:29] = 0.75
    mask = guidance_mask(maps, 0.05, 0.7, **PUBLISHED)
    # 0.7 * 0.75 = 0.525 makes all of the second map foreground
    assert [(one == FOREGROUND).sum().item() for one in mask] == [30, 224 * 224]


@pytest.mark.parametrize(("pixels", "foreground"), [(5, 96 * 96), (6, 6)])
def test_the_minimum_is_scaled_to_the_side(pixels, foreground):
    maps = torch.full((1, 96, 96), 0.55)
    maps[0].view(-1)[:pixels] = 0.75
    mask = guidance_mask(maps, 0.05, 0.7, **PUBLISHED)
    assert (mask == FOREGROUND).sum().item() == foreground


@given(unit_maps, st.randoms(use_true_random=False))
def test_an_images_mask_does_not_depend_on_the_others(maps, random):
    maps = torch.from_numpy(maps)
    order = list(range(len(maps)))
    random.shuffle(order)
    rules = {"minimum_pixels": 20_000, "fraction_of_max": 0.7, "leak": False}
    together = guidance_mask(maps, 0.1, 0.6, **rules)
    alone = torch.cat([guidance_mask(one[None], 0.1, 0.6, **rules) for one in maps])
    assert torch.equal(together, alone)
    assert torch.equal(guidance_mask(maps[order], 0.1, 0.6, **rules), together[order])


@pytest.mark.parametrize("leak", [False, True])
def test_a_lowered_threshold_reaches_the_next_image_by_the_leak_alone(leak):
    maps = torch.full((2, 16, 16), 0.6)
    maps[1, :8] = 0.8
    mask = guidance_mask(maps, 0.05, 0.7, **PUBLISHED | {"leak": leak})
    assert (mask[0] == FOREGROUND).all()
    assert (mask[1, :8] == FOREGROUND).all()
    assert (mask[1, 8:] == (FOREGROUND if leak else IGNORE)).all()  # 0.6 > 0.42 and < 0.7


def test_masks_do_not_change_their_input():
    maps = torch.rand(2, 5, 5)
    before = maps.clone()
    guidance_mask(maps, 0.3, 0.5, **PUBLISHED)
    assert torch.equal(maps, before)


@given(any_maps)
def test_normalized_maps_span_zero_to_one(maps):
    maps = torch.from_numpy(maps)
    scaled = normalize_maps(maps)
    for before, after in zip(maps, scaled, strict=True):
        assert torch.isfinite(after).all()
        spread = before.max() - before.min()
        assert after.min() == 0
        assert after.max() <= 1
        if spread > 1e-20:
            assert after.max() == 1
            want = (before.double() - before.min()) / spread.double()
            assert torch.allclose(after.double(), want, atol=1e-6)


def test_a_constant_map_becomes_zeros_beside_others():
    maps = torch.stack([torch.full((4, 4), 3.0), torch.arange(16.0).view(4, 4)])
    scaled = normalize_maps(maps)
    assert (scaled[0] == 0).all()
    assert torch.allclose(scaled[1], torch.arange(16.0).view(4, 4) / 15)


def test_a_constant_map_teaches_background_with_a_finite_loss():
    class_maps = torch.full((1, 3, 4, 4), 2.5)
    attention = attention_map(class_maps, torch.tensor([1]), 16, align_corners=False, **AFTER)
    mask = guidance_mask(attention, 0.05, 0.7, **PUBLISHED)
    assert (mask == BACKGROUND).all()
    assert torch.isfinite(masked_bce(torch.zeros(1, 16, 16), mask))


def test_attention_takes_the_channel_of_the_label():
    class_maps = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([4, 0, 2])
    got = attention_map(class_maps, labels, 9, align_corners=True, **AFTER)
    for number, label in enumerate([4, 0, 2]):
        one = F.interpolate(
            class_maps[number : number + 1, label : label + 1],
            size=9,
            mode="bilinear",
            align_corners=True,
        )[0, 0]
        want = (one - one.min()) / (one.max() - one.min())
        assert torch.allclose(got[number], want, atol=1e-6)


def test_attention_is_interpolated_first_and_normalized_after():
    class_maps = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
    got = attention_map(class_maps, torch.tensor([0]), 5, align_corners=False, **AFTER)
    assert (got.min(), got.max()) == (0, 1)
    checkers = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, 5.0, 1.0], [0.0, 1.0, 0.0]]]])
    got = attention_map(checkers, torch.tensor([0]), 4, align_corners=False, **AFTER)
    assert got.max() == 1  # no sample hits the peak
    first = attention_map(checkers, torch.tensor([0]), 4, align_corners=False, normalize_first=True)
    want = F.interpolate(checkers / 5, size=4, mode="bilinear")[0]
    assert torch.allclose(first, want, atol=1e-6)
    assert first.max() < 1


def test_upsampling_follows_align_corners():
    line = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    aligned = upsample(line, 5, align_corners=True)[0, 0]
    assert torch.allclose(aligned, torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    half_pixel = upsample(line, 4, align_corners=False)[0, 0]
    assert torch.allclose(half_pixel, torch.tensor([0, 0.25, 0.75, 1]))


def test_targets_carry_no_gradient():
    maps = torch.rand(2, 3, 4, 4, requires_grad=True)
    attention = attention_map(maps, torch.tensor([0, 1]), 8, align_corners=False, **AFTER)
    assert not attention.requires_grad
    probabilities = torch.rand(2, 8, 8, requires_grad=True)
    mask = guidance_mask(probabilities, 0.1, 0.7, **PUBLISHED)
    assert not mask.requires_grad


@given(st.integers(0, 10**6))
def test_the_loss_is_torchs_own_mean_over_the_valid_pixels_of_the_batch(seed):
    rng = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(3, 6, 6, generator=rng)
    choice = torch.randint(0, 3, (3, 6, 6), generator=rng)
    choice[0] = torch.where(choice[0] == 0, 0, 2)  # images with unequal numbers of valid pixels
    choice[1, 0, 0] = 1
    mask = torch.tensor([BACKGROUND, FOREGROUND, IGNORE], dtype=torch.float32)[choice]
    valid = mask != IGNORE
    want = F.binary_cross_entropy(logits[valid].double().sigmoid(), mask[valid].double())
    assert masked_bce(logits, mask).item() == pytest.approx(want.item(), rel=1e-4)


def test_ignored_pixels_get_no_gradient_and_valid_ones_do():
    logits = torch.randn(1, 2, 2, requires_grad=True)
    mask = torch.tensor([[[BACKGROUND, FOREGROUND], [IGNORE, IGNORE]]], dtype=torch.float32)
    masked_bce(logits, mask).backward()
    want = torch.stack([logits[0, 0].sigmoid() - torch.tensor([0, 1]), torch.zeros(2)]) / 2
    assert torch.allclose(logits.grad[0], want.detach(), atol=1e-6)


def test_a_batch_without_valid_pixels_costs_nothing():
    logits = torch.randn(2, 3, 3, requires_grad=True)
    loss = masked_bce(logits, torch.full((2, 3, 3), float(IGNORE)))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_the_fused_map_is_the_mean():
    assert torch.equal(fuse(torch.tensor([0.25]), torch.tensor([0.75])), torch.tensor([0.5]))
    assert torch.equal(fuse(torch.tensor([1.0]), torch.tensor([0.0])), torch.tensor([0.5]))


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 90),
    align_corners=st.booleans(), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_two_products_are_torchs_interpolation_and_its_gradient(
    height, width, size, align_corners, seed
):
    random = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 1, height, width, generator=random)
    weight = torch.randn(2, size, size, generator=random)
    results = []
    for scale in (upsample, upsample_by_products):
        leaf = maps.clone().requires_grad_()
        scaled = scale(leaf, size, align_corners=align_corners)
        (scaled * weight).sum().backward()
        results.append((scaled.detach(), leaf.grad / weight.abs().sum()))
    (want, want_gradient), (got, gradient) = results
    assert got.shape == want.shape == (2, size, size)
    assert torch.allclose(got, want, rtol=0, atol=1e-6)
    assert torch.allclose(gradient, want_gradient, rtol=0, atol=1e-6)
