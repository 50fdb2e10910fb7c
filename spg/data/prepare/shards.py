"""Packing: a shard is the unit of work, which any process may make, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from spg.data.images.decoding import BadImageError, decode_mask, encode_mask, of_shape, same_shape
from spg.data.images.manifest import spread
from spg.data.images.packed import ROWS_PER_SHARD, EncodedImage, shard_name, write_shard
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.raw import NoFileError, read_image, state_of
from spg.data.prepare.recode import recode
from spg.project.errors import UserError
from spg.project.files import read_json, whole_file, write_json
from spg.project.parallel import default_workers, in_order
from spg.project.schema.data import PrepareParams
from spg.project.workspace import Workspace

SAMPLE = 32


class Shard(NamedTuple):
    """What one process makes: some images, in order."""

    path: Path
    raw: Path
    images: Sequence[Annotation]
    short_side: int | None
    quality: int


class Report(NamedTuple):
    """What became of a shard's images; stored beside it."""

    state: str
    """Of the files that it was made from; another one when any of them was changed."""
    sizes: list[list[int]]
    """Width and height of each original; zeros for a bad one."""
    bad: dict[str, str]
    """Why an image cannot be packed, by its id."""
    masks: dict[str, str]
    """Why a mask cannot, by the image's id; the image is packed without it."""
    objectless: list[str]
    """Images whose masks have no pixel of an object."""
    full: list[str]
    """Images whose masks have no pixel of the background."""


class Packed(NamedTuple):
    """What became of all images."""

    sizes: NDArray[np.int64]
    """``int64 [N, 2]``: width and height of each original, pixels; zeros for a bad one."""
    bad: dict[str, str]
    masks: dict[str, str]
    objectless: set[str]
    full: set[str]

    def size(self, place: int) -> tuple[int, int]:
        """Return width and height of an image."""
        width, height = self.sizes[place].tolist()
        return width, height


def pack_shard(shard: Shard) -> Report:
    """Write one shard and its report, unless both are there and good, and return the report.

    Bad images keep their row, empty, so that all of them are found in one run.
    """
    done, state = shard.path.with_suffix(".json"), _state(shard)
    if done.exists() and shard.path.exists():
        earlier = Report(**read_json(done))
        if earlier.state == state:  # else something was mended since
            return earlier
    report = Report(state, [], {}, {}, [], [])
    with whole_file(shard.path) as temporary:
        write_shard(temporary, (_encoded(shard, item, report) for item in shard.images))
    write_json(done, report._asdict())
    return report


def _state(shard: Shard) -> str:
    digest = hashlib.sha256()
    for item in shard.images:
        for file in (
            item.file,
            item.object_mask,
            item.part_mask,
            *item.more_masks,
            item.ignore_mask,
        ):
            digest.update(repr(file and state_of(shard.raw, file)).encode())
    return digest.hexdigest()


def _encoded(shard: Shard, item: Annotation, report: Report) -> EncodedImage:
    """Return what is packed of one image; notes in ``report`` its size and what is bad."""
    try:
        content = read_image(shard.raw, item.file)
        image = recode(content, short_side=shard.short_side, quality=shard.quality)
    except (BadImageError, UserError) as error:
        report.bad[item.image_id] = _sentence(error, item.file, item.named_at)
        report.sizes.append([0, 0])
        return EncodedImage(b"", None, None)
    size = (image.width, image.height)
    report.sizes.append([*size])
    objects = _object(shard, item, size, report)
    part_mask = _mask(shard, item, item.part_mask, size, report)
    parts = None if part_mask is None else encode_mask(part_mask)
    return EncodedImage(image.encoded, objects, parts)


def _object(shard: Shard, item: Annotation, size: tuple[int, int], report: Report) -> bytes | None:
    """Return what is packed of the object's masks, if all of them are good: their union."""
    files = [item.object_mask, *item.more_masks]
    found = [_mask(shard, item, file, size, report) for file in files]
    instances = [mask for mask in found if mask is not None]
    ignored = _mask(shard, item, item.ignore_mask, size, report)
    if not instances or len(instances) < len(files) or item.image_id in report.masks:
        return None
    first = instances[0].shape
    mask = np.any([of_shape(mask, first) for mask in instances], axis=0)
    if not mask.any():
        report.objectless.append(item.image_id)
    if mask.all():
        report.full.append(item.image_id)
    return encode_mask(mask, None if ignored is None else of_shape(ignored, first))


def _mask(
    shard: Shard, item: Annotation, file: str | None, size: tuple[int, int], report: Report
) -> NDArray[np.bool_] | None:
    """Return a mask of an image of ``size``, if there is a good one; notes if it is bad."""
    if file is None:
        return None
    try:
        mask = decode_mask(read_image(shard.raw, file))
        found = (mask.shape[1], mask.shape[0])
        fits = same_shape(found, size) if item.masks_may_be_smaller else found == size
        if not fits:
            raise BadImageError(
                f"a mask of {found[0]} x {found[1]} pixels; the image has {size[0]} x {size[1]}"
            )
    except (BadImageError, UserError) as error:
        report.masks[item.image_id] = _sentence(error, file, "")
        return None
    return mask


def _sentence(error: Exception, file: str, named_at: str) -> str:
    reason = str(error).removeprefix(f"{file}: ")
    by = f", and {named_at} names it" if named_at and isinstance(error, NoFileError) else ""
    return f"{file}: {reason}{by}"


def shards_of(
    work: Path, raw: Path, images: list[Annotation], rule: PrepareParams
) -> Iterator[Shard]:
    """Yield what there is to pack, `ROWS_PER_SHARD` images at a time, in order."""
    for number, start in enumerate(range(0, len(images), ROWS_PER_SHARD)):
        own = images[start : start + ROWS_PER_SHARD]
        yield Shard(work / shard_name(number), raw, own, rule.short_side, rule.quality)


def bytes_left(shards: Sequence[Shard]) -> float:
    """Return about how many bytes are still to be packed, from `SAMPLE` images packed for it.

    Whole shards that lie there already are left out; bad images count nothing.
    """
    left = [shard for shard in shards if not shard.path.exists()]
    waiting = [(shard, item) for shard in left for item in shard.images]
    if not waiting:
        return 0.0
    report, found = Report("", [], {}, {}, [], []), []
    for place in spread(np.arange(len(waiting)), SAMPLE):
        shard, item = waiting[place]
        image, *masks = _encoded(shard, item, report)
        found.append(len(image) + sum(len(mask) for mask in masks if mask is not None))
    return len(waiting) * float(np.median(found))  # one huge image among them says little of all


def pack_all(shards: list[Shard], images: int) -> Packed:
    """Pack all shards in several processes; return what became of the images, in order."""
    workers = min(default_workers(), len(shards))
    sizes = [np.zeros((0, 2), dtype=np.int64)]
    whole = Packed(sizes[0], {}, {}, set(), set())
    with tqdm(total=images, desc="pack images", unit="image") as progress:
        for report in in_order(pack_shard, shards, workers=workers):
            progress.update(len(report.sizes))
            sizes.append(np.array(report.sizes, dtype=np.int64).reshape(-1, 2))
            whole.bad.update(report.bad)
            whole.masks.update(report.masks)
            whole.objectless.update(report.objectless)
            whole.full.update(report.full)
    return whole._replace(sizes=np.concatenate(sizes))


def work_folder(
    workspace: Workspace, dataset: str, raw: Path, images: list[Annotation], rule: PrepareParams
) -> Path:
    """Return where shards gather; another one when anything that they hold has changed."""
    state = raw.stat()
    facts = (rule.short_side, rule.quality, ROWS_PER_SHARD, state.st_ino, state.st_mtime_ns)
    digest = hashlib.sha256(repr(facts).encode())
    for item in images:
        digest.update(repr(item).encode())
    folder = workspace.scratch / f"prepare-{dataset}-{digest.hexdigest()[:16]}"
    for other in workspace.scratch.glob(f"prepare-{dataset}-*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
