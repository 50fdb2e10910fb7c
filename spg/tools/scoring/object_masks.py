"""Masks of wsolevaluation's data: objects, background and regions to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.pixels import IGNORED
from spg.project.errors import UserError

Size = tuple[int, int]


def read_object_mask(
    folder: Path, masks: Sequence[str], ignore: str | None, size: Size | None
) -> NDArray[np.uint8]:
    """Return the union of an image's masks, with what lies in ``ignore`` alone left out.

    Args:
        folder: where the files lie.
        masks: files of the instances; every pixel above 0 belongs to the object.
        ignore: file of the regions to ignore, or ``None``.
        size: width and height to squash to, nearest pixel (docs/sources.md 4.2); ``None`` keeps it.

    Returns:
        ``uint8 [H, W]``: 1 object, 0 background, 255 ignored.

    Raises:
        UserError: when a file is missing or no image.
    """
    instances = [_read(folder / name, size) for name in masks]
    ignored = _read(folder / ignore, size) if ignore else np.zeros_like(instances[0])
    if len({region.shape for region in (*instances, ignored)}) > 1:
        raise UserError(f"{folder / masks[0]}: the masks of this image differ in size")
    foreground = np.any(instances, axis=0)
    mask: NDArray[np.uint8] = foreground.astype(np.uint8)
    mask[ignored & ~foreground] = IGNORED
    return mask


def _read(path: Path, size: Size | None) -> NDArray[np.bool_]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise UserError(f"{path}: no such mask, or not readable as an image")
    if size is not None:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(grey, dtype=np.uint8).astype(np.bool_)
