"""A data set's own ``train_fullsup``, as wsolevaluation gives it to CUB and ILSVRC.

CUBV2 and ImageNetV2 are other images of the same classes, with boxes: thresholds chosen on them
cost neither training nor test images (docs/sources.md 7). ``train_fullsup/`` of a raw folder holds
one split of wsolevaluation's metadata and, in ``images/``, its images.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from spg.data.images.manifest import TRAIN_FULLSUP
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.wsol_metadata import read_metadata
from spg.project.errors import UserError

ROOT_VARIABLE = "SPG_WSOLEVALUATION"
FOLDER = "train_fullsup"
TABLES = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")


def copy_fullsup(raw: Path, name: str) -> None:
    """Copy the split from the user's copy of wsolevaluation into the raw folder being made.

    Args:
        raw: the folder; gets ``train_fullsup/``.
        name: the data set's folder there, ``CUB`` or ``ILSVRC``: ``metadata/NAME/val`` and
            ``dataset/NAME`` below the folder that SPG_WSOLEVALUATION names.

    Raises:
        UserError: when the folder is not named, or an image is missing or has another size.
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
        try:
            with Image.open(source) as image:
                size = image.size
        except FileNotFoundError:
            raise UserError(f"{source}: no such file, but {metadata} names it") from None
        except OSError:
            raise UserError(f"{source}: cannot be decoded as an image") from None
        if item.size not in (None, size):
            raise UserError(f"{source}: has {size} pixels, but {metadata} states {item.size}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for table in TABLES:
        shutil.copyfile(metadata / table, raw / FOLDER / table)


def read_fullsup(root: Path, class_names: list[str]) -> list[Annotation]:
    """Return the images of ``train_fullsup/``, none where there is no such folder.

    Boxes are taken as half-open, as the metadata of CUB's test split states them (x + width).

    Args:
        root: the raw folder.
        class_names: by class id; wsolevaluation numbers classes as the readers here do.
    """
    folder = root / FOLDER
    if not folder.exists():
        return []
    found = []
    for item in read_metadata(folder):
        if item.class_id is None or not 0 <= item.class_id < len(class_names):
            raise UserError(f"{folder / 'class_labels.txt'}: no class for {item.image_id}")
        if not item.boxes:
            raise UserError(f"{folder / 'localization.txt'}: no box for {item.image_id}")
        file = f"{FOLDER}/images/{item.image_id}"
        found.append(
            Annotation(
                item.image_id, file, item.class_id, class_names[item.class_id], TRAIN_FULLSUP,
                item.boxes, None, None,
            )
        )  # fmt: skip
    return found
