"""Backprop saliency (Simonyan et al., ICLR workshop 2014)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def extract(model: nn.Module, images: Tensor, class_ids: Tensor, outputs: Any) -> Tensor:
    """Return saliency maps of ``class_ids`` at input resolution.

    ``M(x, y) = max over color channels of |d y_c / d I(x, y)|`` with the logit y_c. The cited work
    draws its boxes with GraphCut; here the box rule of all extractors applies (PROTOCOL 11).

    Args:
        model: returns a named tuple with ``logits``.
        images: ``Tensor[B, 3, S, S]``, normalized.
        class_ids: ``int64 Tensor[B]``.
        outputs: not used; gradients need a run of their own.
    """
    with torch.enable_grad():
        inputs = images.detach().requires_grad_(True)
        logits = model(inputs).logits
        score = logits[torch.arange(len(images)), class_ids].sum()
        (gradient,) = torch.autograd.grad(score, inputs)
    return gradient.abs().amax(dim=1).float()
