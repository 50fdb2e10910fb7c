"""Reader of the CUB-200-2011 archive layout, drawn or downloaded (docs/sources.md 7).

``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt``, ``bounding_boxes.txt`` and
``classes.txt`` beside ``images/``; masks in ``segmentations/`` and, for drawn birds,
``part_segmentations/``. Images that images.txt does not name are ignored.

A line is a number, a blank and the rest, so that names may hold blanks. Classes are those that
images have, in the order of their numbers, whether these begin at 1 as published, at 0, or have
gaps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, NamedTuple, TypeVar

from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.annotations import UNKNOWN, Annotation, Box
from spg.data.layouts.fullsup import read_fullsup
from spg.data.layouts.lines import read_lines, shown
from spg.data.layouts.problems import BadDataError

T = TypeVar("T")

TABLES = ("images", "image_class_labels", "train_test_split", "bounding_boxes", "classes")
DIGITS = 18  # of a number; more do not fit into 64 bits
PUBLISHED_CLASSES = 200

log = logging.getLogger(__name__)


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, in the order of images.txt.

    The archive's x, y, width, height give the half-open box (x, y, x + width, y + height).

    Raises:
        BadDataError: names every file and line that is missing, malformed or contradicts images.txt
            without concerning one image alone.
    """
    problems = [
        f"{name}.txt: no such file" for name in TABLES if not (root / f"{name}.txt").exists()
    ]
    if problems:
        raise BadDataError(root, problems, advice="run `spg fetch` first")
    tables = _read_tables(root, problems)
    repeated = _repeated(tables.paths)
    ids = {number: place for place, number in enumerate(sorted(_present(tables)))}
    masks = [kind for kind in ("segmentations", "part_segmentations") if (root / kind).is_dir()]
    found = [
        _annotation(key, tables, ids, masks, repeated.get(path))
        for key, path in tables.paths.values.items()
        if path not in repeated or repeated[path].first == key
    ]
    found += read_fullsup(root, _published(tables.names, ids), PUBLISHED_CLASSES, problems)
    if problems:
        raise BadDataError(root, problems, readable=found)
    return found


@dataclass
class _Table(Generic[T]):
    """One file, by the number that each line begins with."""

    name: str
    values: dict[int, T] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    """Why a number has no value, with file and line."""

    def fault(self, key: int) -> str | None:
        """Return why image ``key`` has no value here, or ``None`` if it has one."""
        if key in self.faults:
            return self.faults[key]
        return None if key in self.values else f"{self.name}: has no line for image {key}"


class _Tables(NamedTuple):
    """All files, by the number of an image or, the last one, of a class."""

    paths: _Table[str]
    labels: _Table[int]
    splits: _Table[str]
    boxes: _Table[Box]
    names: _Table[str]


class _Repeated(NamedTuple):
    """A path that stands under several numbers."""

    first: int
    """Number of its first line, which its image has."""
    fault: str


def _read_tables(root: Path, problems: list[str]) -> _Tables:
    """Read all tables; those of single images may have lines of others, which are counted.

    Raises:
        BadDataError: when images.txt names no image.
    """
    paths = _read(root / "images.txt", _path, problems)
    if not paths.values:
        raise BadDataError(root, [*problems, *paths.faults.values(), "images.txt: names no image"])
    labels = _read(root / "image_class_labels.txt", _class, problems)
    splits = _read(root / "train_test_split.txt", _split, problems)
    boxes = _read(root / "bounding_boxes.txt", _box, problems)
    names = _read(root / "classes.txt", _name, problems)
    problems += [*paths.faults.values(), *names.faults.values()]
    for table in (labels, splits, boxes):
        _count_strangers(root, table, paths)
    return _Tables(paths, labels, splits, boxes, names)


def _annotation(
    key: int, tables: _Tables, ids: dict[int, int], masks: list[str], repeated: _Repeated | None
) -> Annotation:
    """Return what all tables say of image ``key``."""
    path, number = tables.paths.values[key], tables.labels.values.get(key, UNKNOWN)
    box = tables.boxes.values.get(key)
    faults = [
        repeated and repeated.fault,
        tables.labels.fault(key),
        tables.splits.fault(key),
        _unknown_class(key, tables.labels, tables.names),
    ]
    return Annotation(
        path,
        f"images/{path}",
        ids.get(number, UNKNOWN),
        tables.names.values.get(number, ""),
        tables.splits.values.get(key, TEST),
        (box,) if box else (),
        _mask("segmentations", path, masks),
        _mask("part_segmentations", path, masks),
        named_at=f"images.txt:{tables.paths.lines[key]}",
        boxes_at=f"{tables.boxes.name}:{tables.boxes.lines.get(key, 0)}",
        problem=" and ".join(fault for fault in faults if fault) or None,
        box_problem=tables.boxes.fault(key),
    )


def _read(file: Path, convert: Callable[[str], T], problems: list[str]) -> _Table[T]:
    table: _Table[T] = _Table(file.name)
    odd: list[str] = []
    texts: dict[int, str] = {}
    for number, line in read_lines(file, problems):
        first, *rest = line.split(maxsplit=1)
        place = f"{file.name}:{number}"
        if not _is_number(first):
            odd.append(f"{place}: expected a number first and a blank behind it, got {shown(line)}")
            continue
        key, text = int(first), rest[0] if rest else ""
        if texts.get(key) == text:
            continue  # the same line once more
        if key in texts:
            table.faults[key] = f"{place}: id {key} stands twice, first in line {table.lines[key]}"
            continue
        texts[key], table.lines[key] = text, number
        try:
            table.values[key] = convert(text)
        except ValueError as error:
            table.faults[key] = f"{place}: {error}"
    if odd and not texts:  # another kind of table: one sentence, not one a line
        odd = [f"{odd[0]}, and so do all {len(odd)} lines"]
    problems += odd
    return table


def _mask(folder: str, path: str, there: list[str]) -> str | None:
    return str(PurePosixPath(folder, path).with_suffix(".png")) if folder in there else None


def _count_strangers(root: Path, table: _Table[Any], paths: _Table[str]) -> None:
    """Say how many lines are of no image: a subset is often made of images.txt alone."""
    strangers = [line for key, line in table.lines.items() if key not in paths.lines]
    if strangers:
        log.info(
            "%s: ignored %d lines of images that images.txt does not name, the first in line %d",
            root / table.name, len(strangers), strangers[0],
        )  # fmt: skip


def _repeated(paths: _Table[str]) -> dict[str, _Repeated]:
    """Return the paths that stand under several numbers."""
    first: dict[str, int] = {}
    repeated: dict[str, _Repeated] = {}
    for key, path in paths.values.items():
        before = first.setdefault(path, key)
        if before != key:
            place, origin = paths.lines[key], paths.lines[before]
            said = f"images.txt:{place}: {path} stands twice, first in line {origin}"
            repeated[path] = _Repeated(before, said)
    return repeated


def _present(tables: _Tables) -> set[int]:
    """Return the numbers of the classes that images have."""
    labels = tables.labels.values
    return {labels[key] for key in tables.paths.values if key in labels} & set(tables.names.values)


def _unknown_class(key: int, labels: _Table[int], names: _Table[str]) -> str | None:
    number = labels.values.get(key)
    if number is None or number in names.values:
        return None
    return f"{labels.name}:{labels.lines[key]}: class {number} is not in classes.txt"


def _published(names: _Table[str], ids: dict[int, int]) -> dict[int, tuple[int, str]]:
    """Return id and name of our classes by wsolevaluation's number, which counts from 0."""
    first = 0 if 0 in names.values else 1
    return {number - first: (place, names.values[number]) for number, place in ids.items()}


def _name(text: str) -> str:
    if not text:
        raise ValueError("expected a name after the number")
    return text


def _path(text: str) -> str:
    path = PurePosixPath(_name(text))
    control = any(ord(letter) < ord(" ") for letter in text)
    if path.is_absolute() or ".." in path.parts or not path.suffix or control:
        raise ValueError(f"{shown(text)} is no file inside images/")
    return str(path)


def _class(text: str) -> int:
    if not _is_number(text):
        raise ValueError(f"expected a class number, got {shown(text)}")
    return int(text)


def _split(text: str) -> str:
    if text not in ("0", "1"):
        raise ValueError(f"expected 1 (training) or 0 (test), got {shown(text)}")
    return TRAIN_WEAKSUP if text == "1" else TEST


def _box(text: str) -> Box:
    words = text.split()
    if len(words) != 4:
        raise ValueError(f"expected x, y, width and height after the number, got {shown(text)}")
    try:
        x, y, w, h = map(float, words)
    except ValueError:
        raise ValueError(f"x, y, width or height is no number ({shown(text)})") from None
    if not all(map(math.isfinite, (x, y, x + w, y + h))):
        raise ValueError(f"the box is not finite ({shown(text)})")
    if not (w > 0 and h > 0):
        raise ValueError(f"the box has no area (width {w:g}, height {h:g})")
    return x, y, x + w, y + h


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= DIGITS
