"""CAM: the class map itself, since SPG-A ends in a 1x1 convolution and GAP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def extract(model: nn.Module, images: Tensor, class_ids: Tensor, outputs: Any) -> Tensor:
    """Return the class maps of ``class_ids``.

    ``M_c(x, y) = sum_k w_kc f_k(x, y)`` (Zhou et al., CVPR 2016), which is channel c of A4 (ACoL
    and SPG show the equality); the bias of the convolution shifts it by a constant.

    Args:
        model: not used; the maps are among its outputs.
        images: ``Tensor[B, 3, S, S]``, normalized.
        class_ids: ``int64 Tensor[B]``.
        outputs: have ``class_maps`` (``Tensor[B, K, h, w]``).
    """
    class_maps: Tensor = outputs.class_maps
    return class_maps[torch.arange(len(images)), class_ids].float()
