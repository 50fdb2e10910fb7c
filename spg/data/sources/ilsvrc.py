"""ILSVRC 2012 CLS-LOC, which asks for a login: verified and indexed where the user keeps it.

The folder that SPG_ILSVRC_ROOT names holds Kaggle's tree (a folder ILSVRC/) or image-net.org's
archives. Both give the same index; the images stay where they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from spg.data.datasets.ilsvrc import Source
from spg.data.fetch.ilsvrc import archives, kaggle
from spg.data.fetch.ilsvrc.release import Release
from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.annotations import Box
from spg.data.layouts.fullsup import copy_fullsup
from spg.data.layouts.ilsvrc import IndexRow, read_annotations, write_index
from spg.data.layouts.raw import ROOT_VARIABLE, data_root, read_place
from spg.project.errors import UserError
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

ADDRESS = "https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"
KAGGLE = "https://www.kaggle.com/c/imagenet-object-localization-challenge"


def fetch(
    workspace: Workspace,
    dataset: str,
    source: Source,
    *,
    md5: Mapping[str, str] = archives.MD5,
) -> None:
    """Verify the user's copy and write its index into the raw folder of ``dataset``.

    Args:
        workspace: the project.
        dataset: entry of ``datasets``.
        source: its entry there.
        md5: of the official archives; tests have smaller ones.
    """
    root = data_root()
    release = _read(root, md5)
    with whole_folder(workspace.raw(dataset)) as folder:
        progress = tqdm(_rows(root, release), "read boxes", len(release.images), unit="image")
        write_index(folder, progress, release.words)
        if source.fullsup == "wsolevaluation":
            copy_fullsup(folder, "ILSVRC")
            read_annotations(folder)


def _read(root: Path, md5: Mapping[str, str]) -> Release:
    if (root / "ILSVRC").is_dir():
        return kaggle.read_tree(root)
    if any((root / name).exists() for name in archives.WANTED):
        return archives.read_archives(root, md5)
    raise UserError(
        f"{ROOT_VARIABLE}: {root} holds neither a folder ILSVRC (ask for access at {KAGGLE}) nor "
        f"{', '.join(archives.WANTED)} (ask at {ADDRESS})"
    )


def _rows(root: Path, release: Release) -> Iterator[IndexRow]:
    trained = {_class_of(image_id) for image_id in release.images if _is_train(image_id)}
    absent = min(release.words.keys() ^ trained, default=None)
    if absent:
        raise UserError(f"{root}: class {absent} is not both named and in the training images")
    missing = min(release.val_wnids.keys() - release.images.keys(), default=None)
    if missing:
        raise UserError(f"{root}: {missing} has a class but no image; the data set is not complete")
    for image_id in sorted(release.images):
        place = release.images[image_id]
        if _is_train(image_id):
            wnid = _class_of(image_id)
            yield IndexRow(image_id, wnid, TRAIN_WEAKSUP, _train_boxes(release, image_id), place)
        else:
            wnid = release.val_wnids.get(image_id, "")
            if wnid not in release.words:
                raise UserError(f"{root}: {image_id} has no class among the training images")
            yield IndexRow(image_id, wnid, TEST, _val_boxes(root, release, image_id), place)


def _train_boxes(release: Release, image_id: str) -> tuple[Box, ...]:
    """Return what is usable: some box files of training images have boxes without area."""
    voc = release.boxes(image_id)
    boxes = voc.boxes(_class_of(image_id)) if voc else ()
    return tuple(box for box in boxes if box[0] < box[2] and box[1] < box[3])


def _val_boxes(root: Path, release: Release, image_id: str) -> tuple[Box, ...]:
    """Return the boxes of a validation image, every one of which counts in the results."""
    voc = release.boxes(image_id)
    if voc is None:
        raise UserError(f"{root}: {image_id} has no box file")
    stem = image_id.removeprefix("val/").removesuffix(".JPEG")
    size = _size(root, release, image_id)
    boxes = voc.boxes(release.val_wnids[image_id])
    problems = {
        f"names the image {voc.filename!r}": voc.filename.removesuffix(".JPEG") != stem,
        f"states size {voc.size}, but the image has {size}": voc.size != size,
        f"has no box of class {release.val_wnids[image_id]}": not boxes,
        "has a box without area": any(box[0] >= box[2] or box[1] >= box[3] for box in boxes),
    }
    for problem, holds in problems.items():
        if holds:
            raise UserError(f"{root}: the box file of {image_id} {problem}")
    return boxes


def _size(root: Path, release: Release, image_id: str) -> tuple[int, int]:
    content = read_place(root, release.images[image_id])
    try:
        return Image.open(io.BytesIO(content)).size  # of the header: nothing is decoded
    except OSError:
        raise UserError(f"{root}: {image_id} cannot be decoded as an image") from None


def _class_of(image_id: str) -> str:
    return image_id.split("/")[1]


def _is_train(image_id: str) -> bool:
    return image_id.startswith("train/")
