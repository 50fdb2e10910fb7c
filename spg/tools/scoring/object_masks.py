"""Masks of wsolevaluation's data: objects, background and regions to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.data.images.decoding import BadImageError, decode_mask
from spg.evaluate.metrics.pixels import IGNORED
from spg.project.errors import UserError

Size = tuple[int, int]
Mask = NDArray[np.uint8]


class ObjectMask(NamedTuple):
    """The masks of one image."""

    pixels: Mask
    """``uint8 [H, W]``: 1 object, 0 background, 255 ignored."""
    stored: Size
    """Width and height of the first file."""


def read_object_mask(files: Sequence[Path], ignore: Path | None, size: Size | None) -> ObjectMask:
    """Return the union of an image's masks, with what lies in ``ignore`` alone left out.

    Args:
        files: of the instances, read by :func:`~spg.data.images.decoding.decode_mask`.
        ignore: file of the regions to ignore, or ``None``.
        size: width and height to squash to, nearest pixel (docs/sources.md 4.2); ``None`` keeps it.

    Raises:
        UserError: when a file is missing, damaged or no image.
    """
    instances = [_read(file) for file in files]
    height, width = instances[0].shape
    regions = [_squashed(region, size) for region in instances]
    ignored = _squashed(_read(ignore), size) if ignore else np.zeros_like(regions[0])
    if len({region.shape for region in (*regions, ignored)}) > 1:
        raise UserError(f"{files[0]}: the masks of this image differ in size")
    foreground = np.any(regions, axis=0)
    mask: Mask = foreground.astype(np.uint8)
    mask[ignored & ~foreground] = IGNORED
    return ObjectMask(mask, (width, height))


def _read(path: Path) -> NDArray[np.bool_]:
    try:
        return decode_mask(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such mask") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except BadImageError as error:
        raise UserError(f"{path}: {error}") from None


def _squashed(mask: NDArray[np.bool_], size: Size | None) -> NDArray[np.bool_]:
    if size is None:
        return mask
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
