"""A method in one file: the stem and a single 1 x 1 convolution, whose maps may be sharpened."""

from __future__ import annotations

from torch import nn

from spg.networks.parts.classifier import ClassCriterion
from spg.networks.parts.heads import Classified
from spg.project.schema.kinds import Positive, Strict

POOLS = "plain"


class Settings(Strict):
    """The section ``one_layer`` of params.yaml."""

    sharpness: Positive


class Model(nn.Module):
    def __init__(self, stem, num_classes, sharpness):
        super().__init__()
        self.stem, self.sharpness = stem, sharpness
        self.layer = nn.Conv2d(stem.last_channels, num_classes, kernel_size=1)

    def forward(self, images, labels=None):
        features = self.stem(images).last
        class_maps = self.sharpness * self.layer(features)
        return Classified(class_maps.mean(dim=(2, 3)), class_maps, features)


def build(stem, settings, task):
    return Model(stem, task.num_classes, settings.sharpness), ClassCriterion()
