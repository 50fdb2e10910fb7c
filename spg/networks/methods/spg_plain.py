"""SPG-plain: the stem and branch A alone, trained on the image labels (37.32 in the paper)."""

from __future__ import annotations

from spg.networks.parts.classifier import ClassCriterion, StemClassifier
from spg.networks.parts.heads import BranchA
from spg.networks.parts.stem import Pools, Stem
from spg.project.params import Params
from spg.project.workspace import Cell

POOLS: Pools = "overlap_last"  # as SPG itself


def build(
    stem: Stem, num_classes: int, params: Params, cell: Cell
) -> tuple[StemClassifier, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    train = params.setup(cell.dataset, cell.backbone).train
    branch_a = BranchA(stem.last_channels, stem.heads.a3, num_classes, dropout=train.dropout)
    return StemClassifier(stem, branch_a), ClassCriterion()
