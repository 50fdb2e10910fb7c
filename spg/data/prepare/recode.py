"""From an image file of any kind to the bytes that are packed.

Rules: pixels as stored (:mod:`spg.data.images.decoding`); grey, palette and CMYK become RGB;
transparency is dropped; of several frames the first; 16 bits become 8 by dividing by 257.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spg.data.images.decoding import BadImageError, decode_rgb, opened

ORIENTATION = 0x0112  # of EXIF
READ_AS_THEY_ARE = {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L")}


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


def _recode(image: Image.Image, encoded: bytes, short_side: int | None, quality: int) -> Recoded:
    plain = (image.format, image.mode) in READ_AS_THEY_ARE
    turned = image.getexif().get(ORIENTATION, 1) != 1
    image.load()  # raises for a truncated file
    width, height = image.size  # of a TIFF, Pillow turns the pixels when it loads them
    shrinks = short_side is not None and min(width, height) > short_side
    if plain and not turned and not shrinks and _opencv_reads(encoded):
        return Recoded(encoded, width, height)
    pixels = _rgb(image)
    if shrinks:
        assert short_side is not None
        pixels = _shrunk(pixels, short_side)
    suffix, options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) if shrinks else (".png", [])
    done, packed = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise BadImageError(f"too large: {width} x {height} pixels do not fit into a {suffix} file")
    return Recoded(packed.tobytes(), width, height)


def _opencv_reads(encoded: bytes) -> bool:
    """Return whether training, which decodes by OpenCV, gets an image of what PIL can read."""
    try:
        decode_rgb(encoded)
    except BadImageError:
        return False
    return True


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.float64)
        return np.repeat(np.rint(deep / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if (image.mode, image.format) == ("I", "PPM"):  # 16 bits, which Pillow gives 32
        return np.repeat(np.rint(np.asarray(image) / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise BadImageError("has 32 bits a pixel; only 8 and 16 are known")
    try:
        return np.asarray(image.convert("RGB"))
    except ValueError:
        raise BadImageError(
            f"has colors of the kind {image.mode}, which cannot be made RGB; save it as RGB"
        ) from None


def _shrunk(pixels: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = short_side / min(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
