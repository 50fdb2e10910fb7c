"""The contract of every backbone: what the heads read from it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """The taps of a stem, each ``Tensor[B, C, h, w]`` at its last stride."""

    a1: Tensor
    """End of the paper's A1, which B1 reads (Inception: Mixed_5d, 288 channels at width 1)."""
    a2_inner: Tensor
    """The layer before the end of A2 (Mixed_6d); the official code feeds it to B2 (PROTOCOL 2)."""
    a2: Tensor
    """End of A2, which A3 reads (Mixed_6e, 768 channels at width 1)."""


class Colors(NamedTuple):
    """How a backbone wants its pixels: ``(x - mean) / std`` on RGB in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Stem(nn.Module):
    """A backbone cut behind A2; ``forward`` takes ``Tensor[B, 3, H, W]``, returns `Features`."""

    a1_channels: int
    a2_channels: int
    colors: Colors
    head_width: float
    """Multiplier of the paper's channel numbers behind the stem (A3: 1024, B and C: 512)."""
