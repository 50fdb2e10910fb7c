"""What every reader of a raw data set returns: one annotation an image.

A reader is the ``read`` of a data set's SPEC: ``read(root: Path) -> list[Annotation]``; ``root`` is
the raw folder. It looks at no image. Boxes are as the data set states them, in half-open form: they
may reach beyond the image, whose size no reader knows. ``prepare`` compares all that is stated with
the images, and clips the boxes to them.

What is wrong with one image stands in its annotation, and ``prepare`` lists it unless the image is
skipped; what is wrong with the whole is a :class:`~spg.data.layouts.problems.BadDataError`.
"""

from __future__ import annotations

from typing import NamedTuple

Box = tuple[float, float, float, float]
"""xyxy, half-open, pixels of the original image."""
UNKNOWN = -1
"""Class id of an image whose class cannot be told, which is a ``problem``."""


class Annotation(NamedTuple):
    """One image and what is known about it."""

    image_id: str
    """Unique; the image's path as wsolevaluation names it, e.g. ``val/ILSVRC2012_val_...``."""
    file: str
    """Of the image, for :func:`spg.data.layouts.raw.read_image`."""
    class_id: int
    """From 0 without gaps over all images."""
    class_name: str
    split: str
    """``TRAIN_WEAKSUP``, ``TRAIN_FULLSUP`` or ``TEST`` of spg/data/images/manifest.py."""
    boxes: tuple[Box, ...]
    """Several stay several; empty where none is known."""
    object_mask: str | None
    """File of the object's mask, for ``read_image``, or ``None``. It is as large as the image,
    unless ``masks_may_be_smaller``."""
    part_mask: str | None
    """File of the telling parts' mask, or ``None``."""
    stated_size: tuple[int, int] | None = None
    """Width and height that the annotations state, or ``None``; the image's own size counts, and a
    difference means that the boxes are of another image."""
    named_at: str = ""
    """File and line that name the image, for errors."""
    boxes_at: str = ""
    """File and line where the boxes stand, for errors."""
    problem: str | None = None
    """Why the image cannot be used at all, with file and line."""
    box_problem: str | None = None
    """Why its boxes cannot, which matters to an image on which something is measured."""
    boxes_wanted: bool = True
    """Whether something shall be measured by boxes; false where a data set has none of its test
    images."""
    pseudo_boxes: tuple[Box, ...] = ()
    """Boxes that someone proposes for an image of ``train_fullsup``; they choose thresholds beside
    the true ones (PROTOCOL 10)."""
    pseudo_at: str = ""
    """File and line where those stand, for errors."""
    boxes_for: tuple[int, int] | None = None
    """Width and height of the image in whose pixels the boxes are, where the files are copies of it
    in another size; ``prepare`` scales them. ``None``: they are in the file's own pixels."""
    more_masks: tuple[str, ...] = ()
    """Files of further instances' masks; the object is all of them together."""
    ignore_mask: str | None = None
    """File of the regions that count neither as object nor as background, where they are not the
    object."""
    masks_may_be_smaller: bool = False
    """Whether masks may have another size than the image, of nearly its shape (OpenImages)."""
