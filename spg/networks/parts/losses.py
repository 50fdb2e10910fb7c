"""The class loss, which every criterion has."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from spg.networks.compute.device import full_precision
from spg.networks.compute.distributed import image_mean


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy on the image label, the mean over the batch.

    Args:
        logits: ``Tensor[B, K]``.
        labels: ``int64 Tensor[B]``.
    """
    total = F.cross_entropy(full_precision(logits), labels, reduction="sum")
    return image_mean(total, len(labels))
