"""Imagenette's folders, and the boxes of ILSVRC's validation images among them.

``train/WNID/NAME.JPEG`` and ``val/WNID/NAME.JPEG`` as fast.ai publishes them. Its split is another
than ILSVRC's: 500 images of ILSVRC's validation set lie in both folders. Those have published boxes
and are the test images here; the other 12,894, of ILSVRC's training set, are the training images.

imagenette_boxes.csv has the 813 boxes, in pixels of ILSVRC's original image, with that image's
width and height. It was taken from wsolevaluation's metadata/ILSVRC/test (MIT license), whose far
corners are the last pixel that belongs to the object.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.problems import BadDataError

FOLDERS = ("train", "val")
NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
WNIDS = tuple(NAMES)


class Boxed(NamedTuple):
    """What is published of a test image."""

    size: tuple[int, int]
    """Width and height of ILSVRC's original, whose pixels the boxes are in."""
    boxes: tuple[Box, ...]
    """xyxy, half-open."""


@lru_cache(maxsize=1)
def published_boxes() -> dict[str, Boxed]:
    """Return the boxes of the 500 test images, by file name."""
    text = files("spg.data.layouts").joinpath("imagenette_boxes.csv").read_text(encoding="utf-8")
    found: dict[str, Boxed] = {}
    for row in csv.DictReader(text.splitlines()):
        x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
        size = int(row["width"]), int(row["height"])
        earlier = found.get(row["image"], Boxed(size, ()))
        found[row["image"]] = Boxed(size, (*earlier.boxes, (x0, y0, x1 + 1, y1 + 1)))
    return found


def is_hidden(name: str) -> bool:
    """Return whether a file system or a desktop made it, e.g. ``._x.JPEG`` of macOS's archives."""
    return name.startswith(".")


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, training before test, each sorted by name.

    Args:
        root: the raw folder, with ``train`` and ``val``.

    Raises:
        BadDataError: when a folder, a class or a test image is missing, a folder is none of the ten
            classes, or a photograph is there twice, so that it would be both trained on and tested.
    """
    places: dict[str, str] = {}
    problems = []
    for split in FOLDERS:
        if not (root / split).is_dir():
            raise BadDataError(root, [f"{split}: no such folder"])
        folders_here = (path.name for path in (root / split).iterdir() if path.is_dir())
        present = {name for name in folders_here if not is_hidden(name)}
        problems += [f"{split}/{name}: no such folder" for name in sorted(set(NAMES) - present)]
        problems += [
            f"{split}/{name}: no class of Imagenette" for name in sorted(present - set(NAMES))
        ]
        for file in (root / split).glob("*/*.JPEG"):
            if file.parent.name in NAMES and file.is_file() and not is_hidden(file.name):
                places[f"{split}/{file.parent.name}/{file.name}"] = file.name
    folders: dict[str, list[str]] = {}
    for place, name in sorted(places.items()):
        folders.setdefault(name, []).append(place)
    problems += [
        f"{' and '.join(twice)}: one photograph in two folders"
        for twice in folders.values()
        if len(twice) > 1
    ]
    boxed = published_boxes()
    absent = sorted(set(boxed) - set(places.values()))
    problems += [f"{name}: no such file in {' or '.join(FOLDERS)}" for name in absent]
    found = [_annotation(file, name, boxed.get(name)) for file, name in sorted(places.items())]
    if problems:
        raise BadDataError(root, problems, readable=found)
    return sorted(found, key=lambda item: item.split == TEST)


def _annotation(file: str, name: str, known: Boxed | None) -> Annotation:
    wnid = file.split("/")[1]
    return Annotation(
        file,
        file,
        WNIDS.index(wnid),
        f"{wnid} {NAMES[wnid]}",
        TEST if known else TRAIN_WEAKSUP,
        known.boxes if known else (),
        object_mask=None,
        part_mask=None,
        boxes_for=known.size if known else None,
        boxes_at=f"imagenette_boxes.csv: {name}" if known else "",
    )
