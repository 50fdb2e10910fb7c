"""One picture of a bird somewhere, with the masks of what is visible of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.data.birds.background import SETTINGS, Image, Points, fill, lens, paint_background, varied
from spg.data.birds.bird import Bird, sample_bird
from spg.data.birds.plumage import Canvas, paint_bird
from spg.data.birds.species import Color, Species, Telling, seen

_SUPERSAMPLING = 2
_ASPECTS = ((1.0, 0.75), (1.0, 1.0), (0.75, 1.0))  # height, width
_BIRD_SIZES = (0.5, 0.95)  # longer side of the bird's frame, as share of the image's longer side
_LARGEST_FILL = 0.97  # of either side of the image
_LEAST_OBJECT = 0.02  # share of the image
_LEAST_SIDE = 32  # pixels; below that, bars and bill vanish
_OCCLUDED_SHARE = 0.4

# For each pose, where birds are seen in it, and how often.
_PLACES: dict[str, dict[str, float]] = {
    "upright": {"foliage": 0.45, "sky": 0.2, "grass": 0.2, "water": 0.15},
    "level": {"foliage": 0.35, "sky": 0.2, "grass": 0.15, "water": 0.15, "ground": 0.15},
    "foraging": {"ground": 0.45, "grass": 0.3, "water": 0.1, "foliage": 0.15},
    "flying": {"sky": 0.45, "foliage": 0.25, "water": 0.2, "grass": 0.1},
}
_BARKS: tuple[Color, ...] = ((92, 74, 58), (120, 104, 86), (70, 62, 54), (136, 124, 110))
_LEAVES: tuple[Color, ...] = ((70, 110, 46), (112, 138, 62), (54, 82, 44), (150, 128, 60))


class Scene(NamedTuple):
    """A picture and its masks.

    Attributes:
        image: RGB, [H, W, 3].
        object_mask: Visible pixels of the bird with bill, tail and wings, without legs, [H, W].
        part_mask: Visible pixels of the telling parts; a subset of the former, [H, W].
    """

    image: NDArray[np.uint8]
    object_mask: NDArray[np.bool_]
    part_mask: NDArray[np.bool_]


def draw_scene(
    species: Species, rng: np.random.Generator, *, side: int, telling: Collection[Telling]
) -> Scene:
    """Draws one bird in one place.

    Nothing but the telling parts depends on the species: the same `rng` gives the same picture of
    another species, aside from a redraw where too little of the bird is to be seen.

    Args:
        species: What is to be told from the picture.
        rng: Where all else comes from.
        side: Longer side of the image in pixels, at least 32.
        telling: The parts that tell the species; all others vary freely.

    Raises:
        ValueError: If `side` is too small.
    """
    if side < _LEAST_SIDE:
        raise ValueError(f"side must be at least {_LEAST_SIDE}, got {side}")
    while True:
        scene = _draw(seen(species, telling, rng), rng, side=side, telling=telling)
        if scene.object_mask.mean() >= _LEAST_OBJECT and scene.part_mask.any():
            return scene


def _draw(
    species: Species, rng: np.random.Generator, *, side: int, telling: Collection[Telling]
) -> Scene:
    aspect = _ASPECTS[rng.integers(len(_ASPECTS))]
    size = (round(side * aspect[0]), round(side * aspect[1]))
    height, width = size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING
    bird = _placed(sample_bird(species, rng), rng, height=height, width=width)
    places = _PLACES[bird.pose]
    place = str(rng.choice(list(places), p=list(places.values())))
    canvas = Canvas(
        image=paint_background(SETTINGS[place], rng, height=height, width=width),
        object=np.zeros((height, width), np.uint8),
        part=np.zeros((height, width), np.uint8),
    )
    if len(bird.feet):
        _paint_perch(canvas.image, bird, rng, on_ground=place == "ground")
    paint_bird(canvas, bird, species, rng, telling=telling)
    if rng.random() < _OCCLUDED_SHARE:
        _occlude(canvas, bird, rng)
    return Scene(
        image=_photograph(canvas.image, rng, size=size),
        object_mask=_reduced(canvas.object, size),
        part_mask=_reduced(canvas.part, size),
    )


def _placed(bird: Bird, rng: np.random.Generator, *, height: int, width: int) -> Bird:
    """Returns the bird in pixels, with a size, a direction and a place of its own."""
    room = np.array([width, height], dtype=float)
    extent = np.ptp(bird.frame, axis=0)
    scale = rng.uniform(*_BIRD_SIZES) * room.max() / extent.max()
    scale = min(scale, float((_LARGEST_FILL * room / extent).min()))
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    linear = scale * np.diag([mirror, 1.0])
    frame = bird.frame @ linear
    shift = rng.random(2) * (room - scale * extent) - frame.min(axis=0)
    return bird.mapped(linear, shift)


def _paint_perch(image: Image, bird: Bird, rng: np.random.Generator, *, on_ground: bool) -> None:
    """Paints what the bird stands on: its shadow on the ground, or a branch."""
    foot, extent = bird.feet.mean(axis=0), float(np.ptp(bird.frame, axis=0).max())
    if on_ground:
        _cast_shadow(image, foot, extent, rng)
        return
    bark = varied(_BARKS[rng.integers(len(_BARKS))], rng, spread=0.2)
    thickness = extent * rng.uniform(0.03, 0.1)
    _paint_branch(image, foot + np.array([0, 0.4 * thickness]), rng, bark=bark, thickness=thickness)


def _cast_shadow(image: Image, foot: Points, extent: float, rng: np.random.Generator) -> None:
    """Darkens the ground around a point."""
    shadow = np.zeros(image.shape[:2], np.uint8)
    center = foot + np.array([rng.normal(0, 0.1 * extent), 0])
    depth = int(rng.integers(60, 150))
    fill(shadow, lens(center, 0.7 * extent, 0.14 * extent, 0.0, roundness=0.5), (depth,))
    light = 255 - cv2.blur(shadow, (9, 9))
    cv2.multiply(image, cv2.merge([light, light, light]), dst=image, scale=1 / 255)


def _paint_branch(
    image: Image, through: Points, rng: np.random.Generator, *, bark: Color, thickness: float
) -> None:
    """Paints a branch from side to side through one point."""
    outline = _branch(through, rng.normal(0, 0.22), thickness, max(image.shape), rng)
    fill(image, outline, bark)
    lit = outline.copy()
    half = len(lit) // 2
    lit[half:] = lit[half:] * 0.35 + lit[:half][::-1] * 0.65
    lighter = varied(bark, rng, spread=0.1)
    fill(image, lit, tuple(min(255, int(1.25 * channel)) for channel in lighter))


def _branch(
    through: Points, slope: float, thickness: float, reach: float, rng: np.random.Generator
) -> Points:
    """Returns the outline of a crooked branch: its upper edge, then the lower one back."""
    along = np.linspace(-reach, reach, 17)
    bend = np.cumsum(rng.normal(0, 0.25 * thickness, 17))
    bend -= bend[8]
    half = thickness / 2 * rng.uniform(0.8, 1.2, 17)
    direction = np.array([np.cos(slope), np.sin(slope)])
    normal = np.array([-direction[1], direction[0]])
    spine = through + along[:, None] * direction + bend[:, None] * normal
    upper, lower = spine - half[:, None] * normal, spine + half[:, None] * normal
    return np.concatenate([upper, lower[::-1]])


def _occlude(canvas: Canvas, bird: Bird, rng: np.random.Generator) -> None:
    """Puts a twig or some leaves before the bird."""
    low, extent = bird.frame.min(axis=0), np.ptp(bird.frame, axis=0)
    spot, size = low + rng.uniform(0.1, 0.9, 2) * extent, float(extent.max())
    if rng.random() < 0.5:
        bark = varied(_BARKS[rng.integers(len(_BARKS))], rng, spread=0.2)
        thickness, slope = size * rng.uniform(0.015, 0.04), rng.uniform(0, np.pi)
        twig = _branch(spot, slope, thickness, 2 * size, rng)
        canvas.cover(twig, bark, bird=False, telling=False)
    green = _LEAVES[rng.integers(len(_LEAVES))]
    for _ in range(rng.integers(1, 5)):
        length = size * rng.uniform(0.1, 0.22)
        center, angle = spot + rng.normal(0, 0.12 * size, 2), rng.uniform(0, np.pi)
        leaf = lens(center, length, length * rng.uniform(0.3, 0.5), angle, roundness=1.0)
        canvas.cover(leaf, varied(green, rng, spread=0.15), bird=False, telling=False)


def _photograph(
    image: Image, rng: np.random.Generator, *, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Reduces the painting to an image of a size: color of the light, blur and sensor noise."""
    height, width = size
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    small = cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    cast = (rng.uniform(0.8, 1.15) * rng.uniform(0.93, 1.07, 3)).astype(np.float32)
    falloff = 1 + np.linspace(-1, 1, width, dtype=np.float32) * np.float32(rng.normal(0, 0.1))
    noise = rng.standard_normal(small.shape, dtype=np.float32) * np.float32(rng.uniform(1, 6))
    return np.clip(small * cast * falloff[:, None] + noise, 0, 255).astype(np.uint8)


def _reduced(mask: Image, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns where at least half of a pixel of a smaller image is set."""
    small = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA)
    return small >= 128
