"""ResNet-101 of torchvision, its first ImageNet weights (paper, Table 3)."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet101

from spg.data.inputs.colors import IMAGENET
from spg.networks.classify.preprocess import Preprocess

PUBLISHED_URL = "https://download.pytorch.org/models/resnet101-63fe2227.pth"
PUBLISHED_SHA256 = "63fe2227"  # its first digits, which end the file's name
PREPROCESS = Preprocess(resize=256, crop=224, interpolation="bilinear", colors=IMAGENET)


def build() -> nn.Module:
    """Return the network with torch's default initial weights."""
    network: nn.Module = resnet101(weights=None)
    return network
