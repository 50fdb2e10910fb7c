"""A data set's own ``train_fullsup``, as wsolevaluation gives it to CUB and ILSVRC.

CUBV2 and ImageNetV2 are other images of the same classes, with boxes: thresholds chosen on them
cost neither training nor test images (docs/sources.md 7). ``train_fullsup/`` of a raw folder holds
one split of wsolevaluation's metadata and, in ``images/``, its images.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from spg.data.images.manifest import TRAIN_FULLSUP
from spg.data.layouts.annotations import UNKNOWN, Annotation
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.wsol_metadata import TABLES, read_metadata
from spg.project.errors import UserError

ROOT_VARIABLE = "SPG_WSOLEVALUATION"
FOLDER = "train_fullsup"


def copy_fullsup(raw: Path, name: str) -> None:
    """Copy the split from the user's copy of wsolevaluation into the raw folder being made.

    An image that is not there is left to ``prepare``, which lists it with all others.

    Args:
        raw: the folder; gets ``train_fullsup/``.
        name: the data set's folder there, ``CUB`` or ``ILSVRC``: ``metadata/NAME/val`` and
            ``dataset/NAME`` below the folder that SPG_WSOLEVALUATION names.

    Raises:
        UserError: when the folder is not named, or its metadata cannot be read.
    """
    root = os.environ.get(ROOT_VARIABLE)
    if not root:
        raise UserError(
            f"the environment variable {ROOT_VARIABLE} is not set; source.fullsup wsolevaluation "
            "wants the folder with its metadata/ and dataset/ (README, Real data sets)"
        )
    metadata, images = Path(root, "metadata", name, "val"), Path(root, "dataset", name)
    for item in tqdm(read_metadata(metadata), desc="copy train_fullsup", unit="image"):
        source, target = images / item.image_id, raw / FOLDER / "images" / item.image_id
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for table in TABLES:
        shutil.copyfile(metadata / table, raw / FOLDER / table)


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
            )
        )  # fmt: skip
    return found
