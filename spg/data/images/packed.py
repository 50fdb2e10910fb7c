"""Packed images: encoded bytes in Arrow IPC shards, memory-mapped when read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spg.data.images.decoding import LEFT_OUT, OBJECT, BadImageError, decode_rgb
from spg.project.errors import UserError
from spg.project.files import readable

ROWS_PER_SHARD = 1024
ROWS_PER_BATCH = 64

SCHEMA = pa.schema(
    {
        "image": pa.binary(),  # JPEG or PNG
        "object_mask": pa.binary(),  # PNG of spg.data.images.decoding.encode_mask, or null
        "part_mask": pa.binary(),  # the same
    }
)


class EncodedImage(NamedTuple):
    """The bytes of one image and, where the data set has them, of its masks."""

    image: bytes
    object_mask: bytes | None
    part_mask: bytes | None


def write_shard(path: Path, images: Iterable[EncodedImage]) -> None:
    """Write images in order into one file, a batch of rows at a time."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in _batches(images):
            writer.write_batch(batch)


def shard_name(number: int) -> str:
    """Return the file name of a shard; their order is that of the names."""
    return f"shard-{number:05d}.arrow"


class PackedImages:
    """Random access to the images of a packed folder.

    Args:
        folder: what ``prepare`` wrote.

    Raises:
        UserError: when there is no shard, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        shards = sorted(folder.glob("shard-*.arrow"))
        if not shards:
            raise UserError(f"{folder}: no packed images; run `spg prepare` first")
        table = pa.concat_tables(_read_shard(shard) for shard in shards)
        # Held, since a table makes a column anew each time that it is asked for: 0.3 ms an image
        # at ILSVRC's 20,000 batches of rows.
        self._columns = {name: table[name] for name in table.column_names}

    def __len__(self) -> int:
        return len(self._columns["image"])

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image ``index`` as ``uint8 [H, W, 3]``, RGB."""
        try:
            return decode_rgb(self._bytes("image", index))
        except BadImageError:
            raise UserError(
                f"packed image {index}: image cannot be decoded; prepare again"
            ) from None

    def object_mask(self, index: int) -> NDArray[np.bool_] | None:
        """Return the object's pixels as ``bool [h, w]``, or ``None`` where unknown.

        It is as large as the original image or, of data sets whose masks are, smaller.
        """
        values = self._mask("object_mask", index)
        return None if values is None else values == OBJECT

    def left_out(self, index: int) -> NDArray[np.bool_] | None:
        """Return the pixels that are neither object nor background, as `object_mask` does."""
        values = self._mask("object_mask", index)
        return None if values is None else values == LEFT_OUT

    def part_mask(self, index: int) -> NDArray[np.bool_] | None:
        """Return the telling parts' pixels, as `object_mask` does."""
        values = self._mask("part_mask", index)
        return None if values is None else values == OBJECT

    def _mask(self, column: str, index: int) -> NDArray[np.uint8] | None:
        if not self._columns[column][index].is_valid:
            return None
        encoded = np.frombuffer(self._bytes(column, index), dtype=np.uint8)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        if decoded is None:
            raise UserError(f"packed image {index}: {column} cannot be decoded; prepare again")
        return np.asarray(decoded, dtype=np.uint8)

    def _bytes(self, column: str, index: int) -> pa.Buffer:
        return self._columns[column][index].as_buffer()


def _read_shard(path: Path) -> pa.Table:
    """Return a shard, memory-mapped; its images are read when they are asked for."""
    with readable(path, maker="`spg prepare`"):
        shard = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if shard.schema != SCHEMA:
            raise ValueError("other columns")
        return shard


def _batches(images: Iterable[EncodedImage]) -> Iterator[pa.RecordBatch]:
    iterator = iter(images)
    while rows := list(islice(iterator, ROWS_PER_BATCH)):
        columns = [pa.array(column, pa.binary()) for column in zip(*rows, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
