"""The index of ILSVRC 2012 CLS-LOC that ``fetch`` leaves, and its reader.

``index.parquet`` has a row an image: class, split, boxes, and where below SPG_ILSVRC_ROOT its bytes
lie (:mod:`spg.data.layouts.raw`). ``synsets.json`` has the words of each class.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from spg.data.layouts.annotations import Annotation, Box
from spg.data.layouts.fullsup import read_fullsup
from spg.data.layouts.raw import INDEX, Place
from spg.project.files import readable, whole_file, write_json

WORDS = "synsets.json"
SCHEMA = pa.schema(
    {
        "image_id": pa.string(),  # train/WNID/NAME.JPEG or val/NAME.JPEG, sorted
        "wnid": pa.string(),  # WordNet's id of the class, e.g. n01440764
        "split": pa.string(),
        "boxes": pa.list_(pa.list_(pa.float64(), 4)),  # xyxy, half-open
        "container": pa.string(),
        "container_size": pa.int64(),
        "offset": pa.int64(),
        "size": pa.int64(),
    }
)
ROWS_PER_BATCH = 1 << 16


class IndexRow(NamedTuple):
    """One image."""

    image_id: str
    wnid: str
    split: str
    boxes: tuple[Box, ...]
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
    """
    with readable(root / INDEX, maker="`spg fetch`"):
        table = pq.read_table(root / INDEX)
        if not table.schema.equals(SCHEMA):
            raise ValueError("other columns")
    wnids = sorted(set(table["wnid"].to_pylist()))
    with readable(root / WORDS, maker="`spg fetch`"):
        words = json.loads((root / WORDS).read_text(encoding="utf-8"))
        names = {wnid: f"{wnid} {str(words[wnid]).split(',')[0]}" for wnid in wnids}
    ids = {wnid: number for number, wnid in enumerate(wnids)}
    columns = (table[name].to_pylist() for name in ("image_id", "wnid", "split", "boxes"))
    listed = [
        Annotation(
            image_id, image_id, ids[wnid], names[wnid], split, tuple(map(tuple, boxes)), None, None
        )
        for image_id, wnid, split, boxes in zip(*columns, strict=True)
    ]
    return listed + read_fullsup(root, [names[wnid] for wnid in wnids])


def _batch(rows: list[dict[str, object]]) -> pa.RecordBatch:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
