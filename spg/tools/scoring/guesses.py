"""Guessed classes beside maps, and the top-1 and top-5 errors of anybody's maps with them.

Two kinds of file, told apart by their names. ``.csv``: a header ``image_id,top1,top2,top3,top4,
top5`` and a line an image, its classes, best first (``top1`` alone gives top-1 errors alone).
``.npz``: arrays ``image_ids``, ``str[N]``, and ``scores``, ``Float[N, C]``, of all classes in the
order of their numbers. Classes are numbered as in class_labels.txt.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from spg.data.layouts.problems import BadDataError
from spg.evaluate.image_errors import IOU_LEVELS
from spg.project.errors import UserError
from spg.tools.scoring.images import Images, Source
from spg.tools.scoring.tally import IOU_THRESHOLD, LARGEST, Tally, grid_index

GUESSES = 5
COLUMNS = tuple(f"top{place}" for place in range(1, GUESSES + 1))
Guesses = Mapping[str, tuple[int, ...]]
"""From an image to its classes, best first: `GUESSES` of them, one, or all that there are."""


def read_guesses(path: Path, images: Images) -> dict[str, tuple[int, ...]]:
    """Return the classes that were guessed for each image.

    Args:
        path: a ``.csv`` or ``.npz`` file.
        images: those that are scored, with their classes; the file has a row for each of them, in
            any order, and none for others.

    Raises:
        UserError: when the file cannot be read, or lists everything in it that is wrong.
    """
    problems = [f"no class of {image.image_id}" for image in images if image.class_id is None]
    if problems:
        raise BadDataError(path, problems, advice="--scores needs class_labels.txt")
    readers = {".csv": _read_csv, ".npz": _read_npz}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise UserError(f"--scores {path}: the name must end in .csv or .npz")
    try:
        image_ids, rows, places = read(path, images, problems)
    except FileNotFoundError:
        raise UserError(f"--scores {path}: no such file") from None
    except (OSError, ValueError, csv.Error, BadZipFile) as error:  # of another kind, or torn
        reason = " ".join(str(error).split())
        raise UserError(
            f"--scores {path}: not readable as {path.suffix}: {reason}; docs/evaluation.md says "
            "what it has to hold"
        ) from None
    problems += _mismatches(image_ids, places, {image.image_id for image in images})
    if problems:
        raise BadDataError(path, problems, advice="docs/evaluation.md says what it has to hold")
    return dict(zip(image_ids, rows, strict=True))


def grouped(images: Images, guesses: Guesses) -> tuple[Images, Images, Images]:
    """Return the images whose first guess is right, those right among five, and all others."""
    groups: tuple[list[int], list[int], list[int]] = ([], [], [])
    for place, image in enumerate(images):
        guessed = guesses[image.image_id]
        which = 0 if image.class_id == guessed[0] else 1 if image.class_id in guessed else 2
        groups[which].append(place)
    first, among, others = ([images[place] for place in group] for group in groups)
    return first, among, others


def has_five(guesses: Guesses) -> bool:
    """Return whether every image has more than its first guess, so that top-5 errors exist."""
    return all(len(guessed) > 1 for guessed in guesses.values())


def classified(
    tallies: Sequence[Tally], source: Source, *, threshold: float, five: bool
) -> dict[str, float | None]:
    """Return the errors that a guessed class has a part in, as fractions.

    A guess is right when class and box are, and the box is that of the true class's map, so only
    the images with a right class can be localized (docs/sources.md 4.1).

    Args:
        tallies: of the images whose first guess is right, of those right among five, of all others.
        source: where they came from.
        threshold: at which boxes are taken.
        five: whether five classes were guessed; without, what needs them is ``None``.

    Returns:
        ``top1_loc_err``, ``top5_loc_err``, ``top1_cls_err``, ``top5_cls_err``; localization errors
        are ``None`` where no image has a box.
    """
    images, place = sum(tally.images for tally in tallies), grid_index(threshold, source.thresholds)
    level = IOU_LEVELS.index(IOU_THRESHOLD)
    boxed = any(tally.boxed for tally in tallies)
    errors: dict[str, float | None] = {}
    for name, groups in (("top1", tallies[:1]), ("top5", tallies[:2])):
        known = five or name == "top1"
        found = sum(int(tally.correct[LARGEST, level, place]) for tally in groups)
        right = sum(tally.images for tally in groups)
        errors[f"{name}_loc_err"] = 1 - found / images if known and boxed else None
        errors[f"{name}_cls_err"] = 1 - right / images if known else None
    return errors


Rows = tuple[list[str], list[tuple[int, ...]], list[str]]
"""Image ids, their guessed classes, and where each stands in the file."""


def _read_csv(path: Path, images: Images, problems: list[str]) -> Rows:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, strict=True)
        header = next(lines, [])
        if header not in (["image_id", *COLUMNS], ["image_id", "top1"]):
            raise ValueError(
                f"its first line has to be image_id,{','.join(COLUMNS)}, or image_id,top1; it is "
                f"{','.join(header)[:80]!r}"
            )
        image_ids, rows, places = [], [], []
        for image_id, *words in filter(None, lines):
            guessed = tuple(int(word) if word.strip().isdecimal() else -1 for word in words)
            about = f"line {lines.line_num}: {','.join(words)}"
            if len(words) != len(header) - 1:
                problems.append(
                    f"{about}: expected {len(header) - 1} classes after the image id, which is "
                    "quoted where it holds a comma"
                )
            elif min(guessed) < 0:
                problems.append(f"{about} are not numbers of classes")
            elif len(set(guessed)) < len(guessed):
                problems.append(f"{about} names a class twice")
            image_ids.append(image_id)
            rows.append(guessed)
            places.append(f"line {lines.line_num}")
    return image_ids, rows, places


def _read_npz(path: Path, images: Images, problems: list[str]) -> Rows:
    with path.open("rb") as file:
        if not is_zipfile(file):  # NumPy would go on to advise its unsafe formats
            raise ValueError("no zip archive, which numpy.savez writes")
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in ("image_ids", "scores") if name not in archive.files]
        if missing:
            raise ValueError(f"lacks the array {missing[0]}")
        image_ids, scores = archive["image_ids"], archive["scores"]
    if image_ids.dtype.kind != "U" or image_ids.ndim != 1:
        raise ValueError("image_ids has to be one row of text")
    if scores.ndim != 2 or scores.dtype.kind != "f" or len(scores) != len(image_ids):
        raise ValueError(
            f"scores has to be floating point, [{len(image_ids)}, classes], and is {scores.dtype} "
            f"{list(scores.shape)}"
        )
    if scores.shape[1] < 2:
        raise ValueError("scores is of fewer than two classes")
    beyond = [image for image in images if (image.class_id or 0) >= scores.shape[1]]
    if beyond:
        raise ValueError(
            f"scores is of {scores.shape[1]} classes, and class_labels.txt numbers that of "
            f"{beyond[0].image_id} {beyond[0].class_id}"
        )
    odd = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    problems += [f"scores of {image_ids[place]} hold NaN or infinity" for place in odd]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :GUESSES]  # of equal ones the first class
    places = [f"row {number}" for number in range(1, len(best) + 1)]
    return image_ids.tolist(), [tuple(map(int, row)) for row in best], places


def _mismatches(image_ids: Sequence[str], places: Sequence[str], known: set[str]) -> Iterator[str]:
    """Yield what rows and images have not in common."""
    seen: dict[str, str] = {}
    for image_id, place in zip(image_ids, places, strict=True):
        if image_id in seen:
            yield f"{place}: {image_id} stands twice, first in {seen[image_id]}"
        elif image_id not in known:
            yield f"{place}: {image_id} is not in image_ids.txt"
        seen.setdefault(image_id, place)
    yield from (f"{image_id} has no row" for image_id in sorted(known - seen.keys()))
