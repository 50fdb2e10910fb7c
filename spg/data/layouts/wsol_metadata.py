"""Metadata folders of wsolevaluation: one folder a split, four text files (docs/sources.md 7).

``image_ids.txt``: a path a line. ``class_labels.txt``: path,class. ``image_sizes.txt``:
path,width,height. ``localization.txt``: path,x0,y0,x1,y1, a line for each box; or, for data with
masks, path,mask file,file of ignored regions, the last one on an image's first line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from spg.data.layouts.lines import read_lines, shown
from spg.data.layouts.problems import BadDataError
from spg.project.files import write_text

TABLES = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")
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
        BadDataError: names every file and line that is missing, malformed or contradicts another.
    """
    missing = [f"{name}: no such file" for name in TABLES if not (folder / name).exists()]
    if missing:
        raise BadDataError(folder, missing, advice="one split of wsolevaluation has all four")
    problems: list[str] = []
    known = _ids(folder / "image_ids.txt", problems)
    if not known:
        raise BadDataError(folder, problems)
    labels = _table(folder / "class_labels.txt", known, 1, _class, problems)
    sizes = _table(folder / "image_sizes.txt", known, 2, _size, problems)
    regions = _regions(folder / "localization.txt", known, problems)
    if problems:
        raise BadDataError(folder, problems)
    return [
        WsolImage(
            image_id,
            labels.get(image_id),
            sizes.get(image_id),
            boxes=tuple(r.box for r in regions.get(image_id, ()) if r.box),
            masks=tuple(r.mask for r in regions.get(image_id, ()) if r.mask),
            ignore=next((r.ignore for r in regions.get(image_id, ()) if r.ignore), None),
        )
        for image_id in known
    ]


def _ids(file: Path, problems: list[str]) -> dict[str, int]:
    """Return the line of each image, in the file's order."""
    known: dict[str, int] = {}
    for number, image_id in read_lines(file, problems):
        if image_id in known:
            problems.append(
                f"{file.name}:{number}: {shown(image_id)} stands twice, first in line "
                f"{known[image_id]}"
            )
        elif _leaves(image_id):
            problems.append(f"{file.name}:{number}: {shown(image_id)} leaves the folder of maps")
        known.setdefault(image_id, number)
    if not known:
        problems.append(f"{file.name}: names no image")
    return known


def _leaves(path: str) -> bool:
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or "\0" in path or not parts.name


def _table(
    file: Path,
    known: Mapping[str, int],
    columns: int,
    convert: Callable[[list[str]], T],
    problems: list[str],
) -> dict[str, T]:
    """Read ``path,value,...``; an empty file is an empty table, otherwise every image is in it."""
    table: dict[str, T] = {}
    lines: dict[str, int] = {}
    for number, line in read_lines(file, problems):
        image_id, *words = line.rsplit(",", columns)
        try:
            _check_known(image_id, known, line)
            if image_id in lines:
                raise ValueError(f"{image_id} stands twice, first in line {lines[image_id]}")
            lines[image_id] = number
            if len(words) != columns:
                raise ValueError(
                    f"expected {columns} values after the path, separated by commas, got "
                    f"{shown(line)}"
                )
            table[image_id] = convert(words)
        except ValueError as error:
            problems.append(f"{file.name}:{number}: {error}")
    problems += _absent(file, known, lines, "has no line here")
    return table


def _class(words: list[str]) -> int:
    try:
        return int(words[0])
    except ValueError:
        raise ValueError(f"expected a class number, got {shown(words[0])}") from None


def _size(words: list[str]) -> Size:
    try:
        width, height = (int(word) for word in words)
    except ValueError:
        raise ValueError(f"expected width,height, got {shown(','.join(words))}") from None
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height} pixels")
    return width, height


def _regions(file: Path, known: Mapping[str, int], problems: list[str]) -> dict[str, list[_Region]]:
    table: dict[str, list[_Region]] = {}
    for number, line in read_lines(file, problems):
        image_id, *words = line.split(",") if _is_mask_line(line) else line.rsplit(",", 4)
        try:
            _check_known(image_id, known, line)
            regions = table.setdefault(image_id, [])
            regions.append(_mask(words) if len(words) == 2 else _box(words))
        except ValueError as error:
            problems.append(f"{file.name}:{number}: {error}")
    problems += _absent(file, known, table, "has no box or mask here")
    return table


def _absent(
    file: Path, known: Mapping[str, int], found: Mapping[str, object], what: str
) -> Iterator[str]:
    """Yield what is missing in a file that is not empty."""
    for image_id in known if found else ():
        if image_id not in found:
            yield f"{file.name}: {image_id} of image_ids.txt {what}"


def _is_mask_line(line: str) -> bool:
    return line.count(",") == 2


def _mask(words: list[str]) -> _Region:
    if not words[0]:
        raise ValueError("the line names no mask file")
    for word in filter(None, words):
        if _leaves(word):
            raise ValueError(f"{shown(word)} leaves the folder of masks")
    return _Region(None, words[0], words[1] or None)


def _box(words: list[str]) -> _Region:
    if len(words) != 4:
        raise ValueError("expected path,x0,y0,x1,y1 or path,mask file,ignore file")
    try:
        x0, y0, x1, y1 = (float(word) for word in words)
    except ValueError:
        raise ValueError(f"expected x0,y0,x1,y1, got {shown(','.join(words))}") from None
    if not all(abs(value) < 1e9 for value in (x0, y0, x1, y1)):  # NaN is not
        raise ValueError("a corner of the box is not a finite number of pixels")
    if x1 < x0 or y1 < y0:
        raise ValueError(
            f"the box {x0:g},{y0:g},{x1:g},{y1:g} ends before it begins; its far corner is wanted, "
            "not width and height"
        )
    return _Region((x0, y0, x1, y1), None, None)


def _check_known(image_id: str, known: Mapping[str, int], line: str) -> None:
    if "," not in line:
        raise ValueError(f"expected values separated by commas, got {shown(line)}")
    if image_id not in known:
        raise ValueError(f"{shown(image_id)} is not in image_ids.txt")


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
