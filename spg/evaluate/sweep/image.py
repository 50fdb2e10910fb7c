"""What the evaluator knows of an image: its size, true boxes and masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.boxes import Boxes
from spg.evaluate.metrics.protocols import Size


class Image(NamedTuple):
    """What is known of an image."""

    image_id: str
    split: str
    size: Size
    boxes: Boxes
    """``Float[M, 4]``, half-open, in the image; none where the data set has none of it."""
    pseudo_boxes: Boxes
    """The same of boxes that someone proposes (PROTOCOL 10)."""
    object_mask: NDArray[np.bool_] | None
    """``bool [h, w]``, of the image's size or, of data sets whose masks are, smaller."""
    part_mask: NDArray[np.bool_] | None
    left_out: NDArray[np.bool_] | None = None
    """What is neither object nor background, as large as the object's mask."""
