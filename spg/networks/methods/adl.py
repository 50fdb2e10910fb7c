"""ADL: attention-based dropout in the GAP network (PROTOCOL 33).

Choe and Shim, CVPR 2019 (arXiv:1908.10028), in wsolevaluation's shapes (wsol/method/adl.py). Some
layers' features are multiplied, in training alone, by one of two maps that come of their own mean
over the channels: mostly by 0 where that mean is highest, so that the network has to look at the
rest of the object, else by the mean's sigmoid, so that it stays able to tell the classes apart. A
layer draws which of both once for a whole batch. In a test nothing is changed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from spg.networks.compute.device import full_precision
from spg.networks.parts.classifier import ClassCriterion, GapHead, StemClassifier, gap_branch
from spg.networks.parts.heads import BranchA
from spg.networks.parts.stem import HEAD, Pools, Stem, Task
from spg.project.errors import UserError
from spg.project.schema.kinds import Strict

POOLS: Pools = "plain"  # as the GAP network
SIDE = 96  # pixels of an image that any stem can take, to see which of its layers it calls


def _each_once(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands twice, and a layer is attended to once")
    return names


class Settings(Strict):
    """The GAP network's head, what the layers do, and where they stand."""

    head: GapHead
    drop_rate: Annotated[float, Field(ge=0, le=1)]
    """Probability that a layer hides in a batch; otherwise it weighs by the sigmoid."""
    threshold: Annotated[float, Field(ge=0, le=1)]
    """What reaches this share of the mean's maximum is hidden."""
    positions: Literal["published"] | Annotated[list[str], AfterValidator(_each_once)]
    """Names of layers as in ``Stem.attended``, which has the published ones; none: no layer."""


class Model(StemClassifier):
    """The GAP network with attention-based dropout behind some of its layers.

    Args:
        stem: the backbone.
        branch_a: the GAP network's classifier.
        rule: what the layers do, and where.

    Raises:
        UserError: when the stem has no layer of a name.
    """

    def __init__(self, stem: Stem, branch_a: BranchA, *, rule: Settings) -> None:
        super().__init__(stem, branch_a)
        self.rule = rule
        positions = stem.attended if rule.positions == "published" else rule.positions
        layers = layers_with_maps(stem) if positions else {}
        for name in positions:
            if name == HEAD:
                branch_a.a4.register_forward_pre_hook(self._before)
            elif name in layers:
                layers[name].register_forward_hook(self._behind)
            else:
                raise UserError(
                    f"params.yaml: adl.positions: {name!r} is no layer of this backbone that gives "
                    f"feature maps, or a batch norm; published are {list(stem.attended)}"
                )

    def _behind(self, layer: nn.Module, inputs: Any, features: Tensor) -> Tensor:
        return self._attended(features)

    def _before(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (self._attended(inputs[0]),)

    def _attended(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        # One number a layer and batch, the same in every process; no device is asked for it.
        hides = float(torch.rand(())) < self.rule.drop_rate
        return features * attention(features, hides=hides, threshold=self.rule.threshold)


def layers_with_maps(stem: Stem) -> dict[str, nn.Module]:
    """Return the layers, by their names, that a forward pass calls and that give feature maps.

    Not those that only hold others, nor batch norms, in whose place several processes put their
    own.
    """
    names = {layer: name for name, layer in stem.named_modules() if name}
    found: dict[str, nn.Module] = {}

    def note(layer: nn.Module, inputs: Any, features: Any) -> None:
        if isinstance(features, Tensor) and features.dim() == 4:
            found[names[layer]] = layer

    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm)
    handles = [layer.register_forward_hook(note) for layer in names if not isinstance(layer, kinds)]
    training = stem.training
    with torch.no_grad():
        stem.eval()(torch.zeros(1, 3, SIDE, SIDE))
    stem.train(training)
    for handle in handles:
        handle.remove()
    return found


def attention(features: Tensor, *, hides: bool, threshold: float) -> Tensor:
    """Return what features are multiplied with, ``Tensor[B, 1, h, w]`` in [0, 1].

    Args:
        features: ``Tensor[B, C, h, w]``.
        hides: 0 where their mean over the channels reaches ``threshold`` times its maximum in the
            image, else 1, without gradient; otherwise the mean's sigmoid, with gradient.
        threshold: in [0, 1].
    """
    mean = full_precision(features).mean(dim=1, keepdim=True)
    if not hides:
        return mean.sigmoid().to(features.dtype)
    highest = mean.amax(dim=(2, 3), keepdim=True)
    return (mean < threshold * highest).to(features.dtype)


def build(stem: Stem, settings: Settings, task: Task) -> tuple[Model, ClassCriterion]:
    """Build model and criterion (see :mod:`spg.networks.methods`); ADL takes dropout's place."""
    branch = gap_branch(stem, settings.head, task._replace(dropout=0.0))
    return Model(stem, branch, rule=settings), ClassCriterion()
