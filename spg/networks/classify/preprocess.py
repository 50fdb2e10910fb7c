"""What a published classifier wants to see of an image."""

from __future__ import annotations

from typing import Literal, NamedTuple

from spg.data.inputs.colors import Colors


class Preprocess(NamedTuple):
    """The shorter side to ``resize``, the square in the middle of side ``crop``, then colors."""

    resize: int
    crop: int
    interpolation: Literal["bilinear", "bicubic"]
    colors: Colors


DPN = Colors(mean=(124 / 255, 117 / 255, 104 / 255), std=(1 / (0.0167 * 255),) * 3)
"""What the Dual Path Networks were trained with (timm, ``IMAGENET_DPN_MEAN``)."""
