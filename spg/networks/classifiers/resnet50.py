"""ResNet-50 of torchvision, its first ImageNet weights (paper, Table 3)."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet50

from spg.data.inputs.colors import IMAGENET
from spg.networks.classify.preprocess import Preprocess

PUBLISHED_URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
PUBLISHED_SHA256 = "0676ba61"  # its first digits, which end the file's name
PREPROCESS = Preprocess(resize=256, crop=224, interpolation="bilinear", colors=IMAGENET)


def build() -> nn.Module:
    """Return the network with torch's default initial weights."""
    network: nn.Module = resnet50(weights=None)
    return network
