"""The layout of Kaggle's imagenet-object-localization-challenge: a tree below ILSVRC/.

Read as people have it: suffixes in any case, ``.jpg`` for ``.JPEG``, validation images sorted into
a folder a class, as torchvision wants them, and beside the images whatever else a disk collects.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from spg.data.fetch.ilsvrc.release import (
    CLASSES,
    TRAIN_IMAGE,
    TRAIN_IMAGES,
    VAL_IMAGE,
    VAL_IMAGES,
    WNID,
    Release,
)
from spg.data.fetch.ilsvrc.voc import Voc, parse_voc
from spg.data.layouts.ilsvrc import box_file
from spg.data.layouts.lines import read_lines, shown
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.raw import Place

DATA, BOXES = "ILSVRC/Data/CLS-LOC", "ILSVRC/Annotations/CLS-LOC"
TRAIN_LIST = "ILSVRC/ImageSets/CLS-LOC/train_cls.txt"
WORDS, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
WANTED = (f"{DATA}/train", f"{DATA}/val", f"{BOXES}/val", WORDS, SOLUTION)
SUFFIXES = (".jpeg", ".jpg")
NAMED = re.compile(r"ILSVRC2012_val_\d{8}")

log = logging.getLogger(__name__)


def read_tree(root: Path) -> Release:
    """Read the tree below ``root``.

    No checksum of its files is published, so it counts as complete when every class has images,
    every listed image is there, none is empty, and all 1,000 classes together have the published
    numbers of images.

    Raises:
        BadDataError: names everything that is missing or malformed and concerns no image alone.
    """
    missing = [f"{name}: no such file" for name in WANTED if not (root / name).exists()]
    if missing:
        raise BadDataError(root, missing, advice="Kaggle's layout has all of them")
    problems: list[str] = []
    words = _words(root / WORDS, problems)
    found = _Found(root)
    for wnid in tqdm(sorted(words), desc="list images", unit="class"):
        found.add_class(wnid, problems)
    found.add_validation()
    wnids, faults = _solution(root / SOLUTION, problems)
    bad = {
        **_missing(root, words, found, wnids, problems),
        **found.problems,
        **_unlike(found, wnids),
        **faults,
    }
    known = {*found.images, *wnids, *bad}
    trained = sum(image_id.startswith("train/") for image_id in known)
    counts = (trained, len(known) - trained)
    if len(words) == CLASSES and counts != (TRAIN_IMAGES, VAL_IMAGES):
        problems.append(
            f"{DATA}: has {counts[0]} training and {counts[1]} validation images instead of "
            f"{TRAIN_IMAGES} and {VAL_IMAGES}; with {TRAIN_LIST} beside it, missing ones are named"
        )
    if problems:
        raise BadDataError(root, problems)
    if found.ignored:
        log.info(
            "%s: ignored %d files that are no images of ILSVRC by their names, e.g. %s",
            root / DATA, len(found.ignored), found.ignored[0],
        )  # fmt: skip
    return Release(found.images, words, {k: w for k, (w, _) in wnids.items()},
                   partial(_voc, root, found.folders), bad)  # fmt: skip


class _Found:
    """The images of a tree as they lie there, by the names that they have in the release."""

    def __init__(self, root: Path) -> None:
        self.images: dict[str, Place] = {}
        self.problems: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        """The class folder of a validation image, where they are sorted."""
        self.ignored: list[str] = []
        self._data = root / DATA

    def add_class(self, wnid: str, problems: list[str]) -> None:
        """Add the training images of a class."""
        folder = f"train/{wnid}"
        if not (self._data / folder).is_dir():
            problems.append(f"{DATA}/{folder}: no such folder, but {WORDS} names the class")
            return
        before, ignored = len(self.images), len(self.ignored)
        for name, entry in self._entries(folder, TRAIN_IMAGE):
            image_id = f"{folder}/{name}"
            self._add(image_id, entry, folder)
            if not name.startswith(f"{wnid}_"):
                self.problems[image_id] = f"{DATA}/{image_id}: lies in the folder of another class"
        if len(self.images) == before:
            others = len(self.ignored) - ignored
            problems.append(
                f"{DATA}/{folder}: holds no image called {wnid}_NUMBER.JPEG, but {others} other "
                "files"
            )

    def add_validation(self) -> None:
        """Add the validation images, which may be sorted into a folder a class."""
        for folder in ("val", *self._class_folders()):
            for name, entry in self._entries(folder, VAL_IMAGE):
                self._add(f"val/{name}", entry, folder)
                if folder != "val":
                    self.folders[f"val/{name}"] = PurePosixPath(folder).name

    def _class_folders(self) -> list[str]:
        with os.scandir(self._data / "val") as entries:
            names = [e.name for e in entries if WNID.fullmatch(e.name) and e.is_dir()]
        return [f"val/{name}" for name in sorted(names)]

    def _entries(
        self, folder: str, pattern: re.Pattern[str]
    ) -> Iterator[tuple[str, os.DirEntry[str]]]:
        with os.scandir(self._data / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                stem, suffix = os.path.splitext(entry.name)
                name = f"{stem}.JPEG"
                if suffix.lower() in SUFFIXES and pattern.fullmatch(name):
                    yield name, entry
                elif entry.is_file():
                    self.ignored.append(f"{folder}/{entry.name}")

    def _add(self, image_id: str, entry: os.DirEntry[str], folder: str) -> None:
        file = f"{DATA}/{folder}/{entry.name}"
        if image_id in self.images:
            self.problems[image_id] = f"{file}: is there twice, also as {self.images[image_id][0]}"
            return
        if not entry.is_file():
            self.problems[image_id] = f"{file}: is no file, but a folder or a link to nothing"
            return
        size = entry.stat().st_size
        self.images[image_id] = Place(file, size, 0, size)
        if not size:
            self.problems[image_id] = f"{file}: empty file"


def _unlike(found: _Found, wnids: dict[str, tuple[str, int]]) -> dict[str, str]:
    """Return the sorted validation images whose folder is another class than the solution's."""
    return {
        image_id: f"{found.images[image_id].container}: {SOLUTION}:{wnids[image_id][1]} says class "
        f"{wnids[image_id][0]}"
        for image_id, folder in found.folders.items()
        if image_id in found.images and wnids.get(image_id, (folder, 0))[0] != folder
    }


def _missing(
    root: Path,
    words: dict[str, str],
    found: _Found,
    wnids: dict[str, tuple[str, int]],
    problems: list[str],
) -> dict[str, str]:
    """Return the images that a list names and no folder holds."""
    named = {image_id: f"{SOLUTION}:{line}" for image_id, (_, line) in wnids.items()}
    listed = root / TRAIN_LIST
    for number, line in read_lines(listed, problems) if listed.exists() else ():
        name = line.split()[0]  # copies without ImageSets/ are common
        if not TRAIN_IMAGE.fullmatch(f"{PurePosixPath(name).name}.JPEG"):
            problems.append(f"{TRAIN_LIST}:{number}: expected WNID/IMAGE NUMBER, got {shown(line)}")
        elif name.split("/")[0] in words:
            named[f"train/{name}.JPEG"] = f"{PurePosixPath(TRAIN_LIST).name}:{number}"
    return {
        image_id: f"{DATA}/{image_id}: no such file, but {place} names it"
        for image_id, place in named.items()
        if image_id not in found.images
    }


def _words(file: Path, problems: list[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for number, line in read_lines(file, problems):
        wnid, *name = line.split(maxsplit=1)
        if not WNID.fullmatch(wnid) or not name or wnid in words:
            problems.append(
                f"{file.name}:{number}: expected a new WordNet id, a blank and words, got "
                f"{shown(line)}"
            )
        else:
            words[wnid] = name[0]
    if not words:
        problems.append(f"{file.name}: names no class")
    return words


def _solution(file: Path, problems: list[str]) -> tuple[dict[str, tuple[str, int]], dict[str, str]]:
    """Return class and line of every validation image, and why others have none.

    The class is the first word of the prediction string.
    """
    wnids: dict[str, tuple[str, int]] = {}
    faults: dict[str, str] = {}
    for number, line in read_lines(file, problems):
        place = f"{file.name}:{number}"
        named = NAMED.search(line)
        image_id = f"val/{named[0]}.JPEG" if named else ""
        try:
            image, wnid = _columns(line)
            if number == 1 and (image, wnid) == ("ImageId", "PredictionString"):
                continue
            if not VAL_IMAGE.fullmatch(f"{image.removesuffix('.JPEG')}.JPEG"):
                raise ValueError(f"expected ImageId,PredictionString, got {shown(line)}")
            if image_id in wnids:
                raise ValueError(f"stands twice, first in line {wnids[image_id][1]}")
            if not WNID.fullmatch(wnid):
                raise ValueError(f"expected a WordNet id after the comma, got {shown(line)}")
            wnids[image_id] = (wnid, number)
        except ValueError as error:
            if image_id:
                faults[image_id] = f"{place}: {error}"
            else:
                problems.append(f"{place}: {error}")
    return wnids, faults


def _columns(line: str) -> tuple[str, str]:
    """Return the first column and the first word of the second."""
    try:
        (row,) = csv.reader([line], strict=True, skipinitialspace=True)
    except csv.Error as error:  # a quote that is not closed, a field too long
        raise ValueError(f"{error}, in {shown(line)}") from None
    if len(row) != 2:
        raise ValueError(f"expected two columns, separated by a comma, got {shown(line)}")
    return row[0].strip(), (row[1].split() or [""])[0]


def _voc(root: Path, folders: Mapping[str, str], image_id: str) -> Voc | None:
    """Return an image's box file, which may lie in a class folder as the image does."""
    path = PurePosixPath(box_file(image_id))
    sorted_path = path.parent / folders.get(image_id, "") / path.name
    for place in dict.fromkeys((path, sorted_path)):
        try:
            return parse_voc((root / BOXES / place).read_bytes())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ValueError(f"{error.strerror}") from None
    return None
