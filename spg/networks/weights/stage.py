"""Stem weights: published ones, verified, pre-trained on drawn species, or random (PROTOCOL 9).

No weight depends on the stride of the maps: pre-training has 8 whatever the cells have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spg.data.birds.flock import draw_flock
from spg.data.birds.species import pretraining_species
from spg.data.inputs.batches import TrainSamples
from spg.networks.parts.classifier import ClassCriterion
from spg.networks.parts.heads import Classified, init_xavier
from spg.networks.parts.published import read_published
from spg.networks.parts.stem import Stem
from spg.project.errors import UserError
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.seeding import torch_seed
from spg.project.workspace import Workspace
from spg.train.checkpoint import fingerprint, save_model, sources
from spg.train.loop import Trainer

log = logging.getLogger(__name__)


@sole_writer(lambda workspace, _dataset, backbone: workspace.weights(backbone))
def make_weights(workspace: Workspace, params: Params, dataset: str, backbone: str) -> None:
    """Write the stem weights that trainings on ``dataset`` start from."""
    module = find_plugin("backbone", backbone)
    stem_params = params.setup(dataset, backbone).stem
    torch.manual_seed(torch_seed(params.pretraining.seed, "init"))
    stem, trainer = module.build(stem_params.width), None
    if stem_params.weights == "random":
        stem.apply(init_xavier)
    elif stem_params.weights == "published":
        load_published(stem, module)
    else:
        identity = fingerprint(
            params.pretraining.model_dump_json(),
            params.execution.model_dump_json(),
            repr(stem_params.width),
            backbone,
            *sources(),
        )
        trainer = _pretrain(stem, params, workspace.scratch / f"weights-{identity}.pt")
    save_model(workspace.weights(backbone), stem)
    if trainer is not None:
        trainer.forget()


def load_published(stem: Stem, module: ModuleType) -> None:
    """Load the published ImageNet checkpoint of a backbone's module strictly.

    Raises:
        UserError: when it cannot be had, is another file, is no checkpoint or does not fit.
    """
    load_stem(stem, read_published(module), dropped=module.DROPPED)


def load_stem(stem: Stem, published: Mapping[str, Tensor], dropped: tuple[str, ...]) -> None:
    """Load a whole classifier's state dict; only modules named in ``dropped`` may be left over.

    Raises:
        UserError: on any missing or unknown key, or another shape (a width below 1).
    """
    kept = {key: value for key, value in published.items() if not key.startswith(dropped)}
    try:
        stem.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the published weights do not fit the stem: {reason}") from None


def _pretrain(stem: Stem, params: Params, checkpoint: Path) -> Trainer:
    """Train ``stem`` in place; the trainer has a checkpoint to forget."""
    pretraining = params.pretraining
    species = pretraining_species(pretraining.classes)
    birds = draw_flock(
        species, pretraining.images_per_class, seed=pretraining.seed, side=pretraining.side
    )
    images, labels = [], []
    for bird in birds:
        images.append(bird.scene.image)
        labels.append(bird.class_index)
    log.info("drew %d images of %d species", len(images), len(species))
    trainer = Trainer(
        _StemClassifier(stem, len(species)),
        ClassCriterion(),
        TrainSamples(_InMemory(images), labels, pretraining.input, stem.colors),
        np.arange(len(images)),
        train=pretraining.train,
        execution=params.execution,
        seed=pretraining.seed,
        checkpoint=checkpoint,
    )
    history = trainer.run()
    log.info("pre-training ended at top-1 error %.3f", history["train_top1_err"].iloc[-1])
    return trainer


class _StemClassifier(nn.Module):
    """The stem with global average pooling and one linear layer."""

    def __init__(self, stem: Stem, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.classifier = nn.Conv2d(stem.last_channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Classified:
        features = self.stem(images).last
        class_maps = self.classifier(features)
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, features)


class _InMemory:
    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self._images = images

    def image(self, index: int) -> NDArray[np.uint8]:
        return self._images[index]
