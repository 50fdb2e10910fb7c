"""From an image file of any kind to the bytes that are packed.

Rules: pixels as stored, orientation tags ignored, since boxes refer to them (PIL, which
wsolevaluation reads with, ignores them too); grey, palette and CMYK become RGB; transparency is
dropped; of several frames the first; 16 bits become 8 by dividing by 257. A file is told by its
content, never by its name.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000
ORIENTATION = 0x0112  # of EXIF
READ_AS_THEY_ARE = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L")}


class BadImageError(Exception):
    """An image that cannot be packed; the text says why."""


class Recoded(NamedTuple):
    """A packed image and the size it came with."""

    encoded: bytes
    """JPEG or PNG."""
    width: int
    """Of the original, pixels, as is the height."""
    height: int


def recode(encoded: bytes, *, short_side: int | None, quality: int) -> Recoded:
    """Check an image, shrink it where it is larger than asked for, and make it plain RGB.

    A JPEG or PNG with grey or RGB pixels that is not shrunk keeps its bytes.

    Args:
        encoded: the whole file.
        short_side: pixels; ``None`` keeps the size. Smaller images are never enlarged.
        quality: of the JPEG that a shrunk image becomes, 1 to 100; others become PNG.

    Raises:
        BadImageError: when it is empty, truncated, damaged, too large or no image.
    """
    with opened(encoded) as image:
        return _recode(image, encoded, short_side, quality)


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
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise BadImageError(f"damaged: {' '.join(str(error).split())}") from None
    except Image.DecompressionBombError as error:
        raise BadImageError(f"too large: {error}") from None


def _recode(image: Image.Image, encoded: bytes, short_side: int | None, quality: int) -> Recoded:
    width, height = image.size
    plain = (image.format, image.mode) in READ_AS_THEY_ARE
    turned = image.getexif().get(ORIENTATION, 1) != 1
    image.load()  # raises for a truncated file
    shrinks = short_side is not None and min(width, height) > short_side
    if plain and not turned and not shrinks:
        return Recoded(encoded, width, height)
    pixels = _rgb(image)
    if shrinks:
        assert short_side is not None
        pixels = _shrunk(pixels, short_side)
    suffix, options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) if shrinks else (".png", [])
    _, packed = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return Recoded(packed.tobytes(), width, height)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64)
        return np.repeat(np.rint(deep / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise BadImageError("has 32 bits a pixel; only 8 and 16 are known")
    return np.asarray(image.convert("RGB"))


def _shrunk(pixels: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = short_side / min(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
