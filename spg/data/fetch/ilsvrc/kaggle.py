"""The layout of Kaggle's imagenet-object-localization-challenge: a tree below ILSVRC/."""

from __future__ import annotations

import csv
import os
import re
from functools import partial
from pathlib import Path

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
from spg.data.layouts.raw import Place
from spg.project.errors import UserError

DATA, BOXES = "ILSVRC/Data/CLS-LOC", "ILSVRC/Annotations/CLS-LOC"
TRAIN_LIST = "ILSVRC/ImageSets/CLS-LOC/train_cls.txt"
WORDS, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
WANTED = (f"{DATA}/train", f"{DATA}/val", f"{BOXES}/val", WORDS, SOLUTION)


def read_tree(root: Path) -> Release:
    """Read the tree below ``root``.

    No checksum of its files is published, so it counts as complete when every class has images,
    every listed image is there, none is empty, and all 1,000 classes together have the published
    numbers of images.

    Raises:
        UserError: names the file that is missing, malformed or contradicts another.
    """
    for name in WANTED:
        if not (root / name).exists():
            raise UserError(f"{root / name}: no such file, but Kaggle's layout has it")
    words = _words(root / WORDS)
    images: dict[str, Place] = {}
    for wnid in tqdm(sorted(words), desc="list images", unit="class"):
        images.update(_images(root, f"train/{wnid}", TRAIN_IMAGE))
    trained = len(images)
    images.update(_images(root, "val", VAL_IMAGE))
    _check_complete(root, images, len(words), trained)
    return Release(images, words, _solution(root / SOLUTION), partial(_voc, root))


def _images(root: Path, folder: str, pattern: re.Pattern[str]) -> dict[str, Place]:
    path = root / DATA / folder
    if not path.is_dir():
        raise UserError(f"{path}: no such folder, but {WORDS} names the class")
    found = {}
    for entry in os.scandir(path):
        if pattern.fullmatch(entry.name):
            size = entry.stat().st_size
            name = f"{folder}/{entry.name}"
            found[name] = Place(f"{DATA}/{name}", size, 0, size)
    for place in found.values():
        if place.size == 0:
            raise UserError(f"{root / place.container}: is empty; unpack the data set again")
    return found


def _check_complete(root: Path, images: dict[str, Place], classes: int, trained: int) -> None:
    listed = root / TRAIN_LIST
    if listed.exists():  # copies without ImageSets/ are common
        for line in _text(listed).splitlines():
            name = f"train/{line.split()[0]}.JPEG" if line.split() else None
            if name and name not in images:
                raise UserError(f"{root / DATA / name}: no such file, but {TRAIN_LIST} lists it")
    counts = (trained, len(images) - trained)
    if classes == CLASSES and counts != (TRAIN_IMAGES, VAL_IMAGES):
        raise UserError(
            f"{root / DATA}: has {counts[0]} training and {counts[1]} validation images instead "
            f"of {TRAIN_IMAGES} and {VAL_IMAGES}; unpack the data set again"
        )


def _words(file: Path) -> dict[str, str]:
    words = {}
    for number, line in enumerate(_text(file).splitlines(), start=1):
        wnid, _, name = line.strip().partition(" ")
        if not WNID.fullmatch(wnid) or not name or wnid in words:
            raise UserError(f"{file}:{number}: expected a new WordNet id and words, got {line!r}")
        words[wnid] = name
    return words


def _solution(file: Path) -> dict[str, str]:
    """Return the class of every validation image: the first word of its prediction string."""
    wnids = {}
    for number, row in enumerate(csv.reader(_text(file).splitlines()), start=1):
        if number == 1 and row == ["ImageId", "PredictionString"]:
            continue
        words = row[1].split() if len(row) == 2 else []
        if not words or not WNID.fullmatch(words[0]):
            raise UserError(f"{file}:{number}: expected ImageId,PredictionString, got {row}")
        wnids[f"val/{row[0]}.JPEG"] = words[0]
    return wnids


def _voc(root: Path, image_id: str) -> Voc | None:
    path = (root / BOXES / image_id).with_suffix(".xml")
    try:
        return parse_voc(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8") from None
