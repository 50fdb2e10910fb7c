"""Self-produced guidance: from maps to three-valued masks. Pure functions, no modules.

Paper Eq. 1 and Algorithm 1; official inception3_spg.py:215-283. A mask holds ``BACKGROUND``,
``FOREGROUND`` or ``IGNORE`` for each pixel and never carries a gradient.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from spg.networks.compute.device import full_precision
from spg.networks.compute.distributed import batch_mean, own_rows, whole_batch
from spg.networks.parts.normalize import normalize_maps

BACKGROUND, FOREGROUND, IGNORE = 0, 1, 255
REFERENCE_PIXELS = 224 * 224  # the resolution at which the official code counts its 30 pixels


def upsample(maps: Tensor, size: int, *, align_corners: bool) -> Tensor:
    """Interpolate ``Tensor[B, 1, h, w]`` bilinearly to ``Tensor[B, size, size]``.

    On a GPU by two products, whose gradient is the same bits every time: that of torch's own
    interpolation is summed there in whatever order its threads come.
    """
    if maps.device.type == "cuda":
        return upsample_by_products(maps, size, align_corners=align_corners)
    scaled = F.interpolate(
        maps, size=(size, size), mode="bilinear", align_corners=align_corners, antialias=False
    )
    return scaled[:, 0]


def upsample_by_products(maps: Tensor, size: int, *, align_corners: bool) -> Tensor:
    """Do what `upsample` does as ``rows @ map @ columns``, equal to it up to rounding."""
    height, width = maps.shape[2:]
    rows = _weights(height, size, maps.dtype, maps.device, align_corners=align_corners)
    columns = _weights(width, size, maps.dtype, maps.device, align_corners=align_corners)
    return rows.mT @ maps[:, 0] @ columns


@cache
def _weights(
    side: int, size: int, dtype: torch.dtype, device: torch.device, *, align_corners: bool
) -> Tensor:
    """Return ``Tensor[side, size]``: how much of each of ``side`` values is in each of ``size``."""
    alone = torch.eye(side, dtype=dtype)[None]  # torch's own weights: what becomes of a single 1
    scaled = F.interpolate(alone, size=size, mode="linear", align_corners=align_corners)
    return scaled[0].to(device)


def attention_map(
    class_maps: Tensor, labels: Tensor, size: int, *, align_corners: bool, normalize_first: bool
) -> Tensor:
    """Return O, the normalized attention of each image's own class, without gradient.

    Args:
        class_maps: ``Tensor[B, K, h, w]`` of branch A.
        labels: ``int64 Tensor[B]``.
        size: side of the result.
        align_corners: of the interpolation.
        normalize_first: scale to [0, 1] before the interpolation instead of after (PROTOCOL 8).

    Returns:
        ``Tensor[B, size, size]`` in [0, 1].
    """
    index = labels[:, None, None, None].expand(-1, 1, *class_maps.shape[2:])
    selected = full_precision(class_maps.detach().gather(1, index))  # [B, 1, h, w]
    if normalize_first:
        scaled = normalize_maps(selected[:, 0])[:, None]
        return upsample(scaled, size, align_corners=align_corners)
    return normalize_maps(upsample(selected, size, align_corners=align_corners))


def guidance_mask(
    maps: Tensor,
    low: float,
    high: float,
    *,
    minimum_pixels: int,
    fraction_of_max: float,
    leak: bool,
) -> Tensor:
    """Divide each map into foreground, background and ignored pixels (paper Eq. 1).

    ``M = 1`` where ``O > high``, ``M = 0`` where ``O < low``, else ``IGNORE``; background wins
    where both hold. An image with fewer than ``minimum_pixels`` foreground pixels, counted as on
    a 224 x 224 map, gets ``high = fraction_of_max * max(O)`` (PROTOCOL 4).

    Args:
        maps: ``Tensor[B, H, W]`` in [0, 1]; no gradient flows into it.
        low: background below it.
        high: foreground above it; 0 < low < high < 1.
        minimum_pixels: foreground pixels of a 224 x 224 map under which ``high`` is lowered.
        fraction_of_max: the share of the map's maximum to which it is lowered.
        leak: a lowered threshold stays in force for the later images of the batch, as in the
            official code (227-231).

    Returns:
        ``float Tensor[B, H, W]`` of ``BACKGROUND``, ``FOREGROUND`` and ``IGNORE``.
    """
    maps = maps.detach()
    # The rule's 30 pixels are those of 224 x 224; other sides count as many of the same area.
    needed = minimum_pixels * maps[0].numel() / REFERENCE_PIXELS
    lowered = fraction_of_max * maps.amax(dim=(1, 2), keepdim=True)
    if leak:
        everyone = _leaking_thresholds(whole_batch(maps), high, whole_batch(lowered), needed)
        highs = own_rows(lambda _: everyone, len(maps))
    else:
        too_few = (maps > high).sum(dim=(1, 2), keepdim=True) < needed
        highs = torch.where(too_few, lowered, high)
    mask = torch.full_like(maps, IGNORE)
    mask[maps > highs] = FOREGROUND
    mask[maps < low] = BACKGROUND  # last, so that it wins where a lowered `high` is below `low`
    return mask


def _leaking_thresholds(maps: Tensor, high: float, lowered: Tensor, needed: float) -> Tensor:
    """Return ``Tensor[B, 1, 1]``, image after image, each starting from the last threshold."""
    current, highs = lowered.new_full((), high), []
    for one, lower in zip(maps, lowered, strict=True):
        current = torch.where((one > current).sum() < needed, lower[0, 0], current)
        highs.append(current)
    return torch.stack(highs)[:, None, None]


def fuse(b1: Tensor, b2: Tensor) -> Tensor:
    """Return the fused map of Algorithm 1, line 7: the mean of the two probability maps."""
    return (b1 + b2) / 2


def masked_bce(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy over the pixels that ``mask`` does not ignore.

    The mean runs over all valid pixels of the batch together (official code 281-283); 0 when
    every pixel is ignored.

    Args:
        logits: ``Tensor[B, H, W]``, before the sigmoid.
        mask: ``Tensor[B, H, W]`` from :func:`guidance_mask`.
    """
    valid = (mask != IGNORE).to(logits.dtype)
    target = (mask == FOREGROUND).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return batch_mean((losses * valid).sum(), valid.sum())
