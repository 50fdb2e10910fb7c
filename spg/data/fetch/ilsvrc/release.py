"""What both layouts of ILSVRC 2012 CLS-LOC say, before it is checked and merged."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from spg.data.fetch.ilsvrc.voc import Voc
from spg.data.layouts.raw import Place

WNID = re.compile(r"n\d{8}")
TRAIN_IMAGE = re.compile(r"(n\d{8})_\d+\.JPEG")
VAL_IMAGE = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG")
CLASSES, TRAIN_IMAGES, VAL_IMAGES = 1000, 1_281_167, 50_000
"""Of the whole release (docs/sources.md 7)."""


class Release(NamedTuple):
    """One layout, read."""

    images: dict[str, Place]
    """By ``train/WNID/NAME.JPEG`` and ``val/NAME.JPEG``."""
    words: dict[str, str]
    """The words of every class, by WordNet id."""
    val_wnids: dict[str, str]
    """The class of every validation image, by ``val/NAME.JPEG``."""
    boxes: Callable[[str], Voc | None]
    """The box file of an image, where there is one; raises ``ValueError`` when it is malformed."""
    problems: dict[str, str]
    """Why an image cannot be used, by its name; it may be missing among ``images``."""
