"""wsolevaluation's row *Center*: boxes in the middle, of every size, whatever the profile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spg.evaluate.metrics.boxes import box_iou
from spg.evaluate.metrics.protocols import PROTOCOLS
from spg.evaluate.metrics.sweeps import sweep_map
from spg.project.plugins import find_plugin

SIDE = 224
WSOL = PROTOCOLS["wsolevaluation"]


def center_maps(count=1):
    images = torch.zeros(count, 3, 64, 64)
    return find_plugin("extractor", "center").extract(None, images, None, None)


def swept(raw, true, thresholds=999):
    """Return the best contour's IoU at every threshold, as wsolevaluation counts."""
    size = (SIDE, SIDE)
    boxes = WSOL.true_boxes(np.array([true], dtype=np.float64), size)
    return sweep_map(WSOL.loc_map(raw, size), boxes, WSOL.thresholds(thresholds), WSOL).iou_all


def test_every_image_has_the_same_map_highest_in_the_middle():
    maps = center_maps(3)
    assert maps.dtype == torch.float32
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[0].T)
    assert torch.equal(maps[0], maps[0].flip(0))
    middle = maps.shape[-1] // 2
    row = maps[0, middle, middle:]
    assert (row[1:] < row[:-1]).all()
    assert maps[0, middle, middle] == maps.max()


@pytest.mark.parametrize(
    "true", [(62, 62, 162, 162), (10, 90, 200, 220), (100, 100, 124, 124), (0, 0, 224, 224)]
)
def test_it_finds_what_the_best_centered_square_finds(true):
    """Each level set is a disc, whose box is a square; here all squares are tried by hand."""
    squares = np.array([[112 - r, 112 - r, 112 + r, 112 + r] for r in np.arange(1, 112.5, 0.5)])
    best = box_iou(squares, np.array([true], dtype=np.float64)).max()
    assert swept(center_maps()[0].numpy(), true).max() == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("width", [0.35, 0.5, 1.0])
@pytest.mark.parametrize("true", [(62, 62, 162, 162), (10, 90, 200, 220), (30, 20, 210, 130)])
def test_a_gaussian_that_reaches_the_border_finds_the_same(width, true):
    places = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    gaussian = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * width**2))
    want = swept(gaussian.astype(np.float32), true).max()
    assert swept(center_maps()[0].numpy(), true).max() == pytest.approx(want, abs=0.02)


def test_a_narrower_gaussian_lacks_the_large_boxes_in_eight_bits():
    """Why the profile is not a Gaussian of some width that we would have to make up."""
    places = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    gaussian = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * 0.2**2))
    whole = (0, 0, SIDE, SIDE)
    assert swept(gaussian.astype(np.float32), whole).max() < 0.5
    assert swept(center_maps()[0].numpy(), whole).max() > 0.95
