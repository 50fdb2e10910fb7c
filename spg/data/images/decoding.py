"""Image files of strangers: refused in one sentence, or read to the last pixel.

What every reader of images and masks shares. Pixels are read as stored: orientation tags are
ignored, since boxes and masks refer to the stored pixels (PIL, which wsolevaluation reads with,
ignores them too). A file is told by its content, never by its name.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Buffer = Any
"""Bytes, or what holds them without a copy."""
MAX_PIXELS = 100_000_000
OBJECT, LEFT_OUT = 255, 128
"""Values of a packed mask; the background is 0."""
SAME = 0.05  # by which two aspect ratios may differ, since OpenImages' masks are smaller
HEADER = 64  # bytes, in which a WebP says of what kind it is


class BadImageError(Exception):
    """An image that cannot be used; the text says why."""


@contextmanager
def opened(encoded: bytes) -> Iterator[Image.Image]:
    """Yield an image of which the header alone was read, and whose size is allowed.

    Raises:
        BadImageError: when it is no image or too large, or the block finds it damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF blocks and of many pixels
            with Image.open(io.BytesIO(encoded)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    size = f"{width} x {height} pixels, the limit is {MAX_PIXELS:,}"
                    raise BadImageError(f"too large: {size}")
                yield image
    except UnidentifiedImageError:
        raise BadImageError("no image that can be read" if encoded else "empty file") from None
    except Image.DecompressionBombError as error:
        raise BadImageError(f"too large: {error}") from None
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # damage makes the decoders of PIL raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadImageError(f"damaged: {reason}") from None


def decode_rgb(encoded: Buffer) -> NDArray[np.uint8]:
    """Return a JPEG or PNG as ``uint8 [H, W, 3]``, RGB.

    Raises:
        BadImageError: when it cannot be decoded.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), flags)
    if bgr is None:
        raise BadImageError("cannot be decoded; save it as PNG")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def decode_mask(encoded: bytes) -> NDArray[np.bool_]:
    """Return the object's pixels of a mask file as ``bool [H, W]``.

    The object is every pixel above 0 in any channel, at any depth: 1 bit, 8 or 16 bits, a palette's
    colors, colors of instances. Transparency tells only where it varies: a transparent pixel is
    background then, and where no visible pixel has a color, the visible ones are the object. JPEG
    and lossy WebP keep no exact values, so there the object begins at half of the largest.

    Args:
        encoded: the whole file.

    Raises:
        BadImageError: when it is empty, truncated, damaged, too large or no image.
    """
    with opened(encoded) as image:
        image.load()  # raises for a truncated file, which OpenCV fills with zeros
        pixels = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:  # of a kind that OpenCV does not know
            pixels = np.asarray(image if image.mode[0] in "1IF" else image.convert("RGBA"))
        lossy = image.format in ("JPEG", "MPO") or (
            image.format == "WEBP" and b"VP8L" not in encoded[:HEADER]
        )
    layers = np.atleast_3d(pixels)
    above = layers >= max(1, layers.max() / 2) if lossy else layers > 0
    colored: NDArray[np.bool_] = np.asarray(above[..., :3].any(axis=2))
    if above.shape[2] < 4:
        return colored
    visible: NDArray[np.bool_] = above[..., 3]
    if visible.all() or not visible.any():
        return colored
    return colored & visible if (colored & visible).any() else visible


def encode_mask(mask: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None) -> bytes:
    """Return a mask as a PNG of one channel: `OBJECT`, `LEFT_OUT`, and 0 for the background.

    Args:
        mask: ``bool [H, W]``, the object.
        ignored: ``bool [H, W]``, what is left out where it is not the object; ``None``: nothing.
    """
    values = mask.astype(np.uint8) * OBJECT
    if ignored is not None:
        values[ignored & ~mask] = LEFT_OUT
    _, encoded = cv2.imencode(".png", values)
    return encoded.tobytes()


def of_shape(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of a height and width, by the nearest pixel."""
    if mask.shape == shape:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.bool_)


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether two sizes have nearly the same aspect ratio."""
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= SAME
