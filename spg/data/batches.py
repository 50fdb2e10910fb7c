"""From packed images to normalized batches: the geometry of training and evaluation.

Every random choice of an image depends on (seed, epoch, image) alone, and the order on
(seed, epoch), so the pixels are the same for any number of workers and after any interruption.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torchvision.transforms.v2.functional as V
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from spg.schema import InputParams
from spg.seeding import generator
from spg.stem import Colors


class Images(Protocol):
    """Anything that returns images by index."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return ``uint8 [H, W, 3]``, RGB."""
        ...


class Batch(NamedTuple):
    """What the model and the criterion get."""

    images: Tensor
    """``float Tensor[B, 3, S, S]``, normalized, channels_last."""
    labels: Tensor
    """``int64 Tensor[B]``."""
    indices: Tensor
    """``int64 Tensor[B]``, positions among the packed images."""


class TrainSamples(Dataset[tuple[Tensor, int, int]]):
    """Resized, randomly cropped and flipped (PROTOCOL 8); the key is (seed, epoch, index)."""

    def __init__(
        self, images: Images, labels: Sequence[int], geometry: InputParams, colors: Colors
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
        return image, self.labels[index], index


class EvalSamples(Dataset[tuple[Tensor, int, int]]):
    """The whole image squashed to ``side`` (wsolevaluation's geometry, PROTOCOL 8); key index."""

    def __init__(self, images: Images, labels: Sequence[int], side: int, colors: Colors) -> None:
        self.images = images
        self.labels = labels
        self.side = side
        self.colors = colors

    def __getitem__(self, key: int) -> tuple[Tensor, int, int]:
        return squash(self.images.image(key), self.side), self.labels[key], key


def train_batches(
    samples: TrainSamples,
    indices: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip: int,
) -> Iterator[Batch]:
    """Yield the batches of one epoch after the first ``skip``, in an order by (seed, epoch)."""
    order = generator(seed, "order", epoch).permutation(indices)
    keys = [(seed, epoch, int(index)) for index in order[skip * batch_size :]]
    return _batches(samples, keys, batch_size)


def eval_batches(
    samples: EvalSamples, indices: NDArray[np.int64], *, batch_size: int
) -> Iterator[Batch]:
    """Yield ``indices`` in order, each once."""
    return _batches(samples, [int(index) for index in indices], batch_size)


def _batches(
    samples: TrainSamples | EvalSamples, keys: Sequence[object], batch_size: int
) -> Iterator[Batch]:
    loader = DataLoader(
        samples,
        batch_size=batch_size,
        sampler=keys,  # any sequence of keys is a sampler
        num_workers=int(os.environ.get("SPG_WORKERS", "0")),
    )
    for images, labels, indices in loader:
        yield Batch(normalize_images(images, samples.colors), labels, indices)


def normalize_images(images: Tensor, colors: Colors) -> Tensor:
    """Turn ``uint8 Tensor[B, 3, S, S]`` into normalized floats, channels_last."""
    scaled: Tensor = V.normalize(
        V.to_dtype(images, torch.float32, scale=True), list(colors.mean), list(colors.std)
    )
    return scaled.contiguous(memory_format=torch.channels_last)


def shrink(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return the whole image as ``uint8 Tensor[3, h, w]`` whose shorter side is ``size``."""
    resized: Tensor = V.resize(torch.from_numpy(image).permute(2, 0, 1), [size], antialias=True)
    return resized


def squash(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return the whole image as ``uint8 Tensor[3, size, size]``, its aspect ratio given up."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)  # [3, H, W]
    squashed: Tensor = V.resize(tensor, [size, size], antialias=True)
    return squashed
