"""Reader of the CUB-200-2011 archive layout, drawn or downloaded (spg_facts 7).

``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt``, ``bounding_boxes.txt`` and
``classes.txt`` beside ``images/``; masks in ``segmentations/`` and, for drawn birds,
``part_segmentations/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from spg.errors import UserError

T = TypeVar("T")
Box = tuple[float, float, float, float]


class Annotation(NamedTuple):
    """One image of the archive."""

    image_id: int
    path: str
    """Inside ``images/``."""
    class_id: int
    """From 0; the archive counts from 1."""
    class_name: str
    is_train: bool
    box: Box
    """xyxy, half-open, pixels: the archive's x, y, w, h gives (x, y, x + w, y + h)."""


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, in the order of images.txt.

    Raises:
        UserError: names the file and line that is missing, malformed or contradicts another file.
    """
    paths = _read(root / "images.txt", _word)
    labels = _read(root / "image_class_labels.txt", lambda words: int(_word(words)))
    is_train = _read(root / "train_test_split.txt", lambda words: bool(int(_word(words))))
    boxes = _read(root / "bounding_boxes.txt", _box)
    names = _read(root / "classes.txt", _word)
    for table, keys in (
        ("image_class_labels.txt", labels),
        ("train_test_split.txt", is_train),
        ("bounding_boxes.txt", boxes),
    ):
        if keys.keys() != paths.keys():
            odd = min(keys.keys() ^ paths.keys())
            raise UserError(f"{root / table}: image {odd} is not in both this file and images.txt")
    unknown = sorted(set(labels.values()) - set(names))
    if unknown:
        raise UserError(f"{root / 'classes.txt'}: class {unknown[0]} of the labels is missing")
    return [
        Annotation(key, path, labels[key] - 1, names[labels[key]], is_train[key], boxes[key])
        for key, path in paths.items()
    ]


def image_path(root: Path, path: str) -> Path:
    """Return the file of an image."""
    return root / "images" / path


def mask_path(root: Path, kind: str, path: str) -> Path:
    """Return the file of a mask; ``kind`` is ``segmentations`` or ``part_segmentations``."""
    return (root / kind / path).with_suffix(".png")


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
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run `spg fetch` first") from None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if not (words[0].isascii() and words[0].isdigit()):
            raise UserError(f"{file}:{number}: expected a number first, got {words[0]!r}")
        yield number, int(words[0]), words[1:]


def _word(words: list[str]) -> str:
    if len(words) != 1:
        raise ValueError(f"expected one value after the number, got {len(words)}")
    return words[0]


def _box(words: list[str]) -> Box:
    if len(words) != 4:
        raise ValueError(f"expected x, y, width and height after the number, got {len(words)}")
    x, y, w, h = (float(word) for word in words)
    if not (w > 0 and h > 0):
        raise ValueError(f"the box has no area (width {w}, height {h})")
    return x, y, x + w, y + h
