"""DPN-98 of timm, with the weights of its authors as timm converted them (paper, Table 3)."""

from __future__ import annotations

from timm.models.dpn import dpn98
from torch import nn

from spg.networks.classify.preprocess import DPN, Preprocess

PUBLISHED_URL = (
    "https://github.com/rwightman/pytorch-dpn-pretrained/releases/download/v0.1/dpn98-5b90dec4d.pth"
)
PUBLISHED_SHA256 = "5b90dec4d"  # its first digits, which end the file's name
PREPROCESS = Preprocess(resize=256, crop=224, interpolation="bicubic", colors=DPN)


def build() -> nn.Module:
    """Return the network with timm's initial weights."""
    network: nn.Module = dpn98(pretrained=False)
    return network
