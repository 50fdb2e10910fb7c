"""The state of an unfinished training on disk, behind its own hash."""

from __future__ import annotations

import hashlib
import io
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from spg.project.errors import UserError
from spg.project.files import write_bytes

DIGEST_BYTES = hashlib.sha256().digest_size
SECONDS_BETWEEN = 60.0
TIMES_THE_LAST = 50.0
"""A save is due after so many times the seconds that the last one took: 2 % of the time at most."""


class Saver:
    """Writes the states of one training into its file, in a thread: no step waits for the disk.

    A step waits for the copy of its state alone. One write is under way at a time; the next one is
    due `SECONDS_BETWEEN` seconds after it began, or `TIMES_THE_LAST` times as long as it took,
    whichever is later. Used in a ``with`` block, whose end waits for the write that is under way;
    what a write has raised is raised by the next save or by the end.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        self._took = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._write: Future[None] | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown()
        if kind is None:
            self._settle()

    def due(self) -> bool:
        """Return whether it is time, and no write under way."""
        if self._write is not None and not self._write.done():
            return False
        wait = max(SECONDS_BETWEEN, TIMES_THE_LAST * self._took)
        return time.monotonic() - self._began >= wait

    def save(self, state: dict[str, Any]) -> None:
        """Copy ``state`` and let the thread write it.

        Raises:
            OSError: when the write before could not be done.
        """
        self._settle()
        self._began = time.monotonic()
        copied = pytree.tree_map_only(Tensor, _on_cpu, state)
        self._write = self._pool.submit(self._save, copied)

    def _save(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.path, state)
        self._took = time.monotonic() - self._began

    def _settle(self) -> None:
        if self._write is not None:
            self._write.result()


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state of an unfinished training, behind its own hash."""
    buffer = io.BytesIO()  # a full disk is the system's error then, and none of torch's own
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_bytes(path, hashlib.sha256(content).digest() + content)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the state of an unfinished training, or ``None`` when there is none.

    Raises:
        UserError: when a bit of it is not as it was written; torch itself would not notice.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    try:
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its hash is another")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:  # a foreign pickle fails in as many ways as it has bytes
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: damaged checkpoint ({reason}); delete it to start over") from None
    return state
