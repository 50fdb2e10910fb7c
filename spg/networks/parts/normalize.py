"""Maps scaled to [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def normalize_maps(maps: Tensor) -> Tensor:
    """Scale each map to [0, 1]: ``(x - min) / (max - min)``; a constant map becomes zeros.

    Args:
        maps: ``Tensor[B, H, W]``, any range. The official code divides by zero on a constant map;
            zeros make every pixel background and the loss stays finite (PROTOCOL 3).
    """
    low = maps.amin(dim=(1, 2), keepdim=True)
    spread = maps.amax(dim=(1, 2), keepdim=True) - low
    return torch.where(spread > 0, (maps - low) / spread.clamp_min(1e-30), 0.0)
