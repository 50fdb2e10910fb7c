"""Grad-CAM on the last features of the stem (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def extract(model: nn.Module, images: Tensor, class_ids: Tensor, outputs: Any) -> Tensor:
    """Return Grad-CAM maps of ``class_ids`` at the stem's last features.

    ``L_c = ReLU(sum_k a_k A_k)`` with ``a_k = mean over pixels of d y_c / d A_k``, where A is the
    output of the stem (Mixed_6e) and y_c the logit before the softmax.

    Args:
        model: has ``stem``, which returns features with a field ``last``.
        images: ``Tensor[B, 3, S, S]``, normalized.
        class_ids: ``int64 Tensor[B]``.
        outputs: not used; gradients need a run of their own.
    """
    with _captured_features(model.stem) as captured, torch.enable_grad():  # type: ignore[arg-type]
        logits = model(images).logits
        score = logits[torch.arange(len(images)), class_ids].sum()
        (gradient,) = torch.autograd.grad(score, captured[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    return F.relu((weights * captured[0].detach()).sum(dim=1)).float()


@contextmanager
def _captured_features(stem: nn.Module) -> Iterator[list[Tensor]]:
    captured: list[Tensor] = []
    handle = stem.register_forward_hook(lambda _, __, features: captured.append(features.last))
    try:
        yield captured
    finally:
        handle.remove()
