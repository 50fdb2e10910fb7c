"""DPN-92 of timm, with the weights of its authors as timm converted them (paper, Table 3).

By the "extra" of its name it was trained on more of ImageNet than the 1,000 classes first.
"""

from __future__ import annotations

from timm.models.dpn import dpn92
from torch import nn

from spg.networks.classify.preprocess import DPN, Preprocess

PUBLISHED_URL = "https://github.com/rwightman/pytorch-dpn-pretrained/releases/download/v0.1/dpn92_extra-b040e4a9b.pth"
PUBLISHED_SHA256 = "b040e4a9b"  # its first digits, which end the file's name
PREPROCESS = Preprocess(resize=256, crop=224, interpolation="bicubic", colors=DPN)


def build() -> nn.Module:
    """Return the network with timm's initial weights."""
    network: nn.Module = dpn92(pretrained=False)
    return network
