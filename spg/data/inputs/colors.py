"""How a network wants its pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchvision.transforms.v2.functional as V
from torch import Tensor


class Colors(NamedTuple):
    """How a backbone wants its pixels: ``(x - mean) / std`` on RGB in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Colors(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Mean and spread of ImageNet's pixels, which torchvision's networks were trained with."""


def normalize_images(images: Tensor, colors: Colors) -> Tensor:
    """Turn ``uint8 Tensor[B, 3, S, S]`` into normalized floats, channels_last."""
    scaled: Tensor = V.normalize(
        V.to_dtype(images, torch.float32, scale=True), list(colors.mean), list(colors.std)
    )
    return scaled.contiguous(memory_format=torch.channels_last)
