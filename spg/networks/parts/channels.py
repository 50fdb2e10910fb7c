"""Channel numbers under a width multiplier."""

from __future__ import annotations


def scale_channels(channels: int, width: float) -> int:
    """Return ``channels * width``.

    Raises:
        ValueError: when the product is not a whole number; every channel number of Inception-v3
            up to Mixed_6e is a multiple of 16, so a multiple of 1/16 always works.
    """
    scaled = channels * width
    if scaled < 1 or scaled != int(scaled):
        raise ValueError(f"width {width} gives {scaled} channels; use a multiple of 1/16")
    return int(scaled)
