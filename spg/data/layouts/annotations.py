"""What every reader of a raw data set returns: one annotation an image.

A reader is a module of this folder named by ``datasets.<name>.layout``, with
``read_annotations(root: Path) -> list[Annotation]``; ``root`` is the raw folder. Boxes are as the
data set states them, in half-open form: they may reach beyond the image, whose size no reader
knows. ``prepare`` clips them to it, and a box without area after clipping is an error.
"""

from __future__ import annotations

from typing import NamedTuple

Box = tuple[float, float, float, float]
"""xyxy, half-open, pixels of the original image."""


class Annotation(NamedTuple):
    """One image and what is known about it."""

    image_id: str
    """Unique; the image's path as wsolevaluation names it, e.g. ``val/ILSVRC2012_val_...``."""
    file: str
    """Of the image, for :func:`spg.data.layouts.raw.read_image`."""
    class_id: int
    """From 0."""
    class_name: str
    split: str
    """``TRAIN_WEAKSUP``, ``TRAIN_FULLSUP`` or ``TEST`` of spg/data/images/manifest.py."""
    boxes: tuple[Box, ...]
    """Several stay several; empty where none is known."""
    object_mask: str | None
    """File of the object's mask, for ``read_image``, or ``None``."""
    part_mask: str | None
    """File of the telling parts' mask, or ``None``."""
