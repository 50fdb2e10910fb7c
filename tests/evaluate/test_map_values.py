"""What maps are worth without boxes: PxAP by image, and what they cover, against plain loops."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spg.data.images.packed import PackedImages
from spg.data.results.tables import read_maps
from spg.evaluate.image_errors import IOU_LEVELS
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.pixels import pixel_average_precision, precision_shares
from spg.evaluate.sweep.table import TABLE

NAME = "synthetic_birds"


@st.composite
def histograms(draw):
    """``Int[N, 2, T + 2]`` with at least one object's pixel."""
    images, columns = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    found = rng.integers(0, draw(st.sampled_from([2, 10, 1000])), (images, 2, columns))
    found[0, 1, -1] += 1
    return found


@given(histograms())
def test_the_mean_of_the_shares_is_px_ap(found):
    total = found.sum(axis=0)
    shares = precision_shares(total, found, images=len(found))
    assert shares.mean() == pytest.approx(pixel_average_precision(total), abs=1e-9)


@given(histograms())
def test_a_share_is_how_px_ap_moves_with_its_images_weight(found):
    total, many = found.sum(axis=0), 10**8
    shares = precision_shares(total, found, images=len(found))
    now = pixel_average_precision(total)
    for share, image in zip(shares, found, strict=True):
        more, less = (
            pixel_average_precision(total * many + sign * 1000 * image) for sign in (1, -1)
        )
        slope = (more - less) / (2 * 1000 / many)
        assert share == pytest.approx(now + len(found) * slope, abs=1e-4 * len(found))


def test_the_spread_of_the_shares_is_that_of_px_ap():
    rng = np.random.default_rng(5)
    easy = rng.beta(2, 2, 200)  # how well an image's map tells its object
    levels = np.arange(20) / 20
    found = np.stack(
        [
            np.stack(
                [rng.multinomial(300, w / w.sum()) for w in (1.05 - e * levels, 0.05 + e * levels)]
            )
            for e in easy
        ]
    )
    shares = precision_shares(found.sum(axis=0), found, images=200)
    resampled = [
        pixel_average_precision(found[rng.integers(200, size=200)].sum(axis=0)) for _ in range(3000)
    ]
    assert shares.std() / np.sqrt(200) == pytest.approx(np.std(resampled), rel=0.06)


@pytest.mark.parametrize("method", ["spg", "spg_plain"])
def test_what_is_covered_is_what_a_loop_over_pixels_counts(finished, cell_of, method):
    cell = cell_of(method)
    table = pd.read_parquet(finished.evaluation(cell) / "per_image.parquet")
    metrics = json.loads((finished.evaluation(cell) / "metrics.json").read_text())["cam"]
    manifest = pd.read_parquet(finished.packed(NAME) / "manifest.parquet")
    packed, maps = PackedImages(finished.packed(NAME)), read_maps(finished.maps(cell) / "cam.npy")
    order = pd.read_parquet(finished.maps(cell) / "scores.parquet")["image_id"].tolist()
    table = table[table["extractor"] == "cam"].set_index("image_id")
    for kind in ("fixed", "selected", "oracle"):
        threshold = metrics[kind]["map_threshold"]
        for image_id, row in table.iterrows():
            (place,) = np.flatnonzero(manifest["image_id"] == image_id)
            size = tuple(manifest.loc[place, ["width", "height"]].astype(int))
            inside = localization_map(maps[order.index(image_id)], size) >= threshold
            masks = {"object": packed.object_mask(place), "parts": packed.part_mask(place)}
            masks["background"] = ~masks["object"]
            for name, mask in masks.items():
                expected = inside[mask].mean() if mask.any() else np.nan
                assert row[f"covered_{name}_{kind}"] == pytest.approx(expected, nan_ok=True)


def test_the_means_of_the_images_are_px_ap_and_max_box_acc_v2(finished, cell_of):
    cell = cell_of("spg")
    table = pd.read_parquet(finished.evaluation(cell) / "per_image.parquet")
    metrics = json.loads((finished.evaluation(cell) / "metrics.json").read_text())["cam"]
    assert table["px_ap"].mean() == pytest.approx(metrics["px_ap"])
    assert table["max_box_acc_v2"].mean() == pytest.approx(metrics["max_box_acc_v2"])
    swept = pd.read_parquet(finished.sweep(cell) / TABLE)
    tests = np.stack(swept.loc[swept["split"] == "test", "iou_all"])
    best = np.mean([max((tests >= level).mean(axis=0)) for level in IOU_LEVELS])
    assert table["max_box_acc_v2"].mean() == pytest.approx(best)


def test_the_means_at_each_iou_level_are_what_its_own_best_threshold_gets_right(finished, cell_of):
    cell = cell_of("spg")
    table = pd.read_parquet(finished.evaluation(cell) / "per_image.parquet")
    swept = pd.read_parquet(finished.sweep(cell) / TABLE)
    tests = np.stack(swept.loc[swept["split"] == "test", "iou_all"])
    for level in IOU_LEVELS:
        found = table[f"max_box_acc_v2_{100 * level:.0f}"]
        assert found.mean() == pytest.approx(max((tests >= level).mean(axis=0)))
        best = int((tests >= level).sum(axis=0).argmax())
        assert found.tolist() == (tests[:, best] >= level).tolist()
