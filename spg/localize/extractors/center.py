"""Center: the same map for every image, highest in its middle; wsolevaluation's row *Center*."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SIDE = 56
"""Of a map; where a level set of it ends is then known to a fraction of a per cent of the image."""


def extract(model: nn.Module, images: Tensor, class_ids: Tensor, outputs: Any) -> Tensor:
    """Return maps that fall with the distance from the image's middle, on every side alike.

    wsolevaluation's *Center* baseline is an isotropic Gaussian, whose width is not among our
    sources. What is measured hardly depends on it: every profile that falls with the distance has
    the same level sets, which are discs, and MaxBoxAccV2 and PxAP take the best threshold or all of
    them. One that is narrow falls to 0 in wsolevaluation's eight bits before it has reached the
    border, and lacks the large discs. This one falls evenly, so that there are discs of every size
    (PROTOCOL 37).

    Args:
        model: not used: no network is asked.
        images: ``Tensor[B, 3, S, S]``; only their number and device are used.
        class_ids: not used.
        outputs: not used.

    Returns:
        ``float32 Tensor[B, SIDE, SIDE]``, in (0, 1].
    """
    places = torch.arange(SIDE, dtype=torch.float32, device=images.device)
    offset = (places - (SIDE - 1) / 2) / (SIDE / 2)  # -1 to 1 over the image
    distance = (offset[:, None].square() + offset[None].square()).sqrt()
    return (1 - distance / 2).expand(len(images), SIDE, SIDE).clone()
