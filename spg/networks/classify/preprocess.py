"""What a published classifier wants to see of an image."""

from __future__ import annotations

from typing import Literal, NamedTuple

from spg.networks.parts.stem import Colors


class Preprocess(NamedTuple):
    """The shorter side to ``resize``, the square in the middle of side ``crop``, then colors."""

    resize: int
    crop: int
    interpolation: Literal["bilinear", "bicubic"]
    colors: Colors


IMAGENET = Colors(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Mean and spread of ImageNet's pixels, which torchvision's classifiers were trained with."""

DPN = Colors(mean=(124 / 255, 117 / 255, 104 / 255), std=(1 / (0.0167 * 255),) * 3)
"""What the Dual Path Networks were trained with (timm, ``IMAGENET_DPN_MEAN``)."""
