"""The contract between backbones and methods: what heads read, how wide they are, what they do."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor, nn

from spg.data.inputs.colors import Colors

Stride = Literal[8, 16]
Pools = Literal["plain", "overlap_last", "overlap_all"]
"""Which max-pools are 3 x 3 instead of 2 x 2 where a backbone has a choice, which VGG-16 has alone:
none, the one between A1 and A2, or all (PROTOCOL 1)."""
HEAD = "head"
"""In `Stem.attended`: what the classifier behind the stem has before its last layer."""


class Task(NamedTuple):
    """What a training asks of every method's network, whatever the method's own settings."""

    num_classes: int
    dropout: float
    """Before the 3 x 3 convolutions of a classifier (PROTOCOL 5)."""
    mask_side: int
    """Side at which guidance losses are taken, pixels (PROTOCOL 12)."""


class Features(NamedTuple):
    """The taps of a stem, each ``Tensor[B, C, h, w]`` at its last stride."""

    a1: Tensor
    """End of the paper's A1, which B1 reads (Inception: Mixed_5d, 288 channels at width 1)."""
    a2_inner: Tensor
    """What the published code feeds to B2 (PROTOCOL 2): Mixed_6d of Inception, the layer before the
    end of A2; the end of A2 in VGG-16 and ResNet-50."""
    a2: Tensor
    """End of A2 (Mixed_6e, 768 channels at width 1)."""
    last: Tensor
    """What classifiers read: the end of A2, or of A3 where the backbone has layers of its own for
    it (ResNet's layer4)."""


class Heads(NamedTuple):
    """Output channels of the layers that methods put behind a stem."""

    a3: tuple[int, ...]
    """Of the 3 x 3 convolutions of SPG's A3."""
    gap: tuple[int, ...]
    """Of the 3 x 3 convolutions before the GAP network's classifier, as the CAM paper has them."""
    cam: tuple[int, ...]
    """The same as wsolevaluation has them (PROTOCOL 24)."""
    acol: tuple[int, ...]
    """Of the 3 x 3 convolutions of each of ACoL's classifiers."""
    b: int
    """Of SPG's B branches."""
    c: int
    """Of SPG's branch C."""


class Stem(nn.Module):
    """A cut backbone; ``forward`` takes ``Tensor[B, 3, H, W]``, returns `Features`."""

    a1_channels: int
    a2_channels: int
    last_channels: int
    colors: Colors
    heads: Heads
    attended: tuple[str, ...]
    """Names of the layers whose outputs attention-based dropout changes, as published, in the order
    of the network; any layer of the stem has such a name, and `HEAD` is behind it (PROTOCOL 33)."""
