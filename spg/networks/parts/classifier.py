"""A stem with one classifier behind it: what SPG-plain, CAM, HaS and pre-training share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spg.networks.parts.heads import BranchA, Classified
from spg.networks.parts.losses import class_loss
from spg.networks.parts.stem import Stem, Task

GapHead = Literal["one_conv", "wsolevaluation"]


class StemClassifier(nn.Module):
    """Stem -> convolutions -> class maps -> GAP; ``forward`` takes ``Tensor[B, 3, H, W]``."""

    def __init__(self, stem: Stem, branch_a: BranchA) -> None:
        super().__init__()
        self.stem = stem
        self.branch_a = branch_a

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Classified:
        """Return logits and class maps of ``images`` (``Tensor[B, 3, H, W]``)."""
        classified: Classified = self.branch_a(self.stem(images).last)
        return classified


class ClassCriterion(nn.Module):
    """Softmax cross-entropy on the image label."""

    def forward(self, outputs: Classified, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls": loss}`` for ``int64 Tensor[B]`` labels."""
        return {"cls": class_loss(outputs.logits, labels)}


def gap_branch(stem: Stem, head: GapHead, task: Task) -> BranchA:
    """Return what the GAP network has behind ``stem``: convolutions, classifier, pooling.

    Args:
        stem: the backbone.
        head: Zhou et al., CVPR 2016 (``one_conv``), or wsolevaluation (PROTOCOL 24).
        task: classes and dropout.
    """
    hidden = stem.heads.gap if head == "one_conv" else stem.heads.cam
    return BranchA(stem.last_channels, hidden, task.num_classes, dropout=task.dropout)
