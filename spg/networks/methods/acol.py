"""ACoL: two classifiers, the second of which sees the features that the first left out.

Zhang et al., CVPR 2018, in wsolevaluation's shapes (wsol/method/acol.py). Where the first
classifier's map of the class reaches a threshold, the features are erased, so that the second has
to look elsewhere; the map is the maximum of both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spg.networks.compute.device import full_precision
from spg.networks.parts.heads import BranchA
from spg.networks.parts.losses import class_loss
from spg.networks.parts.normalize import normalize_maps
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.kinds import Fraction, Strict

POOLS: Pools = "overlap_all"


class Settings(Strict):
    """ACoL's one number."""

    threshold: Fraction
    """Features are erased where the normalized map of the first classifier reaches it."""


class ACoLOutput(NamedTuple):
    """Raw outputs of both classifiers."""

    logits: Tensor
    """``Tensor[B, K]`` of the first classifier, which alone names the class."""
    logits_b: Tensor
    """``Tensor[B, K]`` of the second."""
    maps_a: Tensor
    """``Tensor[B, K, h, w]``."""
    maps_b: Tensor
    """``Tensor[B, K, h, w]``."""

    @property
    def class_maps(self) -> Tensor:
        """``Tensor[B, K, h, w]`` in [0, 1]: the maximum of both maps, each min-max normalized."""
        return torch.maximum(_normalized(self.maps_a), _normalized(self.maps_b))


class Model(nn.Module):
    """Stem and two equal classifiers.

    Args:
        stem: the backbone.
        num_classes: of both classifiers.
        threshold: features are erased where the normalized map reaches it.
    """

    def __init__(self, stem: Stem, num_classes: int, *, threshold: float) -> None:
        super().__init__()
        self.stem = stem
        self.threshold = threshold
        channels, hidden = stem.last_channels, stem.heads.acol
        self.classifier_a = BranchA(channels, hidden, num_classes, dropout=0.0)
        self.classifier_b = BranchA(channels, hidden, num_classes, dropout=0.0)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> ACoLOutput:
        """Return the outputs for ``images`` (``Tensor[B, 3, H, W]``).

        Args:
            images: normalized by the stem's colors.
            labels: ``int64 Tensor[B]``, whose map erases; ``None``: the first guess's.
        """
        features = self.stem(images).last
        logits, maps_a, _ = self.classifier_a(features)
        classes = logits.argmax(dim=1) if labels is None else labels
        kept = keep_mask(maps_a, classes, self.threshold)  # [B, 1, h, w] of 0 and 1
        logits_b, maps_b, _ = self.classifier_b(features * kept)
        return ACoLOutput(logits, logits_b, maps_a, maps_b)


class Criterion(nn.Module):
    """Softmax cross-entropy of both classifiers, each with weight 1."""

    def forward(self, outputs: ACoLOutput, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls": loss, "cls_b": loss}`` for ``int64 Tensor[B]`` labels."""
        return {
            "cls": class_loss(outputs.logits, labels),
            "cls_b": class_loss(outputs.logits_b, labels),
        }


def keep_mask(class_maps: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Return ``Tensor[B, 1, h, w]``, 0 where the normalized map of the class is >= ``threshold``.

    Args:
        class_maps: ``Tensor[B, K, h, w]``; no gradient flows into them.
        classes: ``int64 Tensor[B]``.
        threshold: in (0, 1).
    """
    own = full_precision(
        class_maps.detach()[torch.arange(len(classes), device=classes.device), classes]
    )
    return (normalize_maps(own) < threshold).to(class_maps.dtype)[:, None]


def build(stem: Stem, settings: Settings, task: Task) -> tuple[Model, Criterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    return Model(stem, task.num_classes, threshold=settings.threshold), Criterion()


def _normalized(maps: Tensor) -> Tensor:
    return normalize_maps(full_precision(maps).flatten(0, 1)).view_as(maps)
