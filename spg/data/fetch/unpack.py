"""Tar archives of strangers: nothing leaves the target folder, and nothing grows without end."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from tqdm import tqdm

from spg.data.layouts.space import require_space
from spg.project.errors import UserError

LARGEST_READ = 16 << 20
"""tarfile takes a header's extension in one piece, however long it says it is."""
DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, ArithmeticError,
          RecursionError)  # fmt: skip


class Limits(NamedTuple):
    """What an archive may hold at most, unwanted members included."""

    bytes: int
    """Decompressed, headers included."""
    members: int


Rename = Callable[[str], str | None]
"""From a member's name to its new name, or ``None`` for a member that is not wanted."""


def unpack(archive: Path, folder: Path, limits: Limits, rename: Rename) -> None:
    """Write the wanted files of a tar archive, compressed or not, below an existing ``folder``.

    Call it inside :func:`spg.project.files.whole_folder`, so that half an archive is never taken
    for all of it.

    Raises:
        UserError: names the archive and the member that is damaged, neither file nor folder, would
            leave the folder, stands twice, or exceeds the limits.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError("this Python cannot unpack safely; update it to 3.10.12, 3.11.4 or later")
    if archive.exists():  # images hardly shrink: what is packed takes as much again
        require_space(folder.parent, archive.stat().st_size, f"what {archive.name} holds")
    with _wanted(archive, limits, rename) as (tar, members):
        for name, member in tqdm(members, desc=f"unpack {archive.name}", unit="file"):
            tar.extract(member.replace(name=name), folder, set_attrs=False, filter="data")


def read_members(archive: Path, limits: Limits, rename: Rename) -> Iterator[tuple[str, bytes]]:
    """Yield new name and bytes of the wanted files; refuses what :func:`unpack` refuses."""
    with _wanted(archive, limits, rename) as (tar, members):
        for name, member in members:
            yield name, cast(IO[bytes], tar.extractfile(member)).read()


@contextmanager
def _wanted(
    archive: Path, limits: Limits, rename: Rename
) -> Iterator[tuple[tarfile.TarFile, Iterator[tuple[str, tarfile.TarInfo]]]]:
    try:
        with _plain(archive) as stream:
            limited = cast(IO[bytes], _Limited(stream, limits.bytes))
            with tarfile.open(fileobj=limited, mode="r:") as tar:
                yield tar, _checked(archive, tar, limits, rename)
    except FileNotFoundError:
        raise UserError(f"{archive}: no such file") from None
    except DAMAGE as error:
        raise UserError(f"{archive}: cannot be unpacked ({error})") from None


def _checked(
    archive: Path, tar: tarfile.TarFile, limits: Limits, rename: Rename
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    seen: set[str] = set()
    for count, member in enumerate(tar, start=1):
        path = PurePosixPath(member.name)
        reason = _objection(member, path)
        if count > limits.members:
            reason = f"the archive has more than {limits.members} members"
        if str(path).casefold() in seen and member.isfile():  # some disks do not tell A from a
            reason = "it stands twice"
        if reason:
            raise UserError(f"{archive}: refused at member {member.name!r}: {reason}")
        seen.add(str(path).casefold())
        name = rename(str(path))
        if name is not None and member.isfile():
            yield name, member


def _objection(member: tarfile.TarInfo, path: PurePosixPath) -> str | None:
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or not path.parts:
        return "its name leads out of the folder"
    if member.issparse() or not (member.isdir() or member.type in tarfile.REGULAR_TYPES):
        return "it is neither a plain file nor a folder"
    return None


@contextmanager
def _plain(archive: Path) -> Iterator[IO[bytes]]:
    with archive.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if compressed:
            with gzip.open(raw) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw


class _Limited:
    """A stream that ends with an error behind ``limit`` bytes, so that no bomb goes off."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError("a header is too long")
        data = self._stream.read(size)
        self.check(self.tell())
        return data

    def seek(self, position: int) -> int:
        self.check(position)
        return self._stream.seek(position)

    def check(self, position: int) -> None:
        if position > self._limit:
            raise tarfile.ReadError(f"it holds more than {self._limit} bytes")
