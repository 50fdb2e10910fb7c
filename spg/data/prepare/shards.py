"""Packing: a shard is the unit of work, which any process may make, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from spg.data.images.packed import ROWS_PER_SHARD, EncodedImage, shard_name, write_shard
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.raw import read_image
from spg.data.prepare.recode import BadImageError, recode
from spg.project.files import read_json, whole_file, write_json
from spg.project.parallel import default_workers, in_order
from spg.project.schema import PrepareParams
from spg.project.workspace import Workspace


class Shard(NamedTuple):
    """What one process makes: some images, in order."""

    path: Path
    raw: Path
    first: int
    """Place of its first image among all."""
    images: Sequence[Annotation]
    short_side: int | None
    quality: int


class Report(NamedTuple):
    """What became of a shard's images; stored beside it."""

    sizes: list[list[int]]
    """Width and height of each original; zeros for a bad one."""
    bad: dict[str, str]
    """What is wrong, by image id."""


def pack_shard(shard: Shard) -> Report:
    """Write one shard and its report, unless both are there and good, and return the report.

    Bad images keep their row, empty, so that all of them are found in one run.
    """
    done = shard.path.with_suffix(".json")
    if done.exists() and shard.path.exists():
        earlier = Report(**read_json(done))
        if not earlier.bad:  # a bad image may have been mended since
            return earlier
    report = Report([], {})
    with whole_file(shard.path) as temporary:
        write_shard(temporary, _encoded(shard, report))
    write_json(done, report._asdict())
    return report


def _encoded(shard: Shard, report: Report) -> Iterator[EncodedImage]:
    for item in shard.images:
        try:
            image = recode(
                read_image(shard.raw, item.file),
                short_side=shard.short_side,
                quality=shard.quality,
            )
        except BadImageError as error:
            report.bad[item.image_id] = str(error)
            report.sizes.append([0, 0])
            yield EncodedImage(b"", None, None)
            continue
        report.sizes.append([image.width, image.height])
        masks = (
            None if mask is None else read_image(shard.raw, mask)
            for mask in (item.object_mask, item.part_mask)
        )
        yield EncodedImage(image.encoded, *masks)


def shards_of(
    work: Path, raw: Path, images: list[Annotation], rule: PrepareParams
) -> Iterator[Shard]:
    """Yield what there is to pack, `ROWS_PER_SHARD` images at a time, in order."""
    for number, start in enumerate(range(0, len(images), ROWS_PER_SHARD)):
        own = images[start : start + ROWS_PER_SHARD]
        yield Shard(work / shard_name(number), raw, start, own, rule.short_side, rule.quality)


def pack_all(shards: list[Shard], images: int) -> Iterator[Report]:
    """Pack all shards in several processes; yield their reports in order."""
    workers = min(default_workers(), len(shards))
    with tqdm(total=images, desc="pack images", unit="image") as progress:
        for report in in_order(pack_shard, shards, workers=workers):
            progress.update(len(report.sizes))
            yield report


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
