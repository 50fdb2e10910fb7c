"""CutMix: the GAP network, trained on images with a patch of another one (PROTOCOL 34).

Yun et al., ICCV 2019 (arXiv:1905.04899), as wsolevaluation has it (wsol/method/cutmix.py). A patch
of every image of the batch is that of another one, and the loss is asked for both classes, each by
its share of the pixels. So no single part can carry a class. In a test nothing is mixed.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Beta

from spg.networks.compute.distributed import own_rows, whole_batch
from spg.networks.parts.classifier import GapHead, gap_branch
from spg.networks.parts.heads import BranchA
from spg.networks.parts.losses import class_loss
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.kinds import Positive, Strict

POOLS: Pools = "plain"  # as the GAP network


class Settings(Strict):
    """The GAP network's head, and how often and how much is mixed."""

    head: GapHead
    probability: Annotated[float, Field(ge=0, le=1)]
    """Of a batch to be mixed."""
    beta: Positive
    """Both parameters of the beta distribution that the kept share is drawn from; 1: uniform."""


class Patch(NamedTuple):
    """Rows ``top:bottom`` and columns ``left:right`` of an image, pixels."""

    top: int
    bottom: int
    left: int
    right: int


class Mixed(NamedTuple):
    """Raw outputs, and which other images' patches they saw."""

    logits: Tensor
    """``Tensor[B, K]``."""
    class_maps: Tensor
    """``Tensor[B, K, h, w]``."""
    partners: Tensor | None
    """``int64 Tensor[B]``, the class of each patch; ``None``: nothing was mixed."""
    share: float
    """Of the pixels that are an image's own."""


class Model(nn.Module):
    """The GAP network behind a hand that mixes images.

    Args:
        stem: the backbone.
        branch_a: the GAP network's classifier.
        rule: how often and how much.
    """

    def __init__(self, stem: Stem, branch_a: BranchA, *, rule: Settings) -> None:
        super().__init__()
        self.stem = stem
        self.branch_a = branch_a
        self.rule = rule

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Mixed:
        """Classify ``images`` (``Tensor[B, 3, S, S]``), mixed in training where labels are given.

        Args:
            images: normalized by the stem's colors.
            labels: ``int64 Tensor[B]``; ``None``: nothing is mixed.
        """
        partners, share = None, 1.0
        # Drawn for the whole batch, of which this process takes its rows, so that any number of
        # processes mixes the same.
        if self.training and labels is not None and self._chosen():
            order = own_rows(torch.randperm, len(images))
            patch = drawn_patch(images.shape[-1], self.rule.beta)
            images, share = mixed(images, order, patch)
            partners = whole_batch(labels)[order.to(labels.device)]
        logits, class_maps, _ = self.branch_a(self.stem(images).last)
        return Mixed(logits, class_maps, partners, share)

    def _chosen(self) -> bool:
        probability = self.rule.probability
        return probability > 0 and float(torch.rand(())) < probability


class Criterion(nn.Module):
    """Softmax cross-entropy of both classes, each by its share of the pixels."""

    def forward(self, outputs: Mixed, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls": loss}`` for ``int64 Tensor[B]`` labels."""
        loss = class_loss(outputs.logits, labels)
        if outputs.partners is not None:
            other = class_loss(outputs.logits, outputs.partners)
            loss = outputs.share * loss + (1 - outputs.share) * other
        return {"cls": loss}


def drawn_patch(side: int, beta: float) -> Patch:
    """Draw the patch of a batch of images of ``side`` pixels.

    Its share of the pixels is 1 minus a draw of Beta(``beta``, ``beta``), its center anywhere; what
    lies outside of the image is cut off.
    """
    kept = float(Beta(beta, beta).sample())
    row, column = torch.randint(side, (2,)).tolist()
    half = int(side * math.sqrt(1 - kept)) // 2
    edges = (row - half, row + half, column - half, column + half)
    return Patch(*(min(max(edge, 0), side) for edge in edges))


def mixed(images: Tensor, order: Tensor, patch: Patch) -> tuple[Tensor, float]:
    """Return this process's images with patches of others, and the share that is their own.

    Args:
        images: ``Tensor[b, 3, S, S]``, this process's share of the batch.
        order: ``int64 Tensor[b]``, the place of each one's partner in the whole batch.
        patch: the same for all.
    """
    top, bottom, left, right = patch
    area = (bottom - top) * (right - left)
    if area == 0:
        return images, 1.0
    patches = whole_batch(images[..., top:bottom, left:right])
    images = images.clone()
    images[..., top:bottom, left:right] = patches[order.to(patches.device)]
    return images, 1 - area / (images.shape[-1] * images.shape[-2])


def build(stem: Stem, settings: Settings, task: Task) -> tuple[Model, Criterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    return Model(stem, gap_branch(stem, settings.head, task), rule=settings), Criterion()
