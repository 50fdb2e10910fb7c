"""What a bird is seen against: sky, foliage, grass, ground or water, out of focus.

Lengths are in image sides, the longer side being 1.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.data.birds.species import Color

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

_SUBPIXEL_BITS = 4
_FAR_REDUCTION = 4
_CLOUDINESS = ((4, 0.12), (12, 0.06))  # cells on a side, strength


class Element(NamedTuple):
    """What a background is made of: many lens-shaped or round things.

    Attributes:
        length: Range of the lengths.
        aspect: Range of width over length.
        angle: Mean and spread of the direction, in degrees.
        roundness: Exponent of the outline: 1 for pointed ends, 0.5 for an ellipse.
        far: Range of how many there are out of focus.
        near: Range of how many there are nearly in focus.
    """

    length: tuple[float, float]
    aspect: tuple[float, float]
    angle: tuple[float, float]
    roundness: float
    far: tuple[int, int]
    near: tuple[int, int]


class Setting(NamedTuple):
    """The colors and the elements of one kind of background, RGB."""

    top: tuple[Color, ...]
    bottom: tuple[Color, ...]
    elements: tuple[Color, ...]
    element: Element


_GREENS = ((58, 92, 40), (86, 120, 52), (120, 146, 70), (44, 70, 38), (150, 160, 84))
_LEAF = Element((0.08, 0.24), (0.3, 0.5), (30.0, 70.0), 1.0, (25, 60), (0, 12))
_BLADE = Element((0.3, 0.9), (0.025, 0.06), (90.0, 16.0), 1.0, (25, 50), (4, 22))
_PEBBLE = Element((0.02, 0.09), (0.5, 0.9), (0.0, 20.0), 0.5, (20, 60), (5, 30))
_RIPPLE = Element((0.15, 0.6), (0.03, 0.09), (0.0, 3.0), 1.0, (20, 45), (0, 14))
_CLOUD = Element((0.25, 0.7), (0.3, 0.6), (0.0, 10.0), 0.5, (0, 9), (0, 1))

SETTINGS = {
    "foliage": Setting(
        top=((70, 100, 50), (128, 148, 92), (40, 60, 36), (150, 158, 110)),
        bottom=((44, 66, 34), (80, 100, 56), (70, 62, 40)),
        elements=(*_GREENS, (168, 150, 70), (108, 90, 50)),
        element=_LEAF,
    ),
    "sky": Setting(
        top=((110, 150, 200), (150, 178, 208), (176, 184, 192), (196, 176, 168)),
        bottom=((186, 206, 222), (214, 216, 214), (224, 204, 180)),
        elements=((236, 238, 240), (214, 218, 224), (196, 200, 208)),
        element=_CLOUD,
    ),
    "grass": Setting(
        top=((116, 134, 74), (150, 150, 96), (84, 104, 60)),
        bottom=((74, 92, 44), (100, 104, 54), (128, 116, 66)),
        elements=(*_GREENS, (176, 164, 100), (194, 180, 124)),
        element=_BLADE,
    ),
    "ground": Setting(
        top=((130, 116, 94), (110, 110, 92), (150, 136, 112)),
        bottom=((122, 102, 78), (146, 126, 98), (104, 92, 78)),
        elements=((92, 78, 62), (168, 152, 126), (134, 120, 104), (74, 64, 52), (150, 110, 70)),
        element=_PEBBLE,
    ),
    "water": Setting(
        top=((96, 120, 130), (130, 148, 156), (92, 110, 92)),
        bottom=((62, 88, 104), (88, 104, 100), (110, 124, 132)),
        elements=((160, 180, 190), (70, 92, 104), (122, 140, 140), (190, 200, 200)),
        element=_RIPPLE,
    ),
}


def fill(image: Image, points: Points, color: Sequence[float]) -> None:
    """Fills an outline, [N, 2] in pixels, with smooth edges."""
    fixed = np.rint(points * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(image, [fixed], color, cv2.LINE_AA, _SUBPIXEL_BITS)


def stroke(image: Image, points: Points, color: Sequence[float], *, thickness: float) -> None:
    """Draws a line through points, [N, 2] in pixels, with smooth edges."""
    fixed = np.rint(points * 2**_SUBPIXEL_BITS).astype(np.int32)
    width = max(1, round(thickness))
    cv2.polylines(image, [fixed], False, color, width, cv2.LINE_AA, _SUBPIXEL_BITS)


def varied(color: Color, rng: np.random.Generator, *, spread: float) -> Color:
    """Returns a color a little lighter or darker, and a little off its hue."""
    light = rng.uniform(1 - spread, 1 + spread)
    channels = np.array(color) * light + rng.uniform(-40 * spread, 40 * spread, 3)
    red, green, blue = np.clip(channels, 0, 255).astype(int).tolist()
    return red, green, blue


def lens(center: Points, length: float, width: float, angle: float, *, roundness: float) -> Points:
    """Returns the outline, [18, 2], of a leaf-like shape; `angle` in radians."""
    outlines = _lenses(
        center[None], np.array([length]), np.array([width]), np.array([angle]), roundness
    )
    outline: Points = outlines[0]
    return outline


def _lenses(
    centers: Points, lengths: Points, widths: Points, angles: Points, roundness: float
) -> Points:
    """Returns the outlines, [count, 18, 2], of many leaf-like shapes."""
    along = np.linspace(0, 1, 10)
    half = 0.5 * np.sin(np.pi * along) ** roundness
    x = lengths[:, None] * (np.concatenate([along, along[-2:0:-1]]) - 0.5)
    y = widths[:, None] * np.concatenate([half, -half[-2:0:-1]])
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=2) + centers[:, None]


def paint_background(
    setting: Setting, rng: np.random.Generator, *, height: int, width: int
) -> Image:
    """Paints a background.

    Returns:
        The image, [height, width, 3], RGB.
    """
    far = _wash(setting, rng, -(-height // _FAR_REDUCTION), -(-width // _FAR_REDUCTION))
    _scatter(far, setting, rng, count=int(rng.integers(*setting.element.far, endpoint=True)))
    _bokeh(far, rng)
    blurred = cv2.GaussianBlur(far, (0, 0), rng.uniform(0.6, 3.5))
    image = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    _scatter(image, setting, rng, count=int(rng.integers(*setting.element.near, endpoint=True)))
    _distract(image, rng)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.4)).astype(np.uint8)


def _wash(setting: Setting, rng: np.random.Generator, height: int, width: int) -> Image:
    """A gradient between two colors, with clouds of light and dark."""
    top = np.array(varied(setting.top[rng.integers(len(setting.top))], rng, spread=0.2))
    bottom = np.array(varied(setting.bottom[rng.integers(len(setting.bottom))], rng, spread=0.2))
    weight = np.linspace(0, 1, height)[:, None, None]
    gradient = top * (1 - weight) + bottom * weight
    clouds = np.ones((height, width))
    for cells, strength in _CLOUDINESS:
        noise = rng.normal(0, strength, (cells, cells))
        smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        clouds += smooth.astype(np.float64)
    wash: Image = np.clip(gradient * clouds[:, :, None], 0, 255).astype(np.uint8)
    return wash


def _scatter(image: Image, setting: Setting, rng: np.random.Generator, *, count: int) -> None:
    """Paints `count` of the elements of a setting anywhere on the image."""
    element, side = setting.element, max(image.shape[:2])
    centers = rng.random((count, 2)) * [image.shape[1], image.shape[0]]
    lengths = rng.uniform(*element.length, count) * side
    widths = rng.uniform(*element.aspect, count) * lengths
    angles = np.radians(rng.normal(*element.angle, count))
    colors = np.array(setting.elements)[rng.integers(len(setting.elements), size=count)]
    tones = colors * rng.uniform(0.78, 1.22, (count, 1)) + rng.uniform(-9, 9, (count, 3))
    outlines = _lenses(centers, lengths, widths, angles, element.roundness)
    for outline, tone in zip(outlines, np.clip(tones, 0, 255), strict=True):
        fill(image, outline, tuple(tone.tolist()))


def _bokeh(image: Image, rng: np.random.Generator) -> None:
    """Adds soft discs of light."""
    height, width = image.shape[:2]
    light = np.zeros((height, width), np.uint8)
    for _ in range(max(0, int(rng.integers(-5, 9)))):
        x, y, radius = rng.integers(width), rng.integers(height), rng.uniform(0.03, 0.09)
        cv2.circle(light, (int(x), int(y)), round(radius * width), int(rng.integers(20, 70)), -1)
    cv2.add(image, cv2.merge([light, light, light]), dst=image)


def _distract(image: Image, rng: np.random.Generator) -> None:
    """Adds a few berries and flowers of any color: bright spots that say nothing."""
    height, width = image.shape[:2]
    for _ in range(max(0, int(rng.integers(-2, 5)))):
        center = rng.random(2) * [width, height]
        radius = rng.uniform(0.01, 0.035) * max(height, width)
        bright = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0))
        red, green, blue = (int(255 * channel) for channel in bright)
        for angle in np.linspace(0, np.pi, int(rng.integers(1, 4)), endpoint=False):
            petal = lens(center, 2.2 * radius, 1.3 * radius, angle, roundness=0.5)
            fill(image, petal, (red, green, blue))
