"""Ten crops of an image and their maps merged into one, as the CAM code has it (PROTOCOL 19)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as V
from torch import Tensor


def ten_crops(images: Tensor, crop: int) -> list[Tensor]:
    """Return the four corners and the center, then those of the mirror image.

    Args:
        images: ``Tensor[B, 3, S, S]``.
        crop: side of the crops.

    Returns:
        ten of ``Tensor[B, 3, crop, crop]``.
    """
    return list(V.ten_crop(images, [crop, crop]))


def merge_ten_maps(maps: list[Tensor], side: int, crop: int) -> Tensor:
    """Lay the crops' maps back where the crops were cut and add up their magnitudes.

    CAM:mergeTenCrop.m adds absolute values and does not divide by how often a place was seen, so
    that the middle of an image weighs more.

    Args:
        maps: ten of ``float Tensor[B, h, w]``, in the order of :func:`ten_crops`.
        side: of the images, pixels.
        crop: side of the crops, pixels.

    Returns:
        ``float Tensor[B, side, side]``.
    """
    corners = _corners(side, crop)
    merged = maps[0].new_zeros(len(maps[0]), side, side)
    for number, small in enumerate(maps):
        large = F.interpolate(small[:, None], size=(crop, crop), mode="bilinear")[:, 0]
        top, left = corners[number % len(corners)]
        if number >= len(corners):  # cut from the mirror image
            large, left = large.flip(-1), side - crop - left
        merged[:, top : top + crop, left : left + crop] += large.abs()
    return merged


def mean_scores(logits: list[Tensor]) -> Tensor:
    """Return the mean of the crops' softmax scores, ``Tensor[B, C]`` (CAM code)."""
    return torch.stack([one.float().softmax(dim=1) for one in logits]).mean(dim=0)


def _corners(side: int, crop: int) -> list[tuple[int, int]]:
    """Return (top, left) of the upright crops."""
    end, middle = side - crop, round((side - crop) / 2)
    return [(0, 0), (0, end), (end, 0), (end, end), (middle, middle)]
