"""From an image to the square that a network sees: the geometry of training and evaluation.

Every random choice depends on (seed, epoch, image) alone, so the pixels are the same for any number
of workers and after any interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torchvision.transforms.v2.functional as V
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from spg.data.inputs.colors import Colors
from spg.project.schema.training import InputParams
from spg.project.seeding import generator

LONGEST = 20_000  # pixels of the longer side after the shorter one has the asked-for size


Labels = Sequence[int] | NDArray[np.int64]


class Images(Protocol):
    """Anything that returns images by index."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return ``uint8 [H, W, 3]``, RGB."""
        ...


class TrainSamples(Dataset[tuple[Tensor, int, int]]):
    """Resized, randomly cropped and flipped (PROTOCOL 8); the key is (seed, epoch, index)."""

    def __init__(
        self, images: Images, labels: Labels, geometry: InputParams, colors: Colors
    ) -> None:
        self.images = images
        self.labels = labels
        self.geometry = geometry
        self.colors = colors

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, int, int]:
        seed, epoch, index = key
        size, crop = self.geometry.resize, self.geometry.crop
        fit = squash if self.geometry.aspect == "squash" else shrink
        image = fit(self.images.image(index), size)
        stream = generator(seed, "augment", epoch, index)
        height, width = image.shape[1:]
        top, left = stream.integers(0, [height - crop + 1, width - crop + 1])
        image = image[:, top : top + crop, left : left + crop]
        image = V.horizontal_flip(image) if stream.random() < 0.5 else image
        return image, int(self.labels[index]), index


class EvalSamples(Dataset[tuple[Tensor, int, int]]):
    """The whole image squashed to ``side`` (wsolevaluation's geometry, PROTOCOL 8); key index."""

    def __init__(self, images: Images, labels: Labels, side: int, colors: Colors) -> None:
        self.images = images
        self.labels = labels
        self.side = side
        self.colors = colors

    def __getitem__(self, key: int) -> tuple[Tensor, int, int]:
        return squash(self.images.image(key), self.side), int(self.labels[key]), key


def shrink(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return the whole image as ``uint8 Tensor[3, h, w]`` whose shorter side is ``size``.

    Of an image that would be longer than `LONGEST` pixels the middle is taken: a few pixels high
    and thousands long, it would need gigabytes for a crop of a few hundred.
    """
    height, width = image.shape[:2]
    most = max(1, LONGEST * min(height, width) // size)
    top, left = max(0, height - most) // 2, max(0, width - most) // 2
    middle = image[top : top + most, left : left + most]
    resized: Tensor = V.resize(torch.from_numpy(middle).permute(2, 0, 1), [size], antialias=True)
    return resized


def squash(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return the whole image as ``uint8 Tensor[3, size, size]``, its aspect ratio given up."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)  # [3, H, W]
    squashed: Tensor = V.resize(tensor, [size, size], antialias=True)
    return squashed
