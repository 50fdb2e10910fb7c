"""CAM: the plain GAP network of a backbone (Zhou et al., CVPR 2016), in wsolevaluation's shapes.

On Inception-v3 its head is SPG's A3 and A4, so that it is SPG-plain by another name.
"""

from __future__ import annotations

from spg.classifier import ClassCriterion, StemClassifier
from spg.config import Params
from spg.heads import BranchA
from spg.stem import Pools, Stem
from spg.workspace import Cell

POOLS: Pools = "plain"


def build(
    stem: Stem, num_classes: int, params: Params, cell: Cell
) -> tuple[StemClassifier, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.methods`)."""
    train = params.setup(cell.dataset, cell.backbone).train
    branch = BranchA(stem.last_channels, stem.heads.cam, num_classes, dropout=train.dropout)
    return StemClassifier(stem, branch), ClassCriterion()
