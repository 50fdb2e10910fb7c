"""OpenImages30k: three splits of wsolevaluation's metadata, masks and no boxes (docs/sources.md 7).

A raw folder has ``metadata/SPLIT/`` with the four tables of each split and ``dataset/`` with images
and masks by the paths that these name. Several masks of an image are instances of its object, and
what its ignore mask has besides is left out (PROTOCOL 18).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP
from spg.data.layouts.annotations import UNKNOWN, Annotation
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.wsol_metadata import WsolImage, read_metadata

METADATA, DATA = "metadata", "dataset"
SPLITS = {"train": TRAIN_WEAKSUP, "val": TRAIN_FULLSUP, "test": TEST}
"""wsolevaluation's names of the splits."""


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, training before held-out before test.

    Args:
        root: the raw folder.

    Raises:
        BadDataError: see `read_splits`.
    """
    return read_splits(root / METADATA)


def read_splits(folder: Path) -> list[Annotation]:
    """Read the annotations of all images from a folder with a folder of tables for each split.

    Args:
        folder: ``metadata/`` of a raw folder, or ``metadata/OpenImages`` of wsolevaluation.

    Raises:
        BadDataError: names every file and line that is missing, malformed or contradicts another.
    """
    found, problems = [], []
    for split in SPLITS:
        try:
            items = read_metadata(folder / split)
        except BadDataError as error:
            problems += [f"{split}/{problem}" for problem in error.problems]
            continue
        problems += _gaps(items, split)
        found += [_annotation(item, split) for item in items]
    if problems:
        raise BadDataError(folder, problems)
    return found


def _gaps(items: list[WsolImage], split: str) -> Iterator[str]:
    """Yield what a table lacks altogether: an empty one is read as one that says nothing."""
    if all(item.class_id is None for item in items):
        yield f"{split}/class_labels.txt: is empty"
    if SPLITS[split] != TRAIN_WEAKSUP and not any(item.masks for item in items):
        yield f"{split}/localization.txt: names no mask"


def _annotation(item: WsolImage, split: str) -> Annotation:
    masks = [f"{DATA}/{mask}" for mask in item.masks]
    known = item.class_id is not None and item.class_id >= 0
    return Annotation(
        item.image_id,
        f"{DATA}/{item.image_id}",
        item.class_id if known and item.class_id is not None else UNKNOWN,
        PurePosixPath(item.image_id).parent.name,  # OpenImages' name of the class, e.g. 0bt_c3
        SPLITS[split],
        (),
        object_mask=masks[0] if masks else None,
        part_mask=None,
        stated_size=item.size,
        named_at=f"{METADATA}/{split}/image_ids.txt",
        problem=None if known else f"{METADATA}/{split}/class_labels.txt: says no class",
        boxes_wanted=False,
        more_masks=tuple(masks[1:]),
        ignore_mask=f"{DATA}/{item.ignore}" if item.ignore else None,
        masks_may_be_smaller=True,
    )
