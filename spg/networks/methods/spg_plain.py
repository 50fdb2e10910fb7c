"""SPG-plain: the stem and branch A alone, trained on the image labels (37.32 in the paper)."""

from __future__ import annotations

from spg.networks.parts.classifier import ClassCriterion, StemClassifier
from spg.networks.parts.heads import BranchA
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.kinds import Strict

POOLS: Pools = "overlap_last"  # as SPG itself


class Settings(Strict):
    """Nothing: what SPG adds to it is what the other methods choose about."""


def build(stem: Stem, settings: Settings, task: Task) -> tuple[StemClassifier, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    branch_a = BranchA(stem.last_channels, stem.heads.a3, task.num_classes, dropout=task.dropout)
    return StemClassifier(stem, branch_a), ClassCriterion()
