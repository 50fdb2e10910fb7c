"""From a command line to a stage: the options of a cell, logging, and errors as one sentence."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from spg.project.environment import is_worker
from spg.project.errors import UserError
from spg.project.params import Params, load_params
from spg.project.workspace import Cell, Workspace

# Waiting OpenMP threads give up their core after some turns, so that two trainings at once on few
# cores disturb each other less. Set before any stage imports torch, which reads it.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

DatasetStage = Callable[[Workspace, Params, str], None]
PluginStage = Callable[[Workspace, Params, str, str], None]
NamedStage = Callable[[Workspace, str], None]
CellStage = Callable[[Workspace, Params, Cell], None]

REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "allow yourself to read and write it"),
    errno.EROFS: "make it writable, or work in another folder",
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "move away what lies there"),
    errno.ENOENT: "make what is missing with the stage that writes it",
}


def run_dataset_stage(stage: DatasetStage) -> None:
    """Run a stage of dvc.yaml whose only argument is a data set."""
    dataset = _arguments("dataset")["dataset"]
    guarded(lambda: stage(workspace(), checked_params(dataset), dataset))


def run_plugin_stage(stage: PluginStage) -> None:
    """Run a stage of dvc.yaml whose arguments are a data set and a backbone or a classifier."""
    dataset, plugin = _arguments("dataset", "plugin").values()
    guarded(lambda: stage(workspace(), checked_params(dataset), dataset, plugin))


def run_named_stage(stage: NamedStage) -> None:
    """Run a stage of effects/dvc.yaml, whose only argument is the name of its entry."""
    name = _arguments("name")["name"]
    guarded(lambda: stage(workspace(), name))


def run_cell_stage(stage: CellStage) -> None:
    """Run a stage of dvc.yaml whose arguments are the coordinates of a cell."""
    dataset, backbone, method, seed = _arguments("dataset", "backbone", "method", "seed").values()
    cell = Cell(dataset, backbone, method, int(seed))
    guarded(lambda: stage(workspace(), checked_params(dataset, method), cell))


def workspace() -> Workspace:
    """Return the project in the current folder."""
    return Workspace(Path.cwd())


def checked_params(dataset: str, method: str | None = None) -> Params:
    """Read params.yaml and check that it knows the data set and the method."""
    params = load_params(workspace().params_file)
    if dataset not in params.datasets:
        raise UserError(
            f"params.yaml: datasets has no {dataset!r}; there are {sorted(params.datasets)}"
        )
    known = sorted(params.localization.extractors)
    if method is not None and method not in known:
        raise UserError(
            f"params.yaml: localization.extractors has no {method!r}; there are {known}"
        )
    return params


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
    except MemoryError:
        return "error: out of memory; a smaller batch_size or SPG_WORKERS needs less", 2
    except Terminated:
        return "ended by SIGTERM; run the same command again to go on", 143
    except KeyboardInterrupt:
        return "interrupted; run the same command again to go on", 130
    return None


class Terminated(BaseException):
    """SIGTERM or its like came: what is half-made is cleaned up on the way out."""


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


def _arguments(*names: str) -> dict[str, str]:
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name)
    return vars(parser.parse_args())
