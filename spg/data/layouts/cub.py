"""Reader of the CUB-200-2011 archive layout, drawn or downloaded (docs/sources.md 7).

``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt``, ``bounding_boxes.txt`` and
``classes.txt`` beside ``images/``; masks in ``segmentations/`` and, for drawn birds,
``part_segmentations/``. Images that images.txt does not name are ignored.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.fullsup import read_fullsup
from spg.project.errors import UserError

T = TypeVar("T")

DIGITS = 18  # of a number; more do not fit into 64 bits


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, in the order of images.txt.

    The archive's x, y, width, height give the half-open box (x, y, x + width, y + height); classes
    count from 1 there and from 0 here.

    Raises:
        UserError: names the file and line that is missing, malformed or contradicts another file.
    """
    paths = _read(root / "images.txt", _path)
    labels = _read(root / "image_class_labels.txt", _number)
    splits = _read(root / "train_test_split.txt", _split)
    boxes = _read(root / "bounding_boxes.txt", _box)
    names = _read(root / "classes.txt", _word)
    _check_keys(root, paths, labels, splits, boxes)
    unknown = sorted(set(labels.values()) - set(names))
    if unknown:
        raise UserError(f"{root / 'classes.txt'}: class {unknown[0]} of the labels is missing")
    masks = [
        kind if (root / kind).is_dir() else None for kind in ("segmentations", "part_segmentations")
    ]
    listed = [
        Annotation(
            path,
            f"images/{path}",
            labels[key] - 1,
            names[labels[key]],
            splits[key],
            (boxes[key],),
            *(kind and str(PurePosixPath(kind, path).with_suffix(".png")) for kind in masks),
        )
        for key, path in paths.items()
    ]
    return listed + read_fullsup(root, [names[number] for number in sorted(names)])


def _check_keys(
    root: Path,
    paths: dict[int, str],
    labels: dict[int, int],
    splits: dict[int, str],
    boxes: dict[int, Box],
) -> None:
    for table, keys in (
        ("image_class_labels.txt", labels.keys()),
        ("train_test_split.txt", splits.keys()),
        ("bounding_boxes.txt", boxes.keys()),
    ):
        if keys != paths.keys():
            odd = min(keys ^ paths.keys())
            raise UserError(f"{root / table}: image {odd} is not in both this file and images.txt")
    for path, count in Counter(paths.values()).most_common(1):
        if count > 1:
            raise UserError(f"{root / 'images.txt'}: {path} stands twice")


def _read(file: Path, convert: Callable[[list[str]], T]) -> dict[int, T]:
    table: dict[int, T] = {}
    for number, key, words in _lines(file):
        try:
            value = convert(words)
        except ValueError as error:
            raise UserError(f"{file}:{number}: {error}") from None
        if key in table:
            raise UserError(f"{file}:{number}: id {key} stands twice")
        table[key] = value
    return table


def _lines(file: Path) -> Iterator[tuple[int, int, list[str]]]:
    try:
        lines = file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run `spg fetch` first") from None
    for number, line in enumerate(lines, start=1):
        try:
            words = line.decode("utf-8").split()
        except UnicodeDecodeError:
            raise UserError(f"{file}:{number}: not UTF-8; convert the file") from None
        if not words:
            continue
        if not _is_number(words[0]):
            raise UserError(f"{file}:{number}: expected a number first, got {words[0]!r}")
        yield number, int(words[0]), words[1:]


def _word(words: list[str]) -> str:
    if len(words) != 1:
        raise ValueError(f"expected one value after the number, got {len(words)}")
    return words[0]


def _path(words: list[str]) -> str:
    path = PurePosixPath(_word(words))
    if path.is_absolute() or ".." in path.parts or not path.suffix or "\0" in str(path):
        raise ValueError(f"{str(path)!r} is no file inside images/")
    return str(path)


def _number(words: list[str]) -> int:
    word = _word(words)
    if not _is_number(word):
        raise ValueError(f"expected a class number, got {word!r}")
    return int(word)


def _split(words: list[str]) -> str:
    word = _word(words)
    if word not in ("0", "1"):
        raise ValueError(f"expected 1 (training) or 0 (test), got {word!r}")
    return TRAIN_WEAKSUP if word == "1" else TEST


def _box(words: list[str]) -> Box:
    if len(words) != 4:
        raise ValueError(f"expected x, y, width and height after the number, got {len(words)}")
    x, y, w, h = (float(word) for word in words)
    if not all(map(math.isfinite, (x, y, x + w, y + h))):
        raise ValueError(f"the box is not finite ({' '.join(words)})")
    if not (w > 0 and h > 0):
        raise ValueError(f"the box has no area (width {w}, height {h})")
    return x, y, x + w, y + h


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= DIGITS
