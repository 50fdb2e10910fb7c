from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from spg.data.birds.bird import sample_bird
from spg.data.birds.scene import Scene, draw_scene
from spg.data.birds.species import (
    SMALL_PARTS,
    Species,
    Telling,
    benchmark_species,
    pretraining_species,
    seen,
)
from spg.data.datasets.synthetic_birds import Part

SIDE = 128


def colors(species: Species) -> tuple[object, ...]:
    return species.crown, species.bill, species.bar


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def box_extent(mask: NDArray[np.bool_]) -> int:
    rows, columns = np.nonzero(mask)
    return int(max(np.ptp(rows), np.ptp(columns))) + 1


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Species, Scene]]:
    species = benchmark_species(20)
    rng = generator(0)
    return [
        (species[i % 20], draw_scene(species[i % 20], rng, side=SIDE, telling=SMALL_PARTS))
        for i in range(160)
    ]


@pytest.mark.parametrize(("listing", "most"), [(benchmark_species, 20), (pretraining_species, 60)])
def test_species_are_unique_and_counted(listing: Callable[[int], list[Species]], most: int) -> None:
    species = listing(most)
    assert len(species) == most
    assert len({item.name for item in species}) == most
    assert len({colors(item) for item in species}) == most
    assert all(re.fullmatch("[A-Za-z_]+", item.name) for item in species)
    assert listing(2) == species[:2]
    for count in (1, 0, most + 1):
        with pytest.raises(ValueError, match="count"):
            listing(count)


def test_any_two_benchmark_species_differ_in_two_parts() -> None:
    species = benchmark_species(20)
    for index, first in enumerate(species):
        for second in species[index + 1 :]:
            pairs = zip(colors(first), colors(second), strict=True)
            assert sum(one != other for one, other in pairs) >= 2


def test_benchmark_species_use_every_bill_shape_crest_and_bar_count() -> None:
    species = benchmark_species(20)
    assert {item.bill_shape for item in species} == {"fine", "stout", "hooked", "long"}
    assert {item.crest for item in species} == {False, True}
    assert {item.bars for item in species} == {1, 2}


def test_pretraining_species_are_disjoint_from_the_benchmark() -> None:
    benchmark, pretraining = benchmark_species(20), pretraining_species(60)
    assert not {colors(item) for item in benchmark} & {colors(item) for item in pretraining}
    assert not {item.name for item in benchmark} & {item.name for item in pretraining}


def test_a_scene_is_determined_by_its_seed() -> None:
    species = benchmark_species(2)[0]
    for seed in range(8):
        first, again = (
            draw_scene(species, generator(seed), side=SIDE, telling=SMALL_PARTS) for _ in range(2)
        )
        assert all(
            one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True)
        )
        other_image = draw_scene(
            species, generator(seed + 100), side=SIDE, telling=SMALL_PARTS
        ).image
        assert first.image.tobytes() != other_image.tobytes()


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw_scene(benchmark_species(2)[0], generator(0), side=SIDE, telling=SMALL_PARTS)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("side", [32, 96, 129])
def test_the_longer_side_is_as_asked_and_the_aspect_varies(side: int) -> None:
    rng, species = generator(1), benchmark_species(2)[0]
    shapes = set()
    for _ in range(24):
        image, object_mask, part_mask = draw_scene(species, rng, side=side, telling=SMALL_PARTS)
        assert image.dtype == np.uint8
        assert object_mask.dtype == part_mask.dtype == np.bool_
        assert image.shape == (*object_mask.shape, 3) == (*part_mask.shape, 3)
        shapes.add(object_mask.shape)
    assert shapes == {(side, side), (side, round(0.75 * side)), (round(0.75 * side), side)}


def test_a_side_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="side"):
        draw_scene(benchmark_species(2)[0], generator(0), side=31, telling=SMALL_PARTS)


def test_parts_are_a_small_share_of_the_object(scenes: list[tuple[Species, Scene]]) -> None:
    shares = []
    for _, (_, object_mask, part_mask) in scenes:
        assert not (part_mask & ~object_mask).any()
        assert part_mask.any()
        assert object_mask.mean() >= 0.02
        shares.append(part_mask.sum() / object_mask.sum())
    assert 0.1 < np.mean(shares) < 0.2
    assert max(shares) < 0.35


def test_birds_vary_in_size_and_place(scenes: list[tuple[Species, Scene]]) -> None:
    masks = [scene.object_mask for _, scene in scenes]
    extents = np.array([box_extent(mask) / SIDE for mask in masks])
    assert extents.min() > 0.25
    assert extents.max() < 0.97
    assert np.quantile(extents, 0.1) < 0.6
    assert np.quantile(extents, 0.9) > 0.68
    centers = np.array([np.argwhere(mask).mean(axis=0) / mask.shape for mask in masks])
    assert (centers.std(axis=0) > 0.09).all()  # large birds have less room to move up and down
    assert (np.abs(centers.mean(axis=0) - 0.5) < 0.08).all()


def test_parts_show_the_colors_of_the_species(scenes: list[tuple[Species, Scene]]) -> None:
    """By hue, which light and shade leave alone: most part pixels match, few body pixels do."""
    inside, outside = [], []
    for species, (image, object_mask, part_mask) in scenes:
        own = np.array([[species.crown, species.bill, species.bar]], np.uint8)
        hues = cv2.cvtColor(own, cv2.COLOR_RGB2HSV)[0, :, 0].astype(int)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
        gap = np.abs(hsv[..., :1] - hues)
        near = (np.minimum(gap, 180 - gap) < 12).any(axis=2) & (hsv[..., 1] > 110)
        core = cv2.erode(part_mask.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
        body = object_mask & ~cv2.dilate(part_mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
        inside.append(near[core].mean() if core.any() else 1.0)
        outside.append(near[body].mean())
    assert np.mean(inside) > 0.85
    assert np.mean(outside) < 0.12


def changed_pixels(base: Species, field: str, seed: int) -> NDArray[np.bool_]:
    """Where the image differs clearly when one color of a species is another."""
    color = getattr(base, field)
    inverse: dict[str, Any] = {field: tuple(255 - channel for channel in color)}
    other = replace(base, **inverse)
    first, second = (
        draw_scene(item, generator(seed), side=SIDE, telling=SMALL_PARTS) for item in (base, other)
    )
    assert np.array_equal(first.object_mask, second.object_mask)
    difference = np.abs(first.image.astype(int) - second.image).max(axis=2)
    around = cv2.dilate(first.part_mask.astype(np.uint8), np.ones((13, 13))) > 0
    assert difference[~around].mean() < 0.05
    clear: NDArray[np.bool_] = difference > 60
    return clear


def test_each_color_paints_a_part_of_its_own() -> None:
    base = benchmark_species(2)[0]
    heights = []
    for seed in range(16):
        crown, bill, bar = (changed_pixels(base, name, seed) for name in ("crown", "bill", "bar"))
        sizes = [mask.sum() for mask in (crown, bill, bar)]
        assert (crown & bill).sum() + (crown & bar).sum() + (bill & bar).sum() < 0.1 * sum(sizes)
        if min(sizes) > 0:
            heights.append([np.nonzero(mask)[0].mean() for mask in (crown, bill, bar)])
    assert len(heights) >= 10
    crowns, bills, bars = np.transpose(heights)
    assert np.mean(crowns < bills) > 0.9
    assert np.mean(crowns < bars) > 0.6


def test_nothing_but_the_parts_depends_on_the_species() -> None:
    one = benchmark_species(2)[0]
    other = replace(pretraining_species(2)[1], crest=not one.crest, bars=3 - one.bars)
    assert one.bill_shape != other.bill_shape
    differences = []
    for seed in range(24):
        first = draw_scene(one, generator(seed), side=SIDE, telling=SMALL_PARTS)
        second = draw_scene(other, generator(seed), side=SIDE, telling=SMALL_PARTS)
        parts = (first.part_mask | second.part_mask).astype(np.uint8)
        elsewhere = (cv2.dilate(parts, np.ones((13, 13))) == 0) & first.object_mask
        difference = np.abs(first.image.astype(int) - second.image)[elsewhere]
        differences.append(difference.mean())
        around = cv2.dilate(first.object_mask.astype(np.uint8) | parts, np.ones((13, 13))) > 0
        assert np.array_equal(first.image[~around], second.image[~around])
    # A crest still shades the head a little, of a large bird more; grain or colors of its own would
    # show on every bird.
    assert np.mean(differences) < 0.5
    assert max(differences) < 1


def test_all_poses_and_both_directions_occur() -> None:
    rng, species = generator(3), benchmark_species(2)[0]
    birds = [sample_bird(species, rng) for _ in range(80)]
    assert {bird.pose for bird in birds} == {"upright", "level", "foraging", "flying"}
    assert all((len(bird.feet) == 0) == (bird.pose == "flying") for bird in birds)


def test_the_source_knows_every_part_that_may_tell() -> None:
    assert get_args(Part) == get_args(Telling)


@pytest.mark.parametrize(
    ("telling", "changed"),
    [
        (("crown",), {"bill", "bars"}),
        (("crown", "bill"), {"bars"}),
        (("bars", "body"), {"crown", "bill"}),
        (("crown", "bill", "bars", "body"), set()),
    ],
)
def test_parts_that_do_not_tell_are_worn_by_every_species(
    telling: tuple[Telling, ...], changed: set[str]
) -> None:
    """What does not tell is drawn alike for two species, and takes many values."""
    one, other = benchmark_species(20)[3], benchmark_species(20)[11]
    fields = {"crown": ("crown", "crest"), "bill": ("bill", "bill_shape"), "bars": ("bar", "bars")}
    worn = [
        (seen(one, telling, generator(seed)), seen(other, telling, generator(seed)))
        for seed in range(60)
    ]
    for part, names in fields.items():
        for name in names:
            values = {getattr(first, name) for first, _ in worn}
            if part in changed:
                assert all(getattr(a, name) == getattr(b, name) for a, b in worn)
                assert len(values) > 1
            else:
                assert values == {getattr(one, name)}
                assert {getattr(b, name) for _, b in worn} == {getattr(other, name)}
    bodies = {first.body for first, _ in worn}
    assert bodies == ({one.body} if "body" in telling else {None})


@pytest.mark.parametrize(
    ("telling", "least", "most"),
    [(("bill",), 0.0, 0.08), (("bars",), 0.0, 0.25), (("body",), 0.5, 1.0)],
)
def test_the_part_mask_marks_what_tells(
    telling: tuple[Telling, ...], least: float, most: float
) -> None:
    species = benchmark_species(2)[0]
    shares = []
    for seed in range(16):
        scene = draw_scene(species, generator(seed), side=SIDE, telling=telling)
        assert not (scene.part_mask & ~scene.object_mask).any()
        shares.append(scene.part_mask.sum() / scene.object_mask.sum())
    assert least < np.mean(shares) < most
