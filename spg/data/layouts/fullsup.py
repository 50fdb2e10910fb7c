"""A data set's own ``train_fullsup``, as wsolevaluation gives it to CUB and ILSVRC.

CUBV2 and ImageNetV2 are other images of the same classes, with boxes: thresholds chosen on them
cost neither training nor test images (docs/sources.md 7). ``train_fullsup/`` of a raw folder holds
one split of wsolevaluation's metadata and, in ``images/``, its images; ``pseudo/`` below it the
same split again, with boxes that someone proposes, e.g. those of region proposals that Murtaza et
al. publish (WACV 2025, arXiv:2404.10034; PROTOCOL 10).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from spg.data.images.manifest import TRAIN_FULLSUP
from spg.data.layouts.annotations import UNKNOWN, Annotation, Box
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.wsol_metadata import TABLES, WsolImage, read_metadata
from spg.project.errors import UserError
from spg.project.schema.kinds import Strict

ROOT_VARIABLE = "SPG_WSOLEVALUATION"
PSEUDO_VARIABLE = "SPG_PSEUDO_BOXES"
FOLDER, PSEUDO = "train_fullsup", "pseudo"

Fullsup = Literal["none", "wsolevaluation", "pseudo"]
"""``source.fullsup``: no images of their own, wsolevaluation's, or those with pseudo-boxes too."""


class Source(Strict):
    """What CUB and ILSVRC may choose; addresses and checksums are facts of spg/data/sources."""

    fullsup: Fullsup


def copy_fullsup(raw: Path, name: str, fullsup: Fullsup) -> None:
    """Copy the split from the user's copy of wsolevaluation into the raw folder being made.

    An image that is not there is left to ``prepare``, which lists it with all others.

    Args:
        raw: the folder; gets ``train_fullsup/``, unless ``fullsup`` is none.
        name: the data set's folder there, ``CUB`` or ``ILSVRC``: ``metadata/NAME/val`` and
            ``dataset/NAME`` below the folder that SPG_WSOLEVALUATION names.
        fullsup: ``pseudo`` takes the split's metadata in the folder SPG_PSEUDO_BOXES, too.

    Raises:
        UserError: when a folder is not named, or its metadata cannot be read.
    """
    if fullsup == "none":
        return
    root = wsolevaluation(f"source.fullsup {fullsup}")
    metadata, images = root / "metadata" / name / "val", root / "dataset" / name
    for item in tqdm(read_metadata(metadata), desc="copy train_fullsup", unit="image"):
        source, target = images / item.image_id, raw / FOLDER / "images" / item.image_id
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for table in TABLES:
        shutil.copyfile(metadata / table, raw / FOLDER / table)
    if fullsup == "pseudo":
        wanted_by = f"source.fullsup {fullsup}"
        proposed = _named(PSEUDO_VARIABLE, wanted_by, "a folder with the same four tables")
        read_metadata(proposed)
        (raw / FOLDER / PSEUDO).mkdir()
        for table in TABLES:
            shutil.copyfile(proposed / table, raw / FOLDER / PSEUDO / table)


def wsolevaluation(wanted_by: str) -> Path:
    """Return the folder that SPG_WSOLEVALUATION names.

    Args:
        wanted_by: the setting that needs it, for the sentence.

    Raises:
        UserError: when it names none.
    """
    return _named(ROOT_VARIABLE, wanted_by, "the folder with its metadata/ and dataset/")


def _named(variable: str, wanted_by: str, what: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        raise UserError(
            f"the environment variable {variable} is not set; {wanted_by} wants {what} "
            "(README, Real data sets)"
        )
    return Path(folder)


def read_fullsup(
    root: Path, classes: Mapping[int, tuple[int, str]], published: int, problems: list[str]
) -> list[Annotation]:
    """Return the images of ``train_fullsup/``, none where there is no such folder.

    Boxes are taken as half-open, as the metadata of CUB's test split states them (x + width).
    Images of published classes that the data set lacks are left out: it is a subset.

    Args:
        root: the raw folder.
        classes: id and name of the data set's classes by wsolevaluation's numbers.
        published: how many classes wsolevaluation's data set has.
        problems: gets what is wrong with the metadata as a whole.
    """
    folder = root / FOLDER
    if not folder.exists():
        return []
    try:
        items = read_metadata(folder)
    except BadDataError as error:
        problems += [f"{FOLDER}/{problem}" for problem in error.problems]
        return []
    pseudo = _pseudo_boxes(folder, items, problems)
    found = []
    for item in items:
        if item.class_id is not None and item.class_id in range(published):
            if item.class_id not in classes:
                continue
            (class_id, name), problem = classes[item.class_id], None
        else:
            (class_id, name), problem = (
                (UNKNOWN, ""),
                (f"{FOLDER}/class_labels.txt: {item.class_id} is no class of it"),
            )
        found.append(
            Annotation(
                item.image_id, f"{FOLDER}/images/{item.image_id}", class_id, name, TRAIN_FULLSUP,
                item.boxes, None, None, stated_size=item.size,
                named_at=f"{FOLDER}/image_ids.txt",
                boxes_at=f"{FOLDER}/localization.txt, image_sizes.txt", problem=problem,
                pseudo_boxes=pseudo.get(item.image_id, ()),
                pseudo_at=f"{FOLDER}/{PSEUDO}/localization.txt",
            )
        )  # fmt: skip
    return found


def _pseudo_boxes(
    folder: Path, items: Sequence[WsolImage], problems: list[str]
) -> dict[str, tuple[Box, ...]]:
    """Return the boxes that someone proposes by image: of every image, or of none.

    Args:
        folder: ``train_fullsup/``.
        items: its images.
        problems: gets an image that lacks a proposal, or is none of these.
    """
    if not (folder / PSEUDO).exists():
        return {}
    try:
        proposed = {item.image_id: item for item in read_metadata(folder / PSEUDO)}
    except BadDataError as error:
        problems += [f"{FOLDER}/{PSEUDO}/{problem}" for problem in error.problems]
        return {}
    known, where = {item.image_id: item for item in items}, f"{FOLDER}/{PSEUDO}"
    found = [
        f"localization.txt: {name} is no image of {FOLDER}" for name in proposed.keys() - known
    ]
    for name, item in known.items():
        other = proposed.get(name)
        if other is None or not other.boxes:
            found.append(f"localization.txt: has no box of {name}")
            continue
        for file, ours, theirs in (
            ("image_sizes.txt", item.size, other.size),
            ("class_labels.txt", item.class_id, other.class_id),
        ):
            if None not in (ours, theirs) and ours != theirs:
                found.append(f"{file}: {name} is {theirs} here and {ours} in {FOLDER}")
    problems += [f"{where}/{sentence}" for sentence in sorted(found)]
    return {name: item.boxes for name, item in proposed.items()}
