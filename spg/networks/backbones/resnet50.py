"""ResNet-50, cut for localization: everything but the classifier, total stride 8 or 16.

Built from torchvision's blocks with torchvision's state-dict names, so that the published
ImageNet checkpoint loads strictly. Differences from torchvision, those of wsolevaluation's ResNet
(wsol/resnet.py; PROTOCOL 1): layer4 keeps the resolution, and with stride 8 layer3 does too;
nothing is dilated.

The taps: A1 is the first block of layer3, A2 the others (1024 channels each); layer4 takes the
place of SPG's A3 (2048 channels), which therefore has no layer of its own.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from spg.data.inputs.colors import IMAGENET
from spg.networks.parts.channels import scale_channels
from spg.networks.parts.stem import Features, Heads, Pools, Stem, Stride

PUBLISHED_URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
PUBLISHED_SHA256 = "0676ba61"  # its first digits, which end the file's name
# Modules of the published classifier that lie behind the cut and are dropped, nothing else is.
DROPPED = ("fc.",)


class ResNet50Stem(Stem):
    """Stem, A1, A2 and layer4 of SPG on ResNet-50.

    Args:
        width: multiplier of every channel number, a multiple of 1/16 in (0, 1].
        stride: 16 keeps layer3's published stride.
    """

    colors = IMAGENET
    attended = ("layer3.0", "layer4.0", "layer4.2")  # wsol/resnet.py, _ADL_POSITION

    def __init__(self, width: float, *, stride: Stride) -> None:
        super().__init__()
        inner = [scale_channels(channels, width) for channels in (64, 128, 256, 512)]
        self.conv1 = nn.Conv2d(3, inner[0], kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inner[0])
        outer = [Bottleneck.expansion * channels for channels in inner]
        self.layer1 = _layer(inner[0], inner[0], blocks=3, stride=1)
        self.layer2 = _layer(outer[0], inner[1], blocks=4, stride=2)
        self.layer3 = _layer(outer[1], inner[2], blocks=6, stride=stride // 8)
        self.layer4 = _layer(outer[2], inner[3], blocks=3, stride=1)
        self.a1_channels = self.a2_channels = outer[2]
        self.last_channels = outer[3]
        wide, narrow = scale_channels(1024, width), scale_channels(512, width)
        self.heads = Heads(a3=(), gap=(), cam=(), acol=(wide, wide), b=wide, c=narrow)

    def forward(self, images: Tensor) -> Features:
        """Run the stem.

        Args:
            images: ``Tensor[B, 3, H, W]``, normalized by ``colors``.
        """
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.layer2(self.layer1(x))
        a1 = self.layer3[0](x)
        a2 = self.layer3[1:](a1)
        return Features(a1, a2_inner=a2, a2=a2, last=self.layer4(a2))


def build(width: float, *, stride: Stride = 8, pools: Pools = "plain") -> ResNet50Stem:
    """Return the stem with torch's default initial weights; it has no choice of ``pools``."""
    return ResNet50Stem(width, stride=stride)


def _layer(inputs: int, planes: int, *, blocks: int, stride: int) -> nn.Sequential:
    outputs = Bottleneck.expansion * planes
    shortcut = nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(outputs),
    )
    first = Bottleneck(inputs, planes, stride=stride, downsample=shortcut)
    return nn.Sequential(first, *(Bottleneck(outputs, planes) for _ in range(blocks - 1)))
