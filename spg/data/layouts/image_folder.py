"""Anybody's own images: a folder a class, with boxes and masks if there are any (docs/own_data.md).

``SPLIT/CLASS/IMAGE`` with the splits ``train``, ``val``, ``test``, as torchvision's ImageFolder
reads each of them; or ``CLASS/IMAGE`` and ``splits.csv``. Images may lie in folders below that of
their class; hidden files and folders are no part of it. Besides, each optional:

- ``boxes.csv`` with the header ``image,x0,y0,x1,y1``: a line a box, pixels of the image, ``x1`` and
  ``y1`` just past the last pixel that belongs to the object;
- ``splits.csv`` with the header ``image,split``;
- ``masks/`` with the images' own paths and the ending ``.png``: a pixel above 0 is the object.

``image`` is the path below the folder, with slashes; accents may be spelled as macOS does or not.
"""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.lines import read_lines, shown
from spg.data.layouts.problems import BadDataError

ENDINGS = frozenset((".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"))
"""Of images, in small letters: those of torchvision's ImageFolder."""
BOXES, SPLITS, MASKS = "boxes.csv", "splits.csv", "masks"
TRAIN, HELD_OUT, TESTED = "train", "val", "test"


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
    images = _images(root, problems)
    splits = _splits(root, images, problems)
    boxes = _boxes(root, images, problems)
    boxed = (root / BOXES).exists()
    if not boxed and TRAIN_FULLSUP in splits.values():
        problems.append(
            f"{HELD_OUT}: its images are there to choose thresholds on, and there is no {BOXES}; "
            "make them test or training images"
        )
    if not splits:
        raise BadDataError(root, problems)
    above = 0 if (root / SPLITS).exists() else 1  # folders above that of the class
    classes = {image: PurePosixPath(image).parts[above] for image in splits}
    ids = {name: number for number, name in enumerate(sorted(set(classes.values())))}
    found = [
        Annotation(
            image,
            image,
            ids[classes[image]],
            classes[image],
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
    """Return the paths of all images below a folder, sorted; masks and hidden files are none."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if path.suffix.lower() in ENDINGS
        and path.parts[0] != MASKS
        and not any(part.startswith(".") for part in path.parts)
    )


def _images(root: Path, problems: list[str]) -> list[str]:
    """Return the images whose names can be written down, and so into tables."""
    found, images = images_in(root), []
    for image in found:
        try:
            image.encode()
        except UnicodeEncodeError:
            name = image.encode("ascii", "backslashreplace").decode()
            problems.append(f"{name}: this name is not UTF-8; rename it")
        else:
            images.append(image)
    if not found:
        problems.append(f"no image in it; known endings are {', '.join(sorted(ENDINGS))}")
    return images


def _splits(root: Path, images: Sequence[str], problems: list[str]) -> dict[str, str]:
    """Return the split of each image, as the manifest names it."""
    if not images:
        return {}
    if (root / SPLITS).exists():
        return _splits_of_table(root, images, problems)
    present = {image.split("/")[0] for image in images}
    if TRAIN not in present or not present & {HELD_OUT, TESTED}:
        problems.append(
            f"has neither {SPLITS} nor the folders {TRAIN} and {TESTED} (or {HELD_OUT}) with images"
        )
        return {}
    filled = {PurePosixPath(image).parts[1] for image in images if image.startswith(f"{TRAIN}/")}
    problems += [
        f"{TRAIN}/{folder.name}: holds no image; remove this folder or put images into it"
        for folder in sorted((root / TRAIN).iterdir())
        if folder.is_dir() and folder.name not in filled and not folder.name.startswith(".")
    ]
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
    names = {TRAIN: TRAIN_WEAKSUP, HELD_OUT: TRAIN_FULLSUP, TESTED: TEST}
    splits: dict[str, str] = {}
    lines: dict[str, int] = {}
    rows = _rows(root / SPLITS, ("image", "split"), images, problems)
    if rows is None:
        return {}
    for image, number, words in rows:
        if image in lines:
            problems.append(
                f"{SPLITS}:{number}: {image} stands twice, first in line {lines[image]}"
            )
        elif "/" not in image:
            problems.append(f"{SPLITS}:{number}: {image} lies in no folder of a class")
        elif words["split"] not in names:
            said = shown(words["split"])
            problems.append(f"{SPLITS}:{number}: split is {said}, not one of {', '.join(names)}")
        else:
            splits[image] = names[words["split"]]
        lines.setdefault(image, number)
    problems += [f"{SPLITS}: has no line of {i}" for i in sorted(set(images) - lines.keys())]
    if TEST not in splits.values():  # as with folders: `val` is reported where no `test` is
        splits = {i: TEST if split == TRAIN_FULLSUP else split for i, split in splits.items()}
    return splits


def _boxes(
    root: Path, images: Iterable[str], problems: list[str]
) -> dict[str, list[tuple[Box, int]]]:
    """Return the boxes of each image with their lines; none where there is no such table."""
    if not (root / BOXES).exists():
        return {}
    header = ("image", "x0", "y0", "x1", "y1")
    boxes: dict[str, list[tuple[Box, int]]] = {}
    for image, number, words in _rows(root / BOXES, header, images, problems) or ():
        try:
            boxes.setdefault(image, []).append((_box(words), number))
        except ValueError as error:
            problems.append(f"{BOXES}:{number}: {error}")
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
    file: Path, header: tuple[str, ...], images: Iterable[str], problems: list[str]
) -> list[tuple[str, int, dict[str, str]]] | None:
    """Return image, line and words of each line about an image; notes what is wrong with others.

    ``None`` stands for a table of another kind, of which no line is read.
    """
    known = {unicodedata.normalize("NFC", image): image for image in images}
    found = []
    lines = iter(read_lines(file, problems))
    _, first = next(lines, (0, ""))
    titles = next(csv.reader([first]), [])
    if sorted(titles) != sorted(header):
        wanted = ",".join(header)
        problems.append(f"{file.name}:1: expected the header {wanted}, got {shown(first)}")
        return None
    for number, text in lines:
        words, where = next(csv.reader([text]), []), f"{file.name}:{number}"
        if len(words) != len(header):
            problems.append(f"{where}: expected {len(header)} values, got {shown(text)}")
            continue
        row = dict(zip(titles, words, strict=True))
        image = known.get(unicodedata.normalize("NFC", row["image"]))
        if image is None:
            problems.append(f"{where}: {shown(row['image'])}: no such image below the folder")
            continue
        found.append((image, number, row))
    return found


def _mask(root: Path, image: str, split: str) -> str | None:
    """Return the file of a test image's mask, which has to be there if any is."""
    if split != TEST or not (root / MASKS).is_dir():
        return None
    return str(PurePosixPath(MASKS, image).with_suffix(".png"))


def _where(boxes: Iterable[tuple[Box, int]]) -> str:
    return ", ".join(f"{BOXES}:{number}" for _, number in boxes) or BOXES
