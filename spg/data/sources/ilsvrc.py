"""ILSVRC 2012 CLS-LOC, which asks for a login: verified and indexed where the user keeps it.

The folder that SPG_ILSVRC_ROOT names holds Kaggle's tree (a folder ILSVRC/) or image-net.org's
archives. Both give the same index; the images stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from spg.data.fetch.ilsvrc import archives, kaggle
from spg.data.fetch.ilsvrc.release import Release
from spg.data.images.manifest import TEST, TRAIN_WEAKSUP
from spg.data.layouts.fullsup import Source, copy_fullsup
from spg.data.layouts.ilsvrc import IndexRow, box_file, write_index
from spg.data.layouts.imagenet_classes import devkit_wnids
from spg.data.layouts.lines import shown
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.raw import ROOT_VARIABLE, Place, data_root
from spg.project.errors import UserError
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

NOWHERE = Place("", 0, 0, 0)
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
    _check_classes(root, release)
    with whole_folder(workspace.raw(dataset)) as folder:
        progress = tqdm(_rows(release), "read boxes", len(release.images), unit="image")
        write_index(folder, progress, release.words)
        copy_fullsup(folder, "ILSVRC", source.fullsup)


def _read(root: Path, md5: Mapping[str, str]) -> Release:
    if (root / "ILSVRC").is_dir():
        return kaggle.read_tree(root)
    if any((root / name).exists() for name in archives.WANTED):
        return archives.read_archives(root, md5)
    raise UserError(
        f"{ROOT_VARIABLE}: {root} holds neither a folder ILSVRC (ask for access at {KAGGLE}) nor "
        f"{', '.join(archives.WANTED)} (ask at {ADDRESS})"
    )


def _check_classes(root: Path, release: Release) -> None:
    trained = {_class_of(image_id) for image_id in release.images if _is_train(image_id)}
    absent = sorted(release.words.keys() - trained)
    unnamed = sorted(trained - release.words.keys())
    problems = [f"class {wnid} has a name and no training image" for wnid in absent]
    problems += [f"class {wnid} has training images and no name" for wnid in unnamed]
    if problems:
        raise BadDataError(root, problems)


def _rows(release: Release) -> Iterator[IndexRow]:
    trained = {_class_of(image_id) for image_id in release.images if _is_train(image_id)}
    known = set(devkit_wnids())
    for image_id in sorted({*release.images, *release.val_wnids, *release.problems}):
        found = (_train_row if _is_train(image_id) else _val_row)(release, image_id)
        if found.wnid in trained:
            yield found
        elif found.wnid not in known:  # else it is of a class that the subset lacks
            why = f"no class {found.wnid} is known" if found.wnid else "has no class"
            yield found._replace(wnid="", problem=found.problem or f"{image_id}: {why}")


def _train_row(release: Release, image_id: str) -> IndexRow:
    """Return a training image's row, with the boxes that are usable: some have no area."""
    wnid, place = _class_of(image_id), release.images.get(image_id, NOWHERE)
    problem = release.problems.get(image_id)
    row = IndexRow(image_id, wnid, TRAIN_WEAKSUP, (), None, None, problem, None, place)
    try:
        voc = release.boxes(image_id)
    except ValueError as error:
        return row._replace(box_problem=f"{box_file(image_id)}: {error}")
    if voc is None:
        return row
    boxes = tuple(box for box in voc.boxes(wnid) if box[0] < box[2] and box[1] < box[3])
    return row._replace(boxes=boxes, stated_width=voc.size[0], stated_height=voc.size[1])


def _val_row(release: Release, image_id: str) -> IndexRow:
    """Return a validation image's row; every box of its class counts in the results."""
    wnid = release.val_wnids.get(image_id, "")
    place = release.images.get(image_id, NOWHERE)
    problem = release.problems.get(image_id)
    row = IndexRow(image_id, wnid, TEST, (), None, None, problem, None, place)
    file = box_file(image_id)
    try:
        voc = release.boxes(image_id)
    except ValueError as error:
        return row._replace(box_problem=f"{file}: {error}")
    if voc is None:
        return row._replace(box_problem=f"{file}: no such box file")
    row = row._replace(boxes=voc.boxes(wnid), stated_width=voc.size[0], stated_height=voc.size[1])
    if PurePosixPath(voc.filename).stem != PurePosixPath(image_id).stem:
        return row._replace(box_problem=f"{file}: names the image {shown(voc.filename)}")
    if not row.boxes:
        return row._replace(box_problem=f"{file}: has no box of class {wnid}")
    return row


def _class_of(image_id: str) -> str:
    return image_id.split("/")[1]


def _is_train(image_id: str) -> bool:
    return image_id.startswith("train/")
