"""A data set in one file: how it is got, how it is read, and its facts."""

from __future__ import annotations

import numpy as np
from PIL import Image

from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.spec import DatasetSpec, Sizes
from spg.project.files import whole_folder
from spg.project.schema.kinds import Count, Strict

COLORS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
SIDE, BOX = 48, (8, 16, 40, 44)


class Source(Strict):
    """What ``datasets.<name>.source`` says beside its kind."""

    per_class: Count


def fetch(workspace, dataset, source):
    """Draw one square an image, on noise."""
    rng = np.random.default_rng(0)
    with whole_folder(workspace.raw(dataset)) as folder:
        for name, color in COLORS.items():
            for number in range(source.per_class):
                pixels = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
                x0, y0, x1, y1 = BOX
                pixels[y0:y1, x0:x1] = color
                Image.fromarray(pixels).save(folder / f"{name}-{number}.png")


def read(root):
    """Every second image is a test image."""
    names = list(COLORS)
    return [
        Annotation(path.name, path.name, names.index(name), name, split, (BOX,), None, None)
        for place, path in enumerate(sorted(root.glob("*.png")))
        for name in [path.name.split("-")[0]]
        for split in [TEST if place % 2 else TRAIN_WEAKSUP]
    ]


SPEC = DatasetSpec(
    source=Source,
    read=read,
    sizes=lambda source: Sizes(source.per_class, source.per_class, len(COLORS), (SIDE, SIDE), None),
)
