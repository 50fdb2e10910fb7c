"""The box rule of Backprop's source: colors by salience, GraphCut, the largest component."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.evaluate.metrics.graph_cut import graph_cut_box

QUANTILES = {"background": 0.3, "foreground": 0.95}
SIDE = 64


def scene(*rectangles, seed=0):
    """A grey image with red rectangles (x0, y0, x1, y1), both a little noisy."""
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE, 3), 60) + rng.integers(-12, 13, (SIDE, SIDE, 3))
    for x0, y0, x1, y1 in rectangles:
        image[y0:y1, x0:x1] += np.array([120, -20, -20])
    return image.clip(0, 255).astype(np.uint8)


def spot(x0, y0, x1, y1, seed=0):
    """A map that is high in a small rectangle and noise elsewhere."""
    saliency = np.random.default_rng(seed).random((SIDE, SIDE)) * 0.1
    saliency[y0:y1, x0:x1] += 1
    return saliency


@given(st.integers(2, 30), st.integers(2, 30), st.integers(16, 30), st.integers(16, 30))
def test_a_part_that_is_salient_gives_the_box_of_the_whole_object(x, y, width, height):
    rectangle = (x, y, x + width, y + height)
    part = (x + 2, y + 2, x + 16, y + 16)  # 196 of 4096 pixels, the upper 5 %
    box = graph_cut_box(scene(rectangle), spot(*part), **QUANTILES)
    assert np.abs(box - rectangle).max() <= 1


def test_of_two_objects_of_one_color_the_larger_one_is_boxed():
    large, small = (4, 4, 40, 40), (48, 48, 62, 62)
    box = graph_cut_box(scene(large, small), spot(48, 48, 62, 62), **QUANTILES)
    assert box.tolist() == list(large)


def test_the_box_depends_on_the_colors_and_not_on_the_map_alone():
    """The same map on another image gives another box, unlike any threshold."""
    where = spot(20, 20, 34, 34)
    boxes = [
        graph_cut_box(scene(rectangle), where, **QUANTILES)
        for rectangle in ((18, 18, 40, 40), (10, 12, 50, 36))
    ]
    assert boxes[0].tolist() == [18, 18, 40, 40]
    assert boxes[1].tolist() == [10, 12, 50, 36]


@pytest.mark.parametrize("saliency", [np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))])
def test_a_constant_map_has_no_box(saliency):
    assert graph_cut_box(scene((4, 4, 30, 30)), saliency, **QUANTILES).tolist() == [0, 0, 0, 0]


def test_a_map_with_too_few_salient_pixels_has_no_box():
    saliency = np.zeros((SIDE, SIDE))
    saliency[:2, :2] = 1  # four pixels cannot teach five Gaussians
    assert graph_cut_box(scene(), saliency, **QUANTILES).tolist() == [0, 0, 0, 0]


def test_a_map_that_is_mostly_zero_still_has_its_background():
    saliency = np.zeros((SIDE, SIDE))
    saliency[10:26, 10:26] = np.linspace(0.1, 1, 256).reshape(16, 16)
    rectangle = (8, 8, 40, 40)
    box = graph_cut_box(scene(rectangle), saliency, **QUANTILES)
    assert np.abs(box - rectangle).max() <= 1


def test_equal_input_gives_an_equal_box_whatever_ran_before():
    image, saliency = scene((5, 9, 44, 31)), spot(8, 12, 22, 26)
    first = graph_cut_box(image, saliency, **QUANTILES)
    graph_cut_box(scene((30, 30, 60, 60), seed=3), spot(31, 31, 45, 45), **QUANTILES)
    assert np.array_equal(graph_cut_box(image, saliency, **QUANTILES), first)


def test_the_scale_of_the_map_does_not_matter():
    image, saliency = scene((5, 9, 44, 31)), spot(8, 12, 22, 26)
    box = graph_cut_box(image, saliency, **QUANTILES)
    assert np.array_equal(graph_cut_box(image, 1e-6 * saliency - 3, **QUANTILES), box)
