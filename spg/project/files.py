"""Whole files and whole folders: written under a temporary name, synced, then renamed.

So a power cut or a kill at any moment leaves what was there before, nothing, or the new whole.
Temporary names are hidden, hold the process and end in ``.part``; what a kill leaves of them is
removed by the next command that writes there (:mod:`spg.project.locks`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spg.project.errors import UserError

LEFTOVERS = ".*.part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an error.

    Raises:
        OSError: with ``path`` as its file name, when it cannot be written or is a folder.
    """
    temporary = _temporary(path)
    with named_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces ``path`` when the block ends well.

    Raises:
        OSError: with ``path`` as its file name, when it cannot be written or is a file.
    """
    with named_errors(path), _scratch_folder(path) as temporary:
        yield temporary
        sync_tree(temporary)
        old = _temporary(path, "old")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():  # moved away first: half of it must not stay under its name
            path.replace(old)
        temporary.replace(path)
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_files(folder: Path, *names: str) -> Iterator[Path]:
    """Yield an empty temporary folder whose files replace those of ``folder``: all or none.

    The last name goes first and comes last. While it is missing, no reader may take the others,
    which may be of two runs.

    Args:
        folder: where they belong; other files in it stay.
        names: of the files that the block writes.

    Raises:
        OSError: with ``folder`` as its file name, when it cannot be written.
    """
    with named_errors(folder), _scratch_folder(folder) as temporary:
        yield temporary
        sync_tree(temporary)
        folder.mkdir(exist_ok=True)
        (folder / names[-1]).unlink(missing_ok=True)
        sync(folder)
        for name in names:
            (temporary / name).replace(folder / name)
        sync(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with LF line ends on every system."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON with a stable order; NaN is refused."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when it is missing or damaged.
    """
    with readable(path):
        return json.loads(path.read_text(encoding="utf-8"))


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows has no handle of a folder to sync
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until everything below a folder is on the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left of ``target``, a file or a folder: beside and inside it.

    Only whoever alone may write ``target`` may call it.
    """
    beside = target.parent.glob(f".{target.name}{LEFTOVERS}")
    for path in [*beside, *target.rglob(LEFTOVERS)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let errors of the system that name no file, as a full disk does, name ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def readable(path: Path, *, maker: str = "the stage that writes it") -> Iterator[None]:
    """Let a missing or damaged file be one sentence, whatever its reader raises about it.

    Args:
        path: of the file that the block reads.
        maker: what a user runs to get it.

    Raises:
        UserError: names ``path``.
    """
    try:
        with named_errors(path):
            yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run {maker} first") from None
    except Exception as error:  # damage makes readers raise nearly anything
        if isinstance(error, UserError) or getattr(error, "errno", None) is not None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: damaged or of another kind ({reason}); run {maker} again"
        ) from None


def _temporary(path: Path, kind: str = "new") -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}.part")


@contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which is a folder or not there, and remove it."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    temporary = _temporary(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
