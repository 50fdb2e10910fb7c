"""VGG-16, cut for localization: the convolutions without the classifier, total stride 8 or 16.

Convolutions have torchvision's state-dict names (``features.0`` ... ``features.28``), so that the
published ImageNet checkpoint loads strictly; pools have none. Where they stand and how large they
are is wsolevaluation's, which differs by method (PROTOCOL 1).

The taps: A1 ends with conv4 and the pool behind it, A2 with conv5, both of 512 channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spg.data.inputs.colors import IMAGENET
from spg.networks.parts.channels import scale_channels
from spg.networks.parts.stem import Features, Heads, Pools, Stem, Stride

PUBLISHED_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
PUBLISHED_SHA256 = "397923af"  # its first digits, which end the file's name
# Modules of the published classifier that lie behind the cut and are dropped, nothing else is.
DROPPED = ("classifier.",)

# Output channels of each convolution by its place in torchvision's `features`; a pool ends a block.
BLOCKS = (
    {0: 64, 2: 64},
    {5: 128, 7: 128},
    {10: 256, 12: 256, 14: 256},
    {17: 512, 19: 512, 21: 512},
    {24: 512, 26: 512, 28: 512},
)
# The last pool or ReLU of blocks 3, 4 and 5 by its place there: a layer that a method may change.
ENDS = {2: "16", 3: "22", 4: "29"}


class VGG16Stem(Stem):
    """Stem, A1 and A2 of SPG on VGG-16 (wsolevaluation, wsol/vgg.py:124-213).

    Args:
        width: multiplier of every channel number, a multiple of 1/16 in (0, 1].
        stride: 8 has no pool between conv4 and conv5 that shrinks.
        pools: ``plain``: 2 x 2. ``overlap_last``: 3 x 3 between conv4 and conv5, as for SPG.
            ``overlap_all``: 3 x 3 everywhere, and behind conv5 a maximum and a mean over 3 x 3
            without stride, as for ACoL.
    """

    colors = IMAGENET
    # wsol/vgg.py: before conv4 and behind conv4 and conv5, before their pools
    attended = tuple(f"features.{place}" for place in ENDS.values())

    def __init__(self, width: float, *, stride: Stride, pools: Pools) -> None:
        super().__init__()
        self.stride, self.pools = stride, pools
        self.features = nn.ModuleDict()
        channels = 3
        for block in BLOCKS:
            for place, filters in block.items():
                outputs = scale_channels(filters, width)
                self.features[str(place)] = _convolution(channels, outputs)
                channels = outputs
        for end in ENDS.values():
            self.features[end] = nn.Identity()
        self.a1_channels = self.a2_channels = self.last_channels = channels
        wide, narrow = scale_channels(1024, width), scale_channels(512, width)
        one, two = (wide,), (wide, wide)
        self.heads = Heads(a3=(narrow, narrow), gap=one, cam=one, acol=two, b=narrow, c=narrow)

    def forward(self, images: Tensor) -> Features:
        """Run the stem.

        Args:
            images: ``Tensor[B, 3, H, W]``, normalized by ``colors``.
        """
        x = images
        for number in range(3):
            x = _pool(self._block(number, x), overlap=self.pools == "overlap_all")
        a1 = self._ended(3, self._block(3, self._ended(2, x)))
        if self.stride == 16:
            a1 = _pool(a1, overlap=self.pools != "plain")
        elif self.pools == "overlap_all":
            a1 = F.max_pool2d(a1, kernel_size=3, stride=1, padding=1)
        a2 = self._ended(4, self._block(4, a1))
        if self.pools == "overlap_all":
            a2 = F.max_pool2d(a2, kernel_size=3, stride=1, padding=1)
            a2 = F.avg_pool2d(a2, kernel_size=3, stride=1, padding=1)
        return Features(a1, a2_inner=a2, a2=a2, last=a2)

    def _block(self, number: int, x: Tensor) -> Tensor:
        for place in BLOCKS[number]:
            x = F.relu(self.features[str(place)](x))
        return x

    def _ended(self, number: int, x: Tensor) -> Tensor:
        ended: Tensor = self.features[ENDS[number]](x)
        return ended


def build(width: float, *, stride: Stride = 8, pools: Pools = "plain") -> VGG16Stem:
    """Return the stem with torchvision's initial weights of VGG-16."""
    return VGG16Stem(width, stride=stride, pools=pools)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the size of what flows through thirteen of them.

    There is no batch norm to do that: from torch's default weights, which shrink it in each layer,
    the narrow stem learns nothing (loss 4.097 of ln 60 = 4.094 after 460 steps).
    """
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def _pool(x: Tensor, *, overlap: bool) -> Tensor:
    if overlap:
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    return F.max_pool2d(x, kernel_size=2, stride=2)
