"""How a command ends: what a user can mend becomes one sentence and an exit status.

Status 2 is a user's mistake or what the system refuses, 130 Ctrl-C, 143 SIGTERM. Anything else is
a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from spg.project.environment import is_worker
from spg.project.errors import UserError

REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "allow yourself to read and write it"),
    errno.EROFS: "make it writable, or work in another folder",
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "move away what lies there"),
    errno.ENOENT: "make what is missing with the stage that writes it",
}


class Terminated(BaseException):
    """SIGTERM or its like came: what is half-made is cleaned up on the way out."""


def guarded(action: Callable[[], None]) -> None:
    """Run ``action``; what a user can mend becomes one sentence and exit status 2.

    That is a mistake, or what the system refuses: a full disk, a missing permission, a folder where
    a file belongs. Ctrl-C ends with status 130 and SIGTERM with 143, both with how to go on.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    ending = _ending(action)  # progress bars are closed with the frames that the error has left
    if ending is not None:
        message, status = ending
        sys.stderr.write(message + "\n")
        sys.exit(status)


def _ending(action: Callable[[], None]) -> tuple[str, int] | None:
    """Run ``action``; return the last sentence and the exit status, or ``None`` if all is well."""
    try:
        with _termination_raises():
            action()
    except UserError as error:
        return f"error: {error}", 2
    except OSError as error:
        if error.errno in (None, errno.EPIPE):  # none of the system's, or a reader that left
            raise
        return f"error: {_refusal(error)}", 2
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return "error: out of memory; a smaller batch_size or SPG_WORKERS needs less", 2
    except Terminated:
        return "ended by SIGTERM; run the same command again to go on", 143
    except KeyboardInterrupt:
        return "interrupted; run the same command again to go on", 130
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out, which torch says by errors of its own (and is not loaded)."""
    torchs = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or torchs


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Let SIGTERM end the block as an exception; torchrun's processes are ended by torchrun."""
    if is_worker() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, partial(_terminate, os.getpid()))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(owner: int, number: int, _frame: object) -> None:
    if os.getpid() == owner:
        raise Terminated
    signal.signal(number, signal.SIG_DFL)  # a loader's worker has the handler of its parent
    os.kill(os.getpid(), number)


def _refusal(error: OSError) -> str:
    """Return what the system refused as one sentence with the file and what to do."""
    number = error.errno or 0
    reason = os.strerror(number)
    where = f"{error.filename}: {reason}" if error.filename else reason
    return f"{where}; {REMEDIES.get(number, 'mend that')}, then run the same command again"
