"""The official archives of ILSVRC 2012, read in place: no image is copied or unpacked.

The training archive is a tar of a tar for each class, the validation archive a flat tar; neither
is compressed, so an image is a stretch of bytes. The devkit has the validation images' classes, by
its own numbers, and the table from those numbers to WordNet ids.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from scipy.io import loadmat
from tqdm import tqdm

from spg.data.fetch.download import verify
from spg.data.fetch.ilsvrc.release import TRAIN_IMAGE, VAL_IMAGE, WNID, Release
from spg.data.fetch.ilsvrc.voc import Voc, parse_voc
from spg.data.fetch.unpack import DAMAGE, Limits, read_members
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.raw import Place
from spg.project.errors import UserError

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, VAL_BOXES = "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_bbox_val_v3.tgz"
TRAIN_BOXES = "ILSVRC2012_bbox_train_v2.tar.gz"
"""Used where it lies beside the others; only some training images have boxes."""
MD5 = {  # docs/sources.md 7; torchvision's table has the first three
    TRAIN: "1d675b47d978889d74fa0da5fadfb00e",
    VAL: "29b22e2961454d5413ddabcf34fc5622",
    DEVKIT: "fa75699e90414af021442c21a62c3abf",
    VAL_BOXES: "f4cd18b5ea29fe6bbea62ec9c20d80f0",
    TRAIN_BOXES: "9271167e2176350e65cfe4e546f14b17",
}
WANTED = (TRAIN, VAL, DEVKIT, VAL_BOXES)
LIMITS = Limits(bytes=8 << 30, members=2_000_000)  # of devkit and box archives
META, TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"


def read_archives(root: Path, md5: Mapping[str, str]) -> Release:
    """Verify and index the archives in ``root``.

    Args:
        root: the folder with the archives.
        md5: of each archive.

    Raises:
        UserError: names the archive that is missing, not the published one, or damaged.
    """
    missing = [f"{name}: no such file" for name in WANTED if not (root / name).exists()]
    if missing:
        raise BadDataError(root, missing, advice="the official release has all of them")
    boxed = [name for name in (VAL_BOXES, TRAIN_BOXES) if (root / name).exists()]
    for name in dict.fromkeys([*WANTED, *boxed]):
        verify(root / name, md5[name])
    wnids, words, truth = _devkit(root / DEVKIT)
    images = dict(tqdm(_train_images(root / TRAIN), desc=f"index {TRAIN}", unit="image"))
    validation = dict(tqdm(_val_images(root / VAL), desc=f"index {VAL}", unit="image"))
    if len(truth) != len(validation):
        raise UserError(
            f"{root / DEVKIT}: {TRUTH} has {len(truth)} lines for {len(validation)} images"
        )
    val_wnids = {
        image_id: wnids[number] for image_id, number in zip(sorted(validation), truth, strict=True)
    }
    boxes = {image_id: content for name in boxed for image_id, content in _boxes(root / name)}
    return Release(images | validation, words, val_wnids, partial(_voc, boxes), {})


def _train_images(archive: Path) -> Iterator[tuple[str, Place]]:
    size = archive.stat().st_size
    for name, start, _ in _stretches(archive, 0):
        wnid = name.removesuffix(".tar")
        if not WNID.fullmatch(wnid) or not name.endswith(".tar"):
            raise UserError(f"{archive}: expected one archive a class, got {name!r}")
        for image, offset, length in _stretches(archive, start):
            found = TRAIN_IMAGE.fullmatch(image)
            if not found or found[1] != wnid:
                raise UserError(f"{archive}: expected images of {wnid} in {name}, got {image!r}")
            yield f"train/{wnid}/{image}", Place(archive.name, size, offset, length)


def _val_images(archive: Path) -> Iterator[tuple[str, Place]]:
    size = archive.stat().st_size
    for image, offset, length in _stretches(archive, 0):
        if not VAL_IMAGE.fullmatch(image):
            raise UserError(f"{archive}: expected validation images, got {image!r}")
        yield f"val/{image}", Place(archive.name, size, offset, length)


def _stretches(archive: Path, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each file in the tar that begins at byte ``start``."""
    with archive.open("rb") as file:
        file.seek(start)
        try:
            with tarfile.open(fileobj=cast(IO[bytes], file), mode="r:") as tar:
                for member in tar:
                    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                        raise UserError(f"{archive}: {member.name!r} is no plain file")
                    yield member.name, member.offset_data, member.size
        except DAMAGE as error:
            raise UserError(f"{archive}: cannot be read ({error})") from None


def _devkit(archive: Path) -> tuple[dict[int, str], dict[str, str], list[int]]:
    """Return WordNet ids by devkit number, words by WordNet id, and the validation numbers."""
    wanted = {META, TRUTH}
    found = dict(read_members(archive, LIMITS, lambda name: _last(name, wanted)))
    if found.keys() != wanted:
        raise UserError(f"{archive}: lacks {min(wanted - found.keys())}")
    try:
        synsets = loadmat(io.BytesIO(found[META]), squeeze_me=True)["synsets"]
        # above the leaves of WordNet's tree, which are the classes, it has their ancestors
        leaves = [row for row in synsets if int(row["num_children"]) == 0]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in leaves}
        words = {str(row["WNID"]): str(row["words"]) for row in leaves}
        truth = [int(line) for line in found[TRUTH].split()]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"{archive}: {META} or {TRUTH} is malformed ({error})") from None
    unknown = set(truth) - set(wnids)
    if unknown:
        raise UserError(f"{archive}: {TRUTH} has class {min(unknown)}, which {META} lacks")
    return wnids, words, truth


def _boxes(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield image and content of each box file: val/NAME.xml, or WNID/WNID_NUMBER.xml."""
    for name, content in read_members(archive, LIMITS, _box_file):
        stem = PurePosixPath(name).stem
        train = TRAIN_IMAGE.fullmatch(f"{stem}.JPEG")
        folder = f"train/{train[1]}" if train else "val"
        yield f"{folder}/{stem}.JPEG", content


def _voc(boxes: Mapping[str, bytes], image_id: str) -> Voc | None:
    return parse_voc(boxes[image_id]) if image_id in boxes else None


def _box_file(name: str) -> str | None:
    return name if name.endswith(".xml") else None


def _last(name: str, wanted: set[str]) -> str | None:
    last = PurePosixPath(name).name
    return last if last in wanted else None
