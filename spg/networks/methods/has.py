"""Hide-and-Seek: the GAP network, trained on images with patches hidden (PROTOCOL 26).

Singh and Lee, ICCV 2017; authors' code hide_patch.py (kkanshul/Hide-and-Seek). What tells the
classes apart is hidden half of the time, so that the network has to use the rest of the object. A
hidden pixel becomes the mean color, which is 0 after normalization. Nothing is hidden in a test.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from spg.networks.compute.distributed import own_rows
from spg.networks.parts.classifier import ClassCriterion, GapHead, StemClassifier, gap_branch
from spg.networks.parts.heads import BranchA, Classified
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.kinds import Fraction, Strict

POOLS: Pools = "plain"  # as the GAP network
PUBLISHED_SIDE = 224  # pixels of the images that `patches` are given for


class Settings(Strict):
    """What is hidden of a training image, and the GAP network's head."""

    head: GapHead
    patches: Annotated[list[Annotated[int, Field(ge=0, le=224)]], Field(min_length=1)]
    """Sides of patches, pixels of a 224-pixel image; 0 hides nothing."""
    hidden: Fraction
    """Probability of each patch."""


class Model(StemClassifier):
    """The GAP network behind a hand that hides patches.

    Args:
        stem: the backbone.
        branch_a: the GAP network's classifier.
        rule: what is hidden.
    """

    def __init__(self, stem: Stem, branch_a: BranchA, *, rule: Settings) -> None:
        super().__init__(stem, branch_a)
        self.rule = rule

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Classified:
        """Classify ``images`` (``Tensor[B, 3, S, S]``), in training with patches set to 0."""
        if self.training:
            count, side = len(images), images.shape[-1]
            # Drawn for the whole batch, of which this process takes its rows, so that any number of
            # processes hides the same.
            patches = torch.tensor([scaled_patch(patch, side) for patch in self.rule.patches])
            chosen = patches[own_rows(lambda n: torch.randint(len(patches), (n,)), count)]
            draws = own_rows(lambda n: torch.rand(n, side, side), count)
            kept = keep_mask(draws, chosen, self.rule.hidden)
            images = images * kept[:, None].to(images)
        return super().forward(images, labels)


def scaled_patch(patch: int, side: int) -> int:
    """Return a patch's side on images of ``side`` pixels that covers what ``patch`` does of 224."""
    return max(1, round(patch * side / PUBLISHED_SIDE)) if patch else 0


def keep_mask(draws: Tensor, patches: Tensor, hidden: float) -> Tensor:
    """Return ``bool Tensor[B, S, S]``, false where a patch is hidden.

    Patches begin at the upper left; those at the other borders are cut off, as in the authors'
    code. A patch's draw is the one at the place of its number in the grid.

    Args:
        draws: uniform in [0, 1), ``Tensor[B, S, S]``.
        patches: side of each image's patches, ``int64 Tensor[B]``; 0 hides nothing.
        hidden: probability of a patch.
    """
    side = draws.shape[-1]
    cell = torch.arange(side)[None] // patches.clamp_min(1)[:, None]  # [B, S]
    image = torch.arange(len(draws))[:, None, None]
    kept = draws[image, cell[:, :, None], cell[:, None, :]] >= hidden
    return kept | (patches == 0)[:, None, None]


def build(stem: Stem, settings: Settings, task: Task) -> tuple[Model, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    branch = gap_branch(stem, settings.head, task)
    return Model(stem, branch, rule=settings), ClassCriterion()
