"""The parts of SPG behind the stem: convolution stacks, no losses (paper Fig. 2)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spg.networks.compute.distributed import own_rows


class Classified(NamedTuple):
    """What SPG-A returns."""

    logits: Tensor
    """``Tensor[B, K]``: the mean of each class map (GAP)."""
    class_maps: Tensor
    """``Tensor[B, K, h, w]``: output of A4, one map a class, any range."""
    a3: Tensor
    """``Tensor[B, C, h, w]``: output of A3 (or the features, without A3), which branch C reads."""


class BranchA(nn.Module):
    """SPG-A behind the stem: A3 (3x3 convolutions), A4 (1x1), global average pooling.

    The published layers have no batch norm. ``dropout`` stands before each convolution; 0 is what
    the authors' code did in effect (PROTOCOL 5).

    Args:
        in_channels: of the features.
        hidden: output channels of A3's convolutions (paper: 1024, 1024); may be empty.
        num_classes: of A4.
        dropout: probability of a zero, in training alone.
    """

    def __init__(
        self, in_channels: int, hidden: tuple[int, ...], num_classes: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.a3 = nn.ModuleList()
        for channels in hidden:
            self.a3.append(nn.Conv2d(in_channels, channels, kernel_size=3, padding=1))
            in_channels = channels
        self.a4 = nn.Conv2d(in_channels, num_classes, kernel_size=1)
        self.a3_channels = in_channels
        self.apply(init_xavier)

    def forward(self, features: Tensor) -> Classified:
        """Classify ``features`` (``Tensor[B, C, h, w]``) by the means of their class maps."""
        a3 = self._drop(features)  # [B, C, h, w]
        for conv in self.a3:
            a3 = self._drop(F.relu(conv(a3)))  # [B, hidden, h, w]
        class_maps = self.a4(a3)  # [B, K, h, w]
        # The mean of a map is its class's logit, so the map shows where the logit comes from.
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, a3)

    def _drop(self, x: Tensor) -> Tensor:
        if not self.training or self.dropout == 0:
            return x
        return x * own_rows(partial(_dropped_ones, x, self.dropout), len(x))


class MaskTail(nn.Sequential):
    """Layers 2 and 3 of a B branch, which B1 and B2 share: 3x3, ReLU, 1x1 to one logit."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 1, kernel_size=1),
        )
        self.apply(init_xavier)


class MaskHead(nn.Sequential):
    """Layer 1 of a B branch: 3x3, ReLU; each branch has its own."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU())
        self.apply(init_xavier)


class BranchC(nn.Sequential):
    """SPG-C on A3: 3x3, ReLU, 1x1 to one logit."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__(*MaskHead(in_channels, hidden), nn.Conv2d(hidden, 1, kernel_size=1))
        self.apply(init_xavier)


def _dropped_ones(like: Tensor, probability: float, count: int) -> Tensor:
    """Return what dropout multiplies ``count`` images with, in the memory format of ``like``."""
    ones = torch.empty_strided(
        (count, *like.shape[1:]), like.stride(), dtype=like.dtype, device=like.device
    )
    return F.dropout(ones.fill_(1), probability)


def init_xavier(module: nn.Module) -> None:
    """Initialize a convolution as the official code does (Xavier uniform, bias 0)."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
