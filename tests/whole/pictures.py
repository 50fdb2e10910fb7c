"""Images and masks in the forms in which they are saved."""

from __future__ import annotations

import io
import random

import cv2
import numpy as np
from PIL import Image


def pixels(draw: random.Random, width: int, height: int) -> np.ndarray:
    """Return a smooth random picture, ``uint8 [H, W, 3]``."""
    rng = np.random.default_rng(draw.randrange(1 << 30))
    coarse = rng.integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image, "jpeg", exif=exif)


PICTURES = {
    "jpeg": lambda image: saved(image, "jpeg"),
    "png": lambda image: saved(image, "png"),
    "grey": lambda image: saved(image.convert("L"), "jpeg"),
    "cmyk": lambda image: saved(image.convert("CMYK"), "jpeg"),
    "palette": lambda image: saved(image.convert("P"), "png"),
    "alpha": lambda image: saved(image.convert("RGBA"), "png"),
    "one bit": lambda image: saved(image.convert("1"), "png"),
    "bmp": lambda image: saved(image, "bmp"),
    "gif": lambda image: saved(image.convert("P"), "gif", save_all=True,
                               append_images=[Image.new("P", image.size)]),
    "turned": _turned,
    "lab": lambda image: saved(Image.new("LAB", image.size, (90, 128, 128)), "tiff"),
}  # fmt: skip
"""Forms of a picture; what is to be seen is what PIL converts to RGB."""


def picture(draw: random.Random, width: int, height: int) -> bytes:
    """Return a picture in any form."""
    return PICTURES[draw.choice(sorted(PICTURES))](Image.fromarray(pixels(draw, width, height)))


def seen(encoded: bytes) -> np.ndarray:
    """Return what a picture shows, ``uint8 [H, W, 3]``, by PIL alone."""
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def region(draw: random.Random, width: int, height: int) -> np.ndarray:
    """Return an object's pixels, ``bool [H, W]``: some, and not all."""
    mask = np.zeros((height, width), dtype=bool)
    x, y = draw.randrange(width - 1), draw.randrange(height - 1)
    mask[y : y + draw.randint(1, height - 1), x : x + draw.randint(1, width - 1)] = True
    mask[0, 0] = False
    mask[-1, -1] = True
    return mask


def _png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def _rgba(colors: np.ndarray, alpha: np.ndarray) -> bytes:
    return _png(np.dstack([colors, alpha.astype(np.uint8)]))


def _palette(mask: np.ndarray) -> bytes:
    image = Image.fromarray(mask.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return saved(image, "png")


def _colored(mask: np.ndarray, value: int, dtype) -> np.ndarray:
    colors = np.zeros((*mask.shape, 3), dtype=dtype)
    colors[mask, value % 3] = value
    return colors


MASKS = {
    "255": lambda m, v: _png(m.astype(np.uint8) * 255),
    "1": lambda m, v: _png(m.astype(np.uint8)),
    "levels": lambda m, v: _png(np.where(m, v, 0).astype(np.uint8)),
    "16 bits": lambda m, v: _png(np.where(m, v, 0).astype(np.uint16)),
    "1 bit": lambda m, v: saved(Image.fromarray(m), "png"),
    "instance color": lambda m, v: _png(_colored(m, v, np.uint8)),
    "16-bit color": lambda m, v: _png(_colored(m, v, np.uint16)),
    "palette": lambda m, v: _palette(m),
    "opaque": lambda m, v: _rgba(_colored(m, v, np.uint8), np.full(m.shape, 255)),
    "alpha of black": lambda m, v: _rgba(_colored(m, 0, np.uint8), np.where(m, v, 0)),
    "alpha of white": lambda m, v: _rgba(np.full((*m.shape, 3), 255, np.uint8), m * v),
    "grey with alpha": lambda m, v: saved(Image.fromarray(m.astype(np.uint8) * v).convert("LA"),
                                          "png"),
    "float": lambda m, v: saved(Image.fromarray(m.astype(np.float32) / v), "tiff"),
    "32 bits": lambda m, v: saved(Image.fromarray(m.astype(np.int32) * v), "tiff"),
    "gif": lambda m, v: saved(Image.fromarray(m.astype(np.uint8) * 255), "gif"),
    "webp": lambda m, v: saved(Image.fromarray(_colored(m, 255, np.uint8)), "webp", lossless=True),
}  # fmt: skip
"""Forms of one and the same mask; ``v`` is a value from 1 to 255."""


def mask_file(draw: random.Random, mask: np.ndarray) -> bytes:
    """Return a mask in any form."""
    return MASKS[draw.choice(sorted(MASKS))](mask, draw.randint(1, 255))


def no_picture(draw: random.Random, good: bytes) -> bytes:
    """Return a file that cannot be taken for ``good``."""
    return draw.choice([b"", b"<html>sign in</html>", b"\0" * 200, good[: len(good) // 2]])
