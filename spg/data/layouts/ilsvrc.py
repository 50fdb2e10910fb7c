"""The index of ILSVRC 2012 CLS-LOC that ``fetch`` leaves, and its reader.

``index.parquet`` has a row an image: class, split, boxes, and where below SPG_ILSVRC_ROOT its bytes
lie (:mod:`spg.data.layouts.raw`). ``synsets.json`` has the words of each class.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spg.data.layouts.annotations import UNKNOWN, Annotation, Box
from spg.data.layouts.fullsup import read_fullsup
from spg.data.layouts.imagenet_classes import CLASSES, sorted_wnids
from spg.data.layouts.problems import BadDataError
from spg.data.layouts.raw import INDEX, Place
from spg.project.files import readable, whole_file, write_json

WORDS = "synsets.json"
SCHEMA = pa.schema(
    {
        "image_id": pa.string(),  # train/WNID/NAME.JPEG or val/NAME.JPEG, sorted
        "wnid": pa.string(),  # WordNet's id of the class, e.g. n01440764; empty where unknown
        "split": pa.string(),
        "boxes": pa.list_(pa.list_(pa.float64(), 4)),  # xyxy, half-open
        "stated_width": pa.int64(),  # by the box file, pixels; null where there is none
        "stated_height": pa.int64(),
        "problem": pa.string(),  # why the image cannot be used, or null
        "box_problem": pa.string(),  # why its boxes cannot, or null
        "container": pa.string(),
        "container_size": pa.int64(),
        "offset": pa.int64(),
        "size": pa.int64(),
    }
)
ROWS_PER_BATCH = 1 << 16
_READ = ("image_id", "wnid", "split", "boxes", "stated_width", "stated_height", "problem",
         "box_problem")  # fmt: skip


class IndexRow(NamedTuple):
    """One image."""

    image_id: str
    wnid: str
    split: str
    boxes: tuple[Box, ...]
    stated_width: int | None
    stated_height: int | None
    problem: str | None
    box_problem: str | None
    place: Place


def write_index(folder: Path, rows: Iterable[IndexRow], words: dict[str, str]) -> None:
    """Write the index; ``rows`` are sorted by ``image_id``."""
    with whole_file(folder / INDEX) as path, pq.ParquetWriter(path, SCHEMA) as writer:
        batch: list[dict[str, object]] = []
        for row in rows:
            batch.append({**row._asdict(), **row.place._asdict()})
            if len(batch) == ROWS_PER_BATCH:
                writer.write_batch(_batch(batch))
                batch = []
        writer.write_batch(_batch(batch))
    write_json(folder / WORDS, words)


def read_annotations(root: Path) -> list[Annotation]:
    """Read the annotations of all images, training before validation, each sorted by name.

    Classes are those present, numbered in the order of their WordNet ids as torchvision does; the
    devkit's own order is another (docs/sources.md 7). Their names are the id and the first word.

    Raises:
        UserError: when the index is missing or damaged.
        BadDataError: when the metadata of ``train_fullsup/`` are.
    """
    with readable(root / INDEX, maker="`spg fetch`"):
        table = pq.read_table(root / INDEX)
        if not table.schema.equals(SCHEMA):
            raise ValueError("other columns")
    wnids = sorted(set(pc.unique(table["wnid"]).to_pylist()) - {""})
    with readable(root / WORDS, maker="`spg fetch`"):
        words = json.loads((root / WORDS).read_text(encoding="utf-8"))
        names = {wnid: f"{wnid} {str(words[wnid]).split(',')[0]}" for wnid in wnids}
    ids = {wnid: number for number, wnid in enumerate(wnids)}
    listed = []
    for batch in table.select(_READ).to_batches(ROWS_PER_BATCH):  # few rows as objects at a time
        for image_id, wnid, split, boxes, width, height, problem, box_problem in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            listed.append(
                Annotation(
                    image_id,
                    image_id,
                    ids.get(wnid, UNKNOWN),
                    names.get(wnid, ""),
                    split,
                    tuple(map(tuple, boxes)),
                    object_mask=None,
                    part_mask=None,
                    stated_size=None if width is None else (width, height),
                    boxes_at=box_file(image_id) if boxes else "",
                    problem=problem,
                    box_problem=box_problem,
                )
            )
    problems: list[str] = []
    published = {number: (ids[w], names[w]) for number, w in enumerate(sorted_wnids()) if w in ids}
    listed += read_fullsup(root, published, CLASSES, problems)
    if problems:
        raise BadDataError(root, problems, readable=listed)
    return listed


def box_file(image_id: str) -> str:
    """Return the name of an image's box file, the same in both layouts."""
    return str(PurePosixPath(image_id).with_suffix(".xml"))


def _batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
