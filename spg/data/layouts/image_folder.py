"""Anybody's own images: a folder a class, with boxes and masks if there are any (docs/own_data.md).

``SPLIT/CLASS/IMAGE`` with the splits ``train``, ``val``, ``test``, as torchvision's ImageFolder
reads each of them; or ``CLASS/IMAGE`` and ``splits.csv``. Besides, each optional:

- ``boxes.csv`` with the header ``image,x0,y0,x1,y1``: a line a box, pixels of the image, ``x1`` and
  ``y1`` just past the last pixel that belongs to the object;
- ``splits.csv`` with the header ``image,split``;
- ``masks/`` with the images' own paths and the ending ``.png``: a pixel above 0 is the object.

``image`` is the path below the folder, with slashes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.lines import read_lines, shown
from spg.data.layouts.problems import BadDataError

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"))
"""Of images, in small letters: those of torchvision's ImageFolder."""
BOXES, SPLITS, MASKS = "boxes.csv", "splits.csv", "masks"
TRAIN, HELD_OUT, TESTED = "train", "val", "test"
T = TypeVar("T")


class _Line(NamedTuple):
    number: int
    words: list[str]


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, training before held-out before test, sorted by path.

    Classes are numbered in the order of their names.

    Args:
        root: the raw folder.

    Raises:
        BadDataError: when no split can be told, a table is malformed, or names an image that is
            not there; all of it in one list.
    """
    problems: list[str] = []
    splits = _splits(root, problems)
    boxes = _boxes(root, splits, problems)
    boxed = (root / BOXES).exists()
    if not boxed and TRAIN_FULLSUP in splits.values():
        problems.append(
            f"{HELD_OUT}: its images are there to choose thresholds on, and there is no {BOXES}; "
            "make them test or training images"
        )
    if not splits:
        raise BadDataError(root, problems)
    names = sorted({_class_of(image) for image in splits})
    ids = {name: number for number, name in enumerate(names)}
    found = [
        Annotation(
            image,
            image,
            ids[_class_of(image)],
            _class_of(image),
            split,
            tuple(box for box, _ in boxes.get(image, ())),
            object_mask=_mask(root, image, split),
            part_mask=None,
            named_at=image,
            boxes_at=_where(boxes.get(image, ())),
            boxes_wanted=boxed,
        )
        for image, split in sorted(splits.items())
    ]
    if problems:
        raise BadDataError(root, problems, readable=found)
    order = (TRAIN_WEAKSUP, TRAIN_FULLSUP, TEST)
    return sorted(found, key=lambda item: order.index(item.split))


def images_in(root: Path) -> list[str]:
    """Return the paths of all images below a folder, sorted; masks are none."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if path.suffix.lower() in ENDINGS and path.parts[0] != MASKS
    )


def _splits(root: Path, problems: list[str]) -> dict[str, str]:
    """Return the split of each image, as the manifest names it."""
    images = images_in(root)
    if not images:
        problems.append(f"no image in it; known endings are {', '.join(sorted(ENDINGS))}")
        return {}
    if (root / SPLITS).exists():
        return _splits_of_table(root, images, problems)
    present = {image.split("/")[0] for image in images}
    if TRAIN not in present or not present & {HELD_OUT, TESTED}:
        problems.append(
            f"has neither {SPLITS} nor the folders {TRAIN} and {TESTED} (or {HELD_OUT}) with images"
        )
        return {}
    held_out = TRAIN_FULLSUP if TESTED in present else TEST
    names = {TRAIN: TRAIN_WEAKSUP, HELD_OUT: held_out, TESTED: TEST}
    splits = {}
    for image in images:
        parts = PurePosixPath(image).parts
        if parts[0] not in names:
            problems.append(f"{image}: lies in none of {TRAIN}, {HELD_OUT} and {TESTED}")
        elif len(parts) < 3:
            problems.append(f"{image}: lies in no folder of a class")
        else:
            splits[image] = names[parts[0]]
    return splits


def _splits_of_table(root: Path, images: Iterable[str], problems: list[str]) -> dict[str, str]:
    known = set(images)
    names = {TRAIN: TRAIN_WEAKSUP, HELD_OUT: TRAIN_FULLSUP, TESTED: TEST}

    def convert(words: Mapping[str, str]) -> str:
        if words["split"] not in names:
            raise ValueError(f"split is {shown(words['split'])}, not one of {', '.join(names)}")
        return names[words["split"]]

    splits: dict[str, str] = {}
    lines: dict[str, int] = {}
    for image, number, split in _rows(root / SPLITS, ("image", "split"), known, convert, problems):
        if image in lines:
            problems.append(
                f"{SPLITS}:{number}: {image} stands twice, first in line {lines[image]}"
            )
        elif "/" not in image:
            problems.append(f"{SPLITS}:{number}: {image} lies in no folder of a class")
        else:
            splits[image] = split
        lines.setdefault(image, number)
    problems += [f"{SPLITS}: has no line of {image}" for image in sorted(known - lines.keys())]
    return splits


def _boxes(
    root: Path, known: Mapping[str, str], problems: list[str]
) -> dict[str, list[tuple[Box, int]]]:
    """Return the boxes of each image with their lines; none where there is no such table."""
    if not (root / BOXES).exists():
        return {}
    header = ("image", "x0", "y0", "x1", "y1")
    boxes: dict[str, list[tuple[Box, int]]] = {}
    for image, number, box in _rows(root / BOXES, header, known, _box, problems):
        boxes.setdefault(image, []).append((box, number))
    return boxes


def _box(words: Mapping[str, str]) -> Box:
    try:
        x0, y0, x1, y1 = (float(words[name]) for name in ("x0", "y0", "x1", "y1"))
    except ValueError:
        said = ",".join(words[name] for name in ("x0", "y0", "x1", "y1"))
        raise ValueError(f"expected four numbers x0,y0,x1,y1, got {shown(said)}") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError("a corner of the box is not a finite number of pixels")
    if not (x0 < x1 and y0 < y1):
        raise ValueError(
            f"the box {x0:g},{y0:g},{x1:g},{y1:g} has no area; x1 and y1 are its far corner, not "
            "width and height"
        )
    return x0, y0, x1, y1


def _rows(
    file: Path,
    header: tuple[str, ...],
    known: Iterable[str],
    convert: Callable[[Mapping[str, str]], T],
    problems: list[str],
) -> Iterable[tuple[str, int, T]]:
    """Yield image, line and converted value of each good line; notes what is wrong with others."""
    known = set(known)
    lines = iter(read_lines(file, problems))
    _, first = next(lines, (0, ""))
    titles = next(csv.reader([first]), [])
    if sorted(titles) != sorted(header):
        wanted = ",".join(header)
        problems.append(f"{file.name}:1: expected the header {wanted}, got {shown(first)}")
        return
    for number, text in lines:
        words = next(csv.reader([text]), [])
        try:
            if len(words) != len(header):
                raise ValueError(f"expected {len(header)} values, got {shown(text)}")
            row = dict(zip(titles, words, strict=True))
            image = row["image"]
            if image not in known:
                raise ValueError(f"{shown(image)}: no such image below the folder")
            yield image, number, convert(row)
        except ValueError as error:
            problems.append(f"{file.name}:{number}: {error}")


def _class_of(image: str) -> str:
    return PurePosixPath(image).parent.name


def _mask(root: Path, image: str, split: str) -> str | None:
    """Return the file of a test image's mask, which has to be there if any is."""
    if split != TEST or not (root / MASKS).is_dir():
        return None
    return str(PurePosixPath(MASKS, image).with_suffix(".png"))


def _where(boxes: Iterable[tuple[Box, int]]) -> str:
    return ", ".join(f"{BOXES}:{number}" for _, number in boxes) or BOXES
