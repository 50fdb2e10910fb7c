"""How a raw map is brought to [0, 1] before it is cut: the choice behind every threshold.

The field uses four ways, and they reorder methods (Kim et al., *Normalization Matters in Weakly
Supervised Object Localization*, ICCV 2021, arXiv:2107.13221; PROTOCOL 32). Each takes a map of any
range and any floating type and returns the same type, so that a threshold is a fraction of the
map's own range. For all of them, a constant map and one with NaN or infinity become zeros, which
have no box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
"""``Float[H, W]``."""
Normalize = Callable[[Values], Values]
PAS_RANK = 0.9
"""Of the value that PaS divides by (Bae et al., ECCV 2020)."""


def min_max(values: Values) -> Values:
    """Return ``(x - min) / (max - min)``: the smallest value becomes 0 and the largest 1.

    Args:
        values: ``Float[H, W]``, any range.
    """
    if _is_flat(values):
        return np.zeros_like(values)
    low, high = values.min(), values.max()
    scaled: Values = (values - low) / (high - low)
    return scaled


def max_only(values: Values) -> Values:
    """Return ``max(x, 0) / max``: negative values become 0 and 0 stays 0.

    A map without a positive value becomes zeros.

    Args:
        values: ``Float[H, W]``, any range.
    """
    if _is_flat(values):
        return np.zeros_like(values)
    return _by_largest(np.maximum(values, 0))


def pas(values: Values) -> Values:
    """Return ``min((x - min) / q, 1)``: percentile as a standard.

    ``q`` is the value at rank ``int(0.9 n)`` of the n sorted values of ``x - min``, so that a few
    large peaks do not push the rest below every threshold. Where it is 0, since nine tenths of the
    map lie at its minimum, all that is above the minimum is 1, the limit of a small ``q``.

    Args:
        values: ``Float[H, W]``, any range.
    """
    if _is_flat(values):
        return np.zeros_like(values)
    shifted = values - values.min()
    standard = _at_rank(shifted, PAS_RANK)
    if standard <= 0:
        return np.asarray(shifted > 0, dtype=values.dtype)
    capped: Values = np.minimum(shifted / standard, 1)
    return capped


def ivr(values: Values, percentile: float) -> Values:
    """Return ``max(x - v, 0) / max(x - v)``: infimum of the value range.

    ``v`` is the value at rank ``int(p n)`` of the n sorted values. A map whose largest value lies
    there becomes zeros.

    Args:
        values: ``Float[H, W]``, any range.
        percentile: p, a fraction in [0, 1).
    """
    if _is_flat(values):
        return np.zeros_like(values)
    return _by_largest(np.maximum(values - _at_rank(values, percentile), 0))


NORMALIZATIONS: dict[str, Normalize] = {"min_max": min_max, "max": max_only, "pas": pas}
"""Those without a setting, by their word in params.yaml; ``ivr`` is the fourth."""
IVR = "ivr"


def normalizers(name: str, percentiles: Sequence[float]) -> tuple[Normalize, ...]:
    """Return the ways in which each map is brought to [0, 1]: one, or for ``ivr`` one a percentile.

    Args:
        name: ``min_max``, ``max``, ``pas`` or ``ivr``.
        percentiles: of ``ivr``, fractions; the others have none.
    """
    if name == IVR:
        return tuple(partial(ivr, percentile=percentile) for percentile in percentiles)
    return (NORMALIZATIONS[name],)


def _is_flat(values: Values) -> bool:
    """Return whether no threshold can cut a map: it is constant, or not finite."""
    return not np.isfinite(values).all() or values.max() <= values.min()


def _by_largest(values: Values) -> Values:
    largest = values.max()
    if largest <= 0:
        return np.zeros_like(values)
    scaled: Values = values / largest
    return scaled


def _at_rank(values: Values, share: float) -> Any:
    place = int(share * values.size)
    return np.partition(values, place, axis=None)[place]
