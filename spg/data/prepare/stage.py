"""Stage ``prepare``: raw data -> packed images and manifest.parquet.

Any process may make any shard, so that the result does not depend on their number, and an
interrupted run goes on after its last whole shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from spg.data.images.manifest import SCHEMA, write_manifest
from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.spec import spec_of
from spg.data.prepare.shards import pack_all, shards_of, work_folder
from spg.data.prepare.splits import split_images
from spg.project.errors import UserError
from spg.project.files import whole_folder, write_text
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.schema import PrepareParams
from spg.project.workspace import Workspace

NAMED = 20  # bad images in the message; a file holds them all


@sole_writer(Workspace.packed)
def prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Pack the raw data of ``dataset`` and split its images.

    Raises:
        UserError: names every image that cannot be packed and every box outside its image.
    """
    raw, rule = workspace.raw(dataset), params.datasets[dataset].prepare
    annotations = spec_of(dataset, params.datasets[dataset].source).read(raw)
    kept = [item for item in annotations if item.image_id not in set(rule.skip)]
    _check_skips(annotations, kept, rule, dataset)
    splits = split_images(
        kept, per_class=rule.holdout_per_class, taken_from=rule.holdout_from, seed=rule.seed
    )
    work = work_folder(workspace, dataset, raw, kept, rule)
    shards = list(shards_of(work, raw, kept, rule))
    bad: dict[str, str] = {}
    tables = []  # columns of a shard at a time: rows as Python objects would take far more memory
    for number, report in enumerate(pack_all(shards, len(kept))):
        bad |= report.bad
        shard = shards[number]
        own = splits[shard.first : shard.first + len(report.sizes)]
        tables.append(_table(shard.images, own, report.sizes, bad))
    if bad:
        raise UserError(_complaint(bad, work / "bad_images.txt"))
    with whole_folder(workspace.packed(dataset)) as folder:
        write_manifest(folder / "manifest.parquet", pa.concat_tables(tables).combine_chunks())
        if rule.skip:
            write_text(folder / "skipped.txt", "\n".join(sorted(rule.skip)) + "\n")
        for shard in shards:
            shard.path.replace(folder / shard.path.name)
    shutil.rmtree(work)


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
