"""Pre-training of a narrow stem: a classifier of species that no data set has (PROTOCOL 9)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from spg.data.birds.flock import draw_flock
from spg.data.birds.species import SMALL_PARTS, pretraining_species
from spg.data.inputs.samples import TrainSamples
from spg.networks.parts.classifier import ClassCriterion
from spg.networks.parts.heads import Classified
from spg.networks.parts.stem import Stem
from spg.project.schema.training import ExecutionParams, PretrainingParams
from spg.train.loop import Trainer

log = logging.getLogger(__name__)


def pretrain(
    stem: Stem, pretraining: PretrainingParams, execution: ExecutionParams, checkpoint: Path
) -> Trainer:
    """Train ``stem`` in place.

    Args:
        stem: of any width.
        pretraining: what is drawn, and the schedule.
        execution: how it is computed.
        checkpoint: file of the unfinished state.

    Returns:
        the trainer, whose checkpoint stays until the stem is on disk.
    """
    species = pretraining_species(pretraining.classes)
    birds = draw_flock(
        species,
        pretraining.images_per_class,
        seed=pretraining.seed,
        side=pretraining.side,
        telling=SMALL_PARTS,
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
        execution=execution,
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
