"""Inception-v3 as SPG cuts it: up to Mixed_6e, total stride 8.

Built from torchvision's own blocks with torchvision's state-dict names, so that the published
ImageNet checkpoint loads strictly. Differences from torchvision (PROTOCOL 1): Conv2d_1a and both
max-pools are padded, and Mixed_6a keeps the resolution (stride 1, padding 1).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.inception import BasicConv2d, InceptionA, InceptionB, InceptionC

from spg.data.inputs.colors import IMAGENET
from spg.networks.parts.channels import scale_channels
from spg.networks.parts.stem import HEAD, Features, Heads, Pools, Stem, Stride

PUBLISHED_URL = "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"
PUBLISHED_SHA256 = "0cc3c7bd"  # its first digits, which end the file's name
# Modules of the published classifier that lie behind the cut and are dropped, nothing else is.
DROPPED = ("AuxLogits.", "Mixed_7a.", "Mixed_7b.", "Mixed_7c.", "fc.")


class _ScaledConv(BasicConv2d):
    """torchvision's conv-BN-ReLU with its channel numbers multiplied by ``width``."""

    def __init__(self, in_channels: int, out_channels: int, *, width: float, **kwargs: Any) -> None:
        inputs = in_channels if in_channels == 3 else scale_channels(in_channels, width)
        super().__init__(inputs, scale_channels(out_channels, width), **kwargs)


class _InceptionBStride1(InceptionB):
    """Mixed_6a without its down-sampling: all three ways have stride 1 and padding 1."""

    def __init__(self, in_channels: int, conv_block: Any) -> None:
        super().__init__(in_channels, conv_block)
        for way in (self.branch3x3, self.branch3x3dbl_3):
            way.conv.stride, way.conv.padding = (1, 1), (1, 1)

    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch3x3(x), double, F.max_pool2d(x, kernel_size=3, stride=1, padding=1)]


class InceptionV3Stem(Stem):
    """Stem, A1 and A2 of SPG (paper Fig. 2; official inception3_spg.py:79-91, 147-172).

    Args:
        width: multiplier of every channel number, a multiple of 1/16 in (0, 1].
        stride: 8, as official; 16 adds wsolevaluation's max-pool before B1 (PROTOCOL 1).
    """

    # ImageNet's, as in the official code (LoadData.py:14-26; PROTOCOL 8).
    colors = IMAGENET
    attended = ("Mixed_5d", "Mixed_6e", HEAD)  # wsol/inception.py: ADL_5d, ADL_6e, ADL_A3_2b

    def __init__(self, width: float, *, stride: Stride = 8) -> None:
        super().__init__()
        self.stride = stride
        conv = partial(_ScaledConv, width=width)
        self.a1_channels = scale_channels(288, width)
        self.a2_channels = self.last_channels = scale_channels(768, width)
        wide, narrow = scale_channels(1024, width), scale_channels(512, width)
        two = (wide, wide)
        self.heads = Heads(a3=two, gap=(wide,), cam=two, acol=two, b=narrow, c=narrow)
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2, padding=1)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = InceptionA(192, pool_features=32, conv_block=conv)
        self.Mixed_5c = InceptionA(256, pool_features=64, conv_block=conv)
        self.Mixed_5d = InceptionA(288, pool_features=64, conv_block=conv)
        self.Mixed_6a = _InceptionBStride1(288, conv_block=conv)
        self.Mixed_6b = InceptionC(768, channels_7x7=128, conv_block=conv)
        self.Mixed_6c = InceptionC(768, channels_7x7=160, conv_block=conv)
        self.Mixed_6d = InceptionC(768, channels_7x7=160, conv_block=conv)
        self.Mixed_6e = InceptionC(768, channels_7x7=192, conv_block=conv)

    def forward(self, images: Tensor) -> Features:
        """Run the stem.

        Args:
            images: ``Tensor[B, 3, H, W]``, normalized by ``colors``.
        """
        # Shapes at width 1 and 321 pixels, the official crop (docs/sources.md 2).
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))  # [B, 64, 159, 159]
        x = _pool(x)  # [B, 64, 80, 80]
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # [B, 192, 78, 78]
        x = _pool(x)  # [B, 192, 40, 40]
        a1 = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # [B, 288, 40, 40]
        if self.stride == 16:
            a1 = F.max_pool2d(a1, kernel_size=3, stride=2, ceil_mode=True)
        # [B, 768, 40, 40], or half the side at stride 16: Mixed_6a does not stride, as published
        a2_inner = self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(a1))))
        a2 = self.Mixed_6e(a2_inner)
        return Features(a1, a2_inner, a2, last=a2)


def build(width: float, *, stride: Stride = 8, pools: Pools = "plain") -> InceptionV3Stem:
    """Return the stem with torch's default initial weights; it has no choice of ``pools``."""
    return InceptionV3Stem(width, stride=stride)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1, ceil_mode=True)
