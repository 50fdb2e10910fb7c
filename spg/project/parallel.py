"""Work in several processes, in order, with few tasks waiting at a time."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from spg.project.environment import number_of, usable_cores
from spg.project.errors import UserError

FRESH = get_context("spawn")  # a fork of a process with threads, such as torch's, may stand still
Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return SPG_WORKERS, or the number of usable cores; 0 and 1 mean this process alone."""
    return number_of("SPG_WORKERS", usable_cores())


def _start_worker() -> None:
    """Compute on one thread, leave Ctrl-C to the parent, and do not outlive it."""
    import cv2  # here: who only asks for default_workers need not load it

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the parent: for tasks of a killed one a pool's process would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_order(
    run: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int
) -> Iterator[Result]:
    """Yield ``run(task)`` of each task in order, whatever the number of processes.

    Two tasks a process are under way or waiting, so that memory does not grow with their number.

    Raises:
        UserError: when one of the processes was killed.
    """
    if workers <= 1:
        yield from map(run, tasks)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, FRESH, initializer=_start_worker) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(run, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} processes was killed, as happens when memory runs out; run the "
                "same command again, with a smaller SPG_WORKERS if it happens again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)
