"""SPG and its ablations: branches B1, B2 and C teach the attention of branch A.

Paper Fig. 2 and Algorithm 1; official inception3_spg.py. A4's attention O teaches B2, B2 teaches
B1, the mean of B1 and B2 teaches C (PROTOCOL 2 to 7). The ablations of the paper are three
switches: ``cascade``, ``shared_b``, ``branch_c``.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from spg.networks.compute.device import full_precision
from spg.networks.methods.spg.guidance import (
    attention_map,
    fuse,
    guidance_mask,
    masked_bce,
    upsample,
)
from spg.networks.parts.classifier import StemClassifier
from spg.networks.parts.heads import BranchA, BranchC, MaskHead, MaskTail
from spg.networks.parts.losses import class_loss
from spg.networks.parts.stem import Pools, Stem, Task
from spg.project.schema.guidance import GuidanceParams, SpgParams, ThresholdPair

POOLS: Pools = "overlap_last"  # wsolevaluation's VGG16-SPG: 3 x 3 between A1 and A2


class Settings(SpgParams):
    """The switches of the paper's ablations, and how maps become masks."""

    guidance: GuidanceParams


class SPGOutput(NamedTuple):
    """Raw outputs of the four branches."""

    logits: Tensor
    """``Tensor[B, K]``."""
    class_maps: Tensor
    """``Tensor[B, K, h, w]`` of A4."""
    b1: Tensor
    """``Tensor[B, 1, h, w]``, mask logits of B1."""
    b2: Tensor
    """``Tensor[B, 1, h, w]``, mask logits of B2."""
    c: Tensor | None
    """``Tensor[B, 1, h, w]``, mask logits of C; ``None`` without that branch."""


class GuidanceTargets(NamedTuple):
    """The masks that teach the branches, each ``Tensor[B, S, S]`` without gradient."""

    b1: Tensor
    b2: Tensor
    c: Tensor


class Model(nn.Module):
    """Stem, A, two B branches with a shared tail, and C."""

    def __init__(self, stem: Stem, branch_a: BranchA, *, spg: SpgParams) -> None:
        super().__init__()
        hidden = stem.heads.b
        self.b2_input = spg.b2_input
        self.stem = stem
        self.branch_a = branch_a
        self.b1_head = MaskHead(stem.a1_channels, hidden)
        self.b2_head = MaskHead(stem.a2_channels, hidden)
        self.b_tail = MaskTail(hidden)  # of both branches, or of B1 alone when not shared
        self.b2_tail = None if spg.shared_b else MaskTail(hidden)
        self.branch_c = BranchC(branch_a.a3_channels, stem.heads.c) if spg.branch_c else None

    @property
    def tested(self) -> StemClassifier:
        """Stem and A, whose map is the result (official code 344-348): B and C only teach."""
        return StemClassifier(self.stem, self.branch_a)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> SPGOutput:
        """Return the outputs of all branches for ``images`` (``Tensor[B, 3, H, W]``)."""
        features = self.stem(images)
        logits, class_maps, a3 = self.branch_a(features.last)  # [B, K], [B, K, h, w], [B, C, h, w]
        b2_features = features.a2 if self.b2_input == "a2" else features.a2_inner
        b1 = self.b_tail(self.b1_head(features.a1))
        b2 = (self.b2_tail or self.b_tail)(self.b2_head(b2_features))
        c = self.branch_c(a3) if self.branch_c is not None else None
        return SPGOutput(logits, class_maps, b1, b2, c)


class Criterion(nn.Module):
    """Four named losses, each with weight 1 (official code 278).

    Args:
        guidance: threshold pairs and rules of the masks.
        cascade: B2's map teaches B1; without it O's mask teaches both (PROTOCOL 7).
        mask_side: side S to which maps and logits are interpolated for the losses.
    """

    def __init__(self, guidance: GuidanceParams, *, cascade: bool, mask_side: int) -> None:
        super().__init__()
        self.guidance = guidance
        self.cascade = cascade
        self.mask_side = mask_side

    def forward(self, outputs: SPGOutput, labels: Tensor) -> dict[str, Tensor]:
        """Return ``{"cls", "b2", "b1"}`` and ``"c"`` where the branch exists."""
        large = self.upsample(outputs)
        targets = self.targets(large, labels)
        losses = {
            "cls": class_loss(outputs.logits, labels),
            "b2": masked_bce(large.b2, targets.b2),
            "b1": masked_bce(large.b1, targets.b1),
        }
        if large.c is not None:
            losses["c"] = masked_bce(large.c, targets.c)
        return losses

    def upsample(self, outputs: SPGOutput) -> SPGOutput:
        """Return the outputs with the mask logits of the branches at the masks' size.

        ``Tensor[B, 1, h, w] -> Tensor[B, S, S]`` in float32, with gradient. Losses and masks both
        read them, and at full side this costs as much as a layer, so it is done once a step.
        """

        def larger(logits: Tensor) -> Tensor:
            align_corners = self.guidance.align_corners
            return upsample(full_precision(logits), self.mask_side, align_corners=align_corners)

        c = None if outputs.c is None else larger(outputs.c)
        return outputs._replace(b1=larger(outputs.b1), b2=larger(outputs.b2), c=c)

    def targets(self, large: SPGOutput, labels: Tensor) -> GuidanceTargets:
        """Return the three masks of Algorithm 1 for ``int64 Tensor[B]`` labels.

        Args:
            large: what :meth:`upsample` has returned.
            labels: of the images, whose maps teach B2.
        """
        rules = self.guidance
        b1, b2 = large.b1.detach().sigmoid(), large.b2.detach().sigmoid()  # probabilities teach
        attention = attention_map(
            large.class_maps,
            labels,
            self.mask_side,
            align_corners=rules.align_corners,
            normalize_first=rules.normalize_first,
        )
        # The cascade: what the attention is sure of teaches B2, what B2 is sure of teaches B1, and
        # what both agree on teaches C. Each mask leaves out what its teacher is not sure of.
        from_attention = self._mask(attention, rules.b2)
        from_b2 = self._mask(b2, rules.b1)
        return GuidanceTargets(
            b1=from_b2 if self.cascade else from_attention,
            b2=from_attention,
            c=self._mask(fuse(b1, b2), rules.c),
        )

    def _mask(self, maps: Tensor, pair: ThresholdPair) -> Tensor:
        minimum = self.guidance.minimum_foreground
        return guidance_mask(
            maps,
            pair.low,
            pair.high,
            minimum_pixels=minimum.pixels,
            fraction_of_max=minimum.fraction_of_max,
            leak=minimum.leak,
        )


def build(stem: Stem, settings: Settings, task: Task) -> tuple[Model, Criterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`)."""
    branch_a = BranchA(stem.last_channels, stem.heads.a3, task.num_classes, dropout=task.dropout)
    criterion = Criterion(settings.guidance, cascade=settings.cascade, mask_side=task.mask_side)
    return Model(stem, branch_a, spg=settings), criterion
