"""CAM: the plain GAP network of a backbone (Zhou et al., CVPR 2016; PROTOCOL 24)."""

from __future__ import annotations

from spg.networks.parts.classifier import ClassCriterion, GapHead, StemClassifier, gap_branch
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.kinds import Strict

POOLS: Pools = "plain"


class Settings(Strict):
    """What stands between the backbone and the classifier."""

    head: GapHead


def build(stem: Stem, settings: Settings, task: Task) -> tuple[StemClassifier, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    return StemClassifier(stem, gap_branch(stem, settings.head, task)), ClassCriterion()
