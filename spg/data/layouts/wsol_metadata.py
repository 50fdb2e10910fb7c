"""Metadata folders of wsolevaluation: one folder a split, four text files (docs/sources.md 7).

``image_ids.txt``: a path a line. ``class_labels.txt``: path,class. ``image_sizes.txt``:
path,width,height. ``localization.txt``: path,x0,y0,x1,y1, a line for each box; or, for data with
masks, path,mask file,file of ignored regions, the last one on an image's first line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from spg.project.errors import UserError
from spg.project.files import write_text

T = TypeVar("T")
Box = tuple[float, float, float, float]
Size = tuple[int, int]


class WsolImage(NamedTuple):
    """One image of a split."""

    image_id: str
    """Its path; map files are named after it."""
    class_id: int | None
    size: Size | None
    """Width and height, pixels; ``None`` where image_sizes.txt is empty."""
    boxes: tuple[Box, ...]
    """xyxy in the original image, as the file has them."""
    masks: tuple[str, ...]
    """Files of the object's masks, one an instance."""
    ignore: str | None
    """File of the regions to leave out, apart from the object."""


class _Region(NamedTuple):
    """One line of localization.txt."""

    box: Box | None
    mask: str | None
    ignore: str | None


def read_metadata(folder: Path) -> list[WsolImage]:
    """Read one split, in the order of image_ids.txt.

    Raises:
        UserError: names the file and line that is missing, malformed or contradicts another.
    """
    ids = [image_id for _, image_id in _lines(folder / "image_ids.txt")]
    if not ids:
        raise UserError(f"{folder / 'image_ids.txt'}: names no image")
    known = set(ids)
    if len(known) != len(ids):
        twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
        raise UserError(f"{folder / 'image_ids.txt'}: {twice} stands twice")
    for image_id in ids:
        if _leaves(image_id):
            raise UserError(f"{folder / 'image_ids.txt'}: {image_id} leaves the folder of maps")
    labels = _table(folder / "class_labels.txt", known, 1, lambda words: int(words[0]))
    sizes = _table(folder / "image_sizes.txt", known, 2, _size)
    regions = _regions(folder / "localization.txt", known)
    return [
        WsolImage(
            image_id,
            labels.get(image_id),
            sizes.get(image_id),
            boxes=tuple(r.box for r in regions.get(image_id, ()) if r.box),
            masks=tuple(r.mask for r in regions.get(image_id, ()) if r.mask),
            ignore=next((r.ignore for r in regions.get(image_id, ()) if r.ignore), None),
        )
        for image_id in ids
    ]


def _leaves(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or "\0" in path


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; --metadata wants the folder of one split") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not readable ({error})") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def _table(
    file: Path, known: set[str], columns: int, convert: Callable[[list[str]], T]
) -> dict[str, T]:
    """Read ``path,value,...``; an empty file is an empty table, otherwise every image is in it."""
    table: dict[str, T] = {}
    for number, line in _lines(file):
        image_id, *words = line.rsplit(",", columns)
        _check_known(image_id, known, f"{file}:{number}")
        if image_id in table:
            raise UserError(f"{file}:{number}: {image_id} stands twice")
        if len(words) != columns:
            raise UserError(f"{file}:{number}: expected {columns} values after the path")
        try:
            table[image_id] = convert(words)
        except ValueError as error:
            raise UserError(f"{file}:{number}: {error}") from None
    if table and len(table) != len(known):
        raise UserError(f"{file}: {min(known - table.keys())} of image_ids.txt is missing")
    return table


def _size(words: list[str]) -> Size:
    width, height = (int(word) for word in words)
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height} pixels")
    return width, height


def _regions(file: Path, known: set[str]) -> dict[str, list[_Region]]:
    table: dict[str, list[_Region]] = {}
    for number, line in _lines(file):
        image_id, *words = line.split(",") if _is_mask_line(line) else line.rsplit(",", 4)
        _check_known(image_id, known, f"{file}:{number}")
        try:
            region = _mask(words) if len(words) == 2 else _box(words)
        except ValueError as error:
            raise UserError(f"{file}:{number}: {error}") from None
        table.setdefault(image_id, []).append(region)
    if table and len(table) != len(known):
        missing = min(known - table.keys())
        raise UserError(f"{file}: {missing} of image_ids.txt has no box or mask here")
    return table


def _is_mask_line(line: str) -> bool:
    return line.count(",") == 2


def _mask(words: list[str]) -> _Region:
    if not words[0]:
        raise ValueError("the line names no mask file")
    for word in words:
        if _leaves(word):
            raise ValueError(f"{word} leaves the folder of masks")
    return _Region(None, words[0], words[1] or None)


def _box(words: list[str]) -> _Region:
    if len(words) != 4:
        raise ValueError("expected path,x0,y0,x1,y1 or path,mask file,ignore file")
    x0, y0, x1, y1 = (float(word) for word in words)
    if not all(abs(value) < 1e9 for value in (x0, y0, x1, y1)):  # NaN is not
        raise ValueError("a corner of the box is not a finite number of pixels")
    if x1 < x0 or y1 < y0:
        raise ValueError(f"the box {x0:g},{y0:g},{x1:g},{y1:g} ends before it begins")
    return _Region((x0, y0, x1, y1), None, None)


def _check_known(image_id: str, known: set[str], place: str) -> None:
    if image_id not in known:
        raise UserError(f"{place}: {image_id} is not in image_ids.txt")


def write_metadata(folder: Path, images: Iterable[WsolImage]) -> None:
    """Write one split, as wsolevaluation reads it: boxes as whole numbers.

    Args:
        folder: gets the four files.
        images: with class, size and boxes; corners as they shall stand in the file.
    """
    lines: dict[str, list[str]] = {
        "image_ids": [], "class_labels": [], "image_sizes": [], "localization": []
    }  # fmt: skip
    for image in images:
        assert image.size is not None
        lines["image_ids"].append(image.image_id)
        lines["class_labels"].append(f"{image.image_id},{image.class_id}")
        lines["image_sizes"].append(f"{image.image_id},{image.size[0]},{image.size[1]}")
        for box in image.boxes:
            corners = ",".join(str(round(corner)) for corner in box)
            lines["localization"].append(f"{image.image_id},{corners}")
    for table, rows in lines.items():
        write_text(folder / f"{table}.txt", "".join(f"{row}\n" for row in rows))
