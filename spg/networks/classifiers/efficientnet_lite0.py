"""EfficientNet-Lite0 as published, all 16 blocks and 1,000 classes, from a PyPI package.

The classifier of Table 3 that needs no download; the paper has no such row.
``spg.networks.backbones`` has the same network cut for localization, whose pieces this one uses.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spg.networks.backbones.efficientnet_lite0 import (
    PUBLISHED_SHA256,
    PUBLISHED_URL,
    Block,
    EfficientNetLite0Stem,
    Stage,
    batch_norm,
)
from spg.networks.classify.preprocess import Preprocess

__all__ = ["PREPROCESS", "PUBLISHED_SHA256", "PUBLISHED_URL", "build"]

PREPROCESS = Preprocess(
    resize=256, crop=224, interpolation="bicubic", colors=EfficientNetLite0Stem.colors
)
CUT_STRIDES = (5, 11)  # blocks whose published stride of 2 the stem has given up
LAST = Stage(blocks=1, channels=320, kernel=3, stride=1, expansion=6)


class _Classifier(EfficientNetLite0Stem):
    """The stem with its published strides, block 15 and the classifier's head."""

    def __init__(self) -> None:
        super().__init__(width=1.0)
        for place in CUT_STRIDES:
            block = self._blocks[place]
            assert isinstance(block, Block)
            block._depthwise_conv.stride = (2, 2)
        self._blocks.append(Block(self.last_channels, LAST.channels, LAST, LAST.stride))
        self._conv_head = nn.Conv2d(LAST.channels, 1280, kernel_size=1, bias=False)
        self._bn1 = batch_norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Return logits, ``Tensor[B, 1000]``."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        pooled = F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))
        logits: Tensor = self._fc(pooled)
        return logits


def build() -> nn.Module:
    """Return the network with torch's default initial weights."""
    return _Classifier()
