"""CAM: the plain GAP network of a backbone (Zhou et al., CVPR 2016; PROTOCOL 24)."""

from __future__ import annotations

from spg.networks.parts.classifier import ClassCriterion, StemClassifier, gap_branch
from spg.networks.parts.stem import Pools, Stem
from spg.project.params import Params
from spg.project.workspace import Cell

POOLS: Pools = "plain"


def build(
    stem: Stem, num_classes: int, params: Params, cell: Cell
) -> tuple[StemClassifier, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    return StemClassifier(stem, gap_branch(stem, num_classes, params, cell)), ClassCriterion()
