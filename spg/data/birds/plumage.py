"""The paint of one bird: muted plumage that varies freely, and the telling parts of its species."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.data.birds.background import Image, Points, fill, stroke, varied
from spg.data.birds.bird import Bird, rotation
from spg.data.birds.species import Color, Species, Telling

_BACKS: tuple[Color, ...] = (
    (112, 88, 64),  # brown
    (138, 112, 82),  # light brown
    (94, 96, 66),  # olive
    (122, 118, 84),  # pale olive
    (112, 112, 112),  # gray
    (84, 88, 96),  # slate
    (88, 98, 118),  # dusky blue
    (150, 130, 100),  # buff
    (78, 66, 56),  # dark brown
)
_BELLIES: tuple[Color, ...] = (
    (202, 186, 156),  # buff
    (206, 204, 198),  # off-white
    (168, 158, 138),  # drab
    (182, 174, 132),  # pale olive
    (160, 164, 172),  # pale gray
    (150, 124, 96),  # tawny
)
_LEGS: tuple[Color, ...] = ((70, 56, 48), (120, 92, 74), (50, 50, 54))

# What is drawn of each part that may tell a species.
_ROLES: dict[Telling, tuple[str, ...]] = {
    "crown": ("crown",),
    "bill": ("bill",),
    "bars": ("bar",),
    "body": ("back", "belly", "wing", "far_wing", "tail"),
}

_SHADING_REDUCTION = 4
_AMBIENT = 0.98


@dataclass(frozen=True)
class Canvas:
    """An image being painted, and what of the bird is visible on it.

    Attributes:
        image: RGB, [H, W, 3].
        object: 255 where the bird is visible, its legs aside, [H, W].
        part: 255 where its telling parts are visible, [H, W].
    """

    image: Image
    object: Image
    part: Image

    def cover(self, points: Points, color: Color, *, bird: bool, telling: bool) -> None:
        """Fills an outline, [N, 2] in pixels, over whatever is there."""
        fill(self.image, points, color)
        fixed = [np.rint(points).astype(np.int32)]
        cv2.fillPoly(self.object, fixed, 255 * bird)
        cv2.fillPoly(self.part, fixed, 255 * telling)


def paint_bird(
    canvas: Canvas,
    bird: Bird,
    species: Species,
    rng: np.random.Generator,
    *,
    telling: Collection[Telling],
) -> None:
    """Paints a bird, given in pixels, with plumage from `rng` and the colors of its species.

    Args:
        canvas: Where it is painted.
        bird: Its shape.
        species: What it wears.
        rng: Where the rest of the plumage comes from.
        telling: The parts that are marked on the canvas as telling.
    """
    colors = _colors(species, rng)
    roles = {role for part in telling for role in _ROLES[part]}
    for part in bird.parts:
        if part.stroke:
            stroke(canvas.image, part.points, colors[part.role], thickness=part.stroke)
        else:
            marked = part.role in roles
            canvas.cover(part.points, colors[part.role], bird=True, telling=marked)
    _shade(canvas, bird, rng)


def _colors(species: Species, rng: np.random.Generator) -> dict[str, Color]:
    """Returns the color of each role."""
    back = varied(_BACKS[rng.integers(len(_BACKS))], rng, spread=0.15)
    belly = varied(_BELLIES[rng.integers(len(_BELLIES))], rng, spread=0.12)
    if species.body is not None:
        back = varied(species.body, rng, spread=0.1)
        belly = _scaled(back, 1.3)
    wing = _scaled(back, rng.uniform(0.65, 0.95))
    return {
        "back": back,
        "belly": belly,
        "wing": wing,
        "far_wing": _scaled(wing, 0.8),
        "feather": _scaled(wing, rng.choice([0.6, 1.35])),
        "tail": _scaled(back, rng.uniform(0.55, 0.95)),
        "streak": _scaled(back, rng.uniform(0.6, 1.0)),
        "leg": _LEGS[rng.integers(len(_LEGS))],
        "eye": (22, 18, 16),
        "eye_ring": _scaled(belly, 1.1),
        "glint": (235, 235, 235),
        "crown": species.crown,
        "bill": species.bill,
        "bar": species.bar,
    }


def _scaled(color: Color, factor: float) -> Color:
    red, green, blue = (min(255, int(channel * factor)) for channel in color)
    return red, green, blue


def _shade(canvas: Canvas, bird: Bird, rng: np.random.Generator) -> None:
    """Lights the bird from one side and gives it the grain of feathers."""
    # Measured on the frame, not on the mask: grain and light must not depend on bill and crest.
    extent = float(np.ptp(bird.frame, axis=0).max())
    relief = _relief(canvas.object, extent, rng)
    light = relief + _grain(rng, canvas.object.shape, bird.frame.mean(axis=0), extent, bird.tilt)
    soft = cv2.GaussianBlur(canvas.object, (3, 3), 0).astype(np.float32) / 255
    light = 1 + soft * (light - 1)
    cv2.multiply(canvas.image, cv2.merge([light, light, light]), dst=canvas.image, dtype=cv2.CV_8U)


def _relief(mask: Image, extent: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns the light on a mask, [H, W], puffed up to a round body."""
    height, width = mask.shape
    size = (width // _SHADING_REDUCTION, height // _SHADING_REDUCTION)
    low = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    sigma = 0.08 * extent / _SHADING_REDUCTION
    body = cv2.GaussianBlur(low, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    across = cv2.Sobel(body, cv2.CV_32F, 1, 0) * (sigma / 4)
    down = cv2.Sobel(body, cv2.CV_32F, 0, 1) * (sigma / 4)
    side, top = rng.uniform(-0.8, 0.8), rng.uniform(0.4, 1.1)
    light = _AMBIENT + rng.uniform(0.5, 1.2) * (side * across + top * down)
    return cv2.resize(np.clip(light, 0.5, 1.3), (width, height)).astype(np.float32)


def _grain(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    origin: NDArray[np.float64],
    extent: float,
    tilt: float,
) -> NDArray[np.float32]:
    """Returns streaky noise around 0 along the body, [H, W]."""
    noise = rng.normal(0, rng.uniform(0.04, 0.12), (64, 64)).astype(np.float32)
    step = extent / 90
    turn = rotation(tilt) * [3.0 * step, step]
    matrix = np.concatenate([turn, origin[:, None]], axis=1)
    height, width = shape
    grain = cv2.warpAffine(noise, matrix, (width, height), borderMode=cv2.BORDER_WRAP)
    return grain.astype(np.float32)
