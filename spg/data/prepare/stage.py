"""Raw data -> packed images and manifest.parquet.

A shard is the unit of work: any process may make any shard, whole or not at all, so that the
result does not depend on their number and an interrupted run goes on after its last whole shard.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from spg.data.datasets import cub, ilsvrc
from spg.data.datasets.annotations import Annotation, Box
from spg.data.datasets.raw import read_image
from spg.data.images.manifest import SCHEMA, write_manifest
from spg.data.images.packed import ROWS_PER_SHARD, EncodedImage, shard_name, write_shard
from spg.data.prepare.recode import BadImageError, recode
from spg.data.prepare.splits import split_images
from spg.project.errors import UserError
from spg.project.files import read_json, whole_file, whole_folder, write_json, write_text
from spg.project.locks import sole_writer
from spg.project.parallel import default_workers, in_order
from spg.project.params import Params
from spg.project.schema import PrepareParams
from spg.project.workspace import Workspace

READERS = {
    "synthetic_birds": cub.read_annotations,  # drawn in CUB's layout
    "cub": cub.read_annotations,
    "ilsvrc": ilsvrc.read_annotations,
}
NAMED = 20  # bad images in the message; a file holds them all


class Shard(NamedTuple):
    """What one process makes: some images, in order."""

    path: Path
    raw: Path
    images: Sequence[Annotation]
    short_side: int | None
    quality: int


class Report(NamedTuple):
    """What became of a shard's images; stored beside it."""

    sizes: list[list[int]]
    """Width and height of each original; zeros for a bad one."""
    bad: dict[str, str]
    """What is wrong, by image id."""


@sole_writer(Workspace.packed)
def prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Pack the raw data of ``dataset`` and split its images.

    Raises:
        UserError: names every image that cannot be packed and every box outside its image.
    """
    raw, rule = workspace.raw(dataset), params.datasets[dataset].prepare
    annotations = READERS[params.datasets[dataset].source.kind](raw)
    kept = [item for item in annotations if item.image_id not in set(rule.skip)]
    _check_skips(annotations, kept, rule, dataset)
    splits = split_images(
        kept, per_class=rule.holdout_per_class, taken_from=rule.holdout_from, seed=rule.seed
    )
    work = _work_folder(workspace, dataset, raw, kept, rule)
    shards = list(_shards(work, raw, kept, rule))
    bad: dict[str, str] = {}
    tables = []  # columns of a shard at a time: rows as Python objects would take far more memory
    for number, report in enumerate(_run(shards, len(kept))):
        bad |= report.bad
        first = number * ROWS_PER_SHARD
        own = splits[first : first + len(report.sizes)]
        tables.append(_table(shards[number].images, own, report.sizes, bad))
    if bad:
        raise UserError(_complaint(bad, work / "bad_images.txt"))
    with whole_folder(workspace.packed(dataset)) as folder:
        write_manifest(folder / "manifest.parquet", pa.concat_tables(tables).combine_chunks())
        if rule.skip:
            write_text(folder / "skipped.txt", "\n".join(sorted(rule.skip)) + "\n")
        for shard in shards:
            shard.path.replace(folder / shard.path.name)
    shutil.rmtree(work)


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


def _work_folder(
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


def _shards(
    work: Path, raw: Path, images: list[Annotation], rule: PrepareParams
) -> Iterator[Shard]:
    for number, start in enumerate(range(0, len(images), ROWS_PER_SHARD)):
        own = images[start : start + ROWS_PER_SHARD]
        yield Shard(work / shard_name(number), raw, own, rule.short_side, rule.quality)


def _run(shards: list[Shard], images: int) -> Iterator[Report]:
    workers = min(default_workers(), len(shards))
    with tqdm(total=images, desc="pack images", unit="image") as progress:
        for report in in_order(pack_shard, shards, workers=workers):
            progress.update(len(report.sizes))
            yield report


def _clipped(item: Annotation, size: list[int], bad: dict[str, str]) -> list[Box]:
    """Return the boxes cut at the image's border; notes a box of which nothing is left."""
    if item.image_id in bad or not item.boxes:
        return []
    edges = np.array([*size, *size], dtype=np.float64)
    boxes = np.clip(np.array(item.boxes, dtype=np.float64), 0, edges)
    for box, original in zip(boxes, item.boxes, strict=True):
        if not (box[0] < box[2] and box[1] < box[3]):
            corners = ", ".join(f"{value:g}" for value in original)
            bad[item.image_id] = f"the box {corners} lies outside its {size[0]} x {size[1]} pixels"
    return [tuple(box) for box in boxes.tolist()]


def _table(
    images: Sequence[Annotation], splits: list[str], sizes: list[list[int]], bad: dict[str, str]
) -> pa.Table:
    """Return the rows of some images; notes in ``bad`` whose box lies outside."""
    columns = {
        "image_id": [item.image_id for item in images],
        "class_id": [item.class_id for item in images],
        "class_name": [item.class_name for item in images],
        "split": splits,
        "width": [width for width, _ in sizes],
        "height": [height for _, height in sizes],
        "boxes": [_clipped(item, size, bad) for item, size in zip(images, sizes, strict=True)],
    }
    return pa.table(columns, schema=SCHEMA)


def _check_skips(
    annotations: list[Annotation], kept: list[Annotation], rule: PrepareParams, dataset: str
) -> None:
    if len(annotations) - len(kept) != len(set(rule.skip)):
        known = {item.image_id for item in annotations}
        unknown = sorted(set(rule.skip) - known)[0]
        raise UserError(
            f"params.yaml: datasets.{dataset}.prepare.skip: {dataset} has no image {unknown!r}"
        )


def _complaint(bad: dict[str, str], path: Path) -> str:
    lines = [f"{image}: {why}" for image, why in bad.items()]
    write_text(path, "\n".join(lines) + "\n")
    more = f"; and {len(lines) - NAMED} more, all in {path}" if len(lines) > NAMED else ""
    return (
        f"{len(lines)} images cannot be packed; mend them, or leave them out by prepare.skip: "
        f"{'; '.join(lines[:NAMED])}{more}"
    )
