"""SPG-plain: the stem and branch A alone, trained on the image labels (37.32 in the paper)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spg.config import Params
from spg.heads import BranchA, Classified
from spg.stem import Pools, Stem
from spg.workspace import Cell

POOLS: Pools = "overlap_last"  # as SPG itself


class Model(nn.Module):
    """Stem -> A3 -> A4 -> GAP; ``forward`` takes ``Tensor[B, 3, H, W]``."""

    def __init__(self, stem: Stem, branch_a: BranchA) -> None:
        super().__init__()
        self.stem = stem
        self.branch_a = branch_a

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Classified:
        """Return logits and class maps of ``images`` (``Tensor[B, 3, H, W]``)."""
        classified: Classified = self.branch_a(self.stem(images).last)
        return classified


class Criterion(nn.Module):
    """Softmax cross-entropy on the image label."""

    def forward(self, outputs: Classified, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls": loss}`` for ``int64 Tensor[B]`` labels."""
        return {"cls": F.cross_entropy(outputs.logits.float(), labels)}


def build(stem: Stem, num_classes: int, params: Params, cell: Cell) -> tuple[Model, Criterion]:
    """Build model and criterion (see :mod:`spg.methods`)."""
    train = params.setup(cell.dataset, cell.backbone).train
    branch_a = BranchA(stem.last_channels, stem.heads.a3, num_classes, dropout=train.dropout)
    return Model(stem, branch_a), Criterion()
