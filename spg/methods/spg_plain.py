"""SPG-plain: the stem and branch A alone, trained on the image labels (37.32 in the paper)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spg.config import Params
from spg.heads import BranchA, Classified
from spg.stem import Stem
from spg.workspace import Cell


class Model(nn.Module):
    """Stem -> A3 -> A4 -> GAP; ``forward`` takes ``Tensor[B, 3, H, W]``."""

    def __init__(self, stem: Stem, branch_a: BranchA) -> None:
        super().__init__()
        self.stem = stem
        self.branch_a = branch_a

    def forward(self, images: Tensor) -> Classified:
        """Return logits and class maps of ``images`` (``Tensor[B, 3, H, W]``)."""
        classified: Classified = self.branch_a(self.stem(images).a2)
        return classified


class Criterion(nn.Module):
    """Softmax cross-entropy on the image label."""

    def forward(self, outputs: Classified, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls": loss}`` for ``int64 Tensor[B]`` labels."""
        return {"cls": F.cross_entropy(outputs.logits.float(), labels)}


def build(stem: Stem, num_classes: int, params: Params, cell: Cell) -> tuple[Model, Criterion]:
    """Build model and criterion (see :mod:`spg.methods`)."""
    branch_a = BranchA(
        stem.a2_channels, num_classes, width=stem.head_width, dropout=params.model.dropout
    )
    return Model(stem, branch_a), Criterion()
