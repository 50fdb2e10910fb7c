"""The bytes of a raw file, wherever they lie.

A raw folder holds its files, or else ``index.parquet``, which says where below the folder named by
SPG_ILSVRC_ROOT they lie: a whole file, or a stretch of a tar archive. So 150 GB are neither
copied nor unpacked, and no absolute path is recorded.
"""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spg.project.errors import UserError

INDEX = "index.parquet"
ARCHIVES = 2  # of training and of validation images
ROOT_VARIABLE = "SPG_ILSVRC_ROOT"


class Place(NamedTuple):
    """Where the bytes of an image lie."""

    container: str
    """File below the root: the image's own, or an archive."""
    container_size: int
    """Bytes; another size later means that it is not the same file."""
    offset: int
    size: int


class NoFileError(UserError):
    """A file that something names is not there."""


def read_image(raw: Path, file: str) -> bytes:
    """Return the bytes of an image or mask that an annotation names.

    Nothing stays open between calls, so any number of processes may call it.

    Args:
        raw: the data set's raw folder.
        file: ``file``, ``object_mask`` or ``part_mask`` of an annotation.

    Raises:
        UserError: when the file cannot be read, or is not the one that ``spg fetch`` found.
    """
    if is_indexed(raw) and not (raw / file).exists():
        return read_place(data_root(), _index_of(raw).place(file))
    try:
        return (raw / file).read_bytes()
    except FileNotFoundError:
        raise NoFileError(f"{file}: no such file{_similar(raw / file)}") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None


def state_of(raw: Path, file: str) -> tuple[int, ...]:
    """Return what changes when a file changes: size and time; empty where it is not to be had."""
    try:
        own = raw / file
        if is_indexed(raw) and not own.exists():
            own = data_root() / _index_of(raw).place(file).container
        found = own.stat()
    except (OSError, UserError):
        return ()
    return found.st_size, found.st_mtime_ns


def _similar(path: Path) -> str:
    """Return what lies there under nearly the same name: other case, or accents spelled apart."""
    if not path.parent.is_dir():
        return f", nor the folder {path.parent.name}"
    name = _plain(path.name)
    alike = sorted(other.name for other in path.parent.iterdir() if _plain(other.name) == name)
    return f", but one called {alike[0]!r}" if alike else ""


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def check_root(raw: Path) -> None:
    """Check that the images of a raw folder can be reached, before thousands of them are not.

    Raises:
        UserError: when they lie below SPG_ILSVRC_ROOT, and that names no folder, or its archives
            are not those that ``spg fetch`` found.
    """
    if not is_indexed(raw):
        return
    root = data_root()
    for place in _index_of(raw).archives():
        read_place(root, place._replace(size=0))


def is_indexed(raw: Path) -> bool:
    """Return whether a raw folder's images lie elsewhere, where ``spg fetch`` found them."""
    return (raw / INDEX).exists()


def data_root() -> Path:
    """Return the folder that SPG_ILSVRC_ROOT names."""
    root = os.environ.get(ROOT_VARIABLE)
    if not root:
        raise UserError(
            f"the environment variable {ROOT_VARIABLE} is not set; it names the folder of "
            "ILSVRC 2012 (README, Real data sets)"
        )
    if not Path(root).is_dir():
        raise UserError(f"{ROOT_VARIABLE}: {root} is no folder")
    return Path(root)


def read_place(root: Path, place: Place) -> bytes:
    """Return the bytes at ``place`` below ``root``."""
    path = root / place.container
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != place.container_size:
                raise UserError(
                    f"{path}: has {found} bytes, but `spg fetch` found {place.container_size}; "
                    f"correct {ROOT_VARIABLE} or fetch again"
                )
            file.seek(place.offset)
            return file.read(place.size)
    except FileNotFoundError:
        raise NoFileError(
            f"{path}: no such file; correct {ROOT_VARIABLE} or run `spg fetch` again"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


class _Index:
    """Places by image, from the columns of index.parquet; about 100 bytes an image."""

    def __init__(self, path: Path) -> None:
        try:
            table = pq.read_table(path, columns=["image_id", *Place._fields])
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise UserError(f"{path}: not readable ({error}); run `spg fetch` again") from None
        self._ids = table["image_id"].to_numpy().astype(np.bytes_)
        self._places = table.select(Place._fields)
        self._path = path

    def archives(self) -> list[Place]:
        """Return the archives that hold the images; none where each image is a file of its own."""
        names = self._places["container"]
        if pc.count_distinct(names).as_py() > ARCHIVES:
            return []
        rows = [pc.index(names, name).as_py() for name in pc.unique(names).to_pylist() if name]
        return [Place(*(column[row].as_py() for column in self._places.columns)) for row in rows]

    def place(self, image_id: str) -> Place:
        """Return where an image lies."""
        row = int(np.searchsorted(self._ids, np.array(image_id.encode(), self._ids.dtype)))
        if row == len(self._ids) or self._ids[row] != image_id.encode():
            raise NoFileError(
                f"{image_id}: no such file, and {self._path.name} has no image of this name"
            )
        return Place(*(column[row].as_py() for column in self._places.columns))


def _index_of(raw: Path) -> _Index:
    path = raw / INDEX
    return _index(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _index(path: Path, _written: int) -> _Index:
    return _Index(path)
