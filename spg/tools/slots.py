"""What each of several cells that run at once may use: GPUs, cores, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from spg.networks.compute.device import pick_device
from spg.networks.compute.launch import wanted_processes
from spg.project import portable
from spg.project.errors import UserError


class Slot(NamedTuple):
    """The share of one cell; every process that it starts inherits it."""

    variables: dict[str, str]
    """Of its environment, beside those of this process."""
    cores: frozenset[int] = frozenset()
    """Numbers of the cores that it may run on; empty: all that this process may."""

    @contextmanager
    def taken(self) -> Iterator[dict[str, str]]:
        """Give the whole environment of what is started meanwhile, on the slot's cores.

        A process has the cores of the thread that starts it, so this thread takes them meanwhile.
        """
        before = _cores()
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        try:
            yield os.environ | self.variables
        finally:
            if self.cores:
                os.sched_setaffinity(0, before)


def slots_here(jobs: int | None, most: int) -> list[Slot]:
    """Return the shares of this machine, as `SPG_DEVICE`, `SPG_NPROC` and Slurm leave it.

    Args:
        jobs: as for :func:`share`.
        most: how many there is work for; with fewer shares, each is larger.

    Raises:
        UserError: as `share`; when a variable names no device, or no number of processes.
    """
    processes = wanted_processes()
    return share(jobs, most, gpus=gpus_here(), cores=_cores(), processes=processes)


def gpus_here() -> list[str]:
    """Return the GPUs that cells may have, as ``CUDA_VISIBLE_DEVICES`` names them.

    Somebody else's are not among them: where the variable is set, to numbers or to UUIDs, its
    entries are dealt out. ``SPG_DEVICE=cuda:1`` leaves the second of them, ``cpu`` none.
    """
    named, count = os.environ.get("SPG_DEVICE", "cuda"), torch.cuda.device_count()
    if not named.startswith("cuda"):
        return []
    number = named.partition(":")[2]
    if number and not (number.isdecimal() and int(number) < count):
        pick_device()  # says what is wrong; it is not asked first, since it takes memory there
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(place) for place in range(count)] if visible is None else visible.split(",")
    names = [name.strip() for name in names[:count]]  # CUDA sees none behind one that is not there
    return [names[int(number)]] if number else names


def share(
    jobs: int | None, most: int, *, gpus: Sequence[str], cores: Sequence[int], processes: int = 1
) -> list[Slot]:
    """Return, for each cell that runs at once, what it may use.

    Args:
        jobs: as asked for; ``None``: as many as have GPUs of their own, else as there are cores for
            portable processes, else one, which then has all threads.
        most: how many cells there are.
        gpus: that may be used, by name.
        cores: that may be used, by number; a system that pins no process to cores has none.
        processes: of each cell's training (``SPG_NPROC``), one a GPU.

    Raises:
        UserError: when there are fewer GPUs than a cell has processes.
    """
    if gpus and len(gpus) < processes:
        raise UserError(
            f"SPG_NPROC: {processes} processes of a cell want a GPU each, and there are "
            f"{len(gpus)}; set it to {len(gpus)} or less"
        )
    usable = len(cores) or os.cpu_count() or 1
    own_threads = portable.in_force() and not gpus
    groups = [",".join(gpus[i : i + processes])
              for i in range(0, len(gpus) - processes + 1, processes)]  # fmt: skip
    alone = usable // (portable.THREADS * processes) if own_threads else 1
    count = max(1, min(most, jobs or len(groups) or max(1, alone)))
    found = []
    for number in range(count):
        variables = {}
        if gpus:
            variables["CUDA_VISIBLE_DEVICES"] = groups[number % len(groups)]
            if "SPG_DEVICE" in os.environ:
                variables["SPG_DEVICE"] = "cuda"  # whose number is another one there
        elif "SPG_DEVICE" in os.environ:
            variables["CUDA_VISIBLE_DEVICES"] = ""  # no cell touches a GPU for its loading
        if not gpus and not own_threads and count > 1 and "OMP_NUM_THREADS" not in os.environ:
            variables["OMP_NUM_THREADS"] = str(max(1, usable // count // processes))
        found.append(Slot(variables, _share_of(cores, number, count)))
    return found


def _share_of(cores: Sequence[int], number: int, count: int) -> frozenset[int]:
    """Return the cores of one of ``count`` cells: neighbors; where they are fewer, one in turn."""
    if len(cores) < count:
        return frozenset([cores[number % len(cores)]] if cores else [])
    return frozenset(cores[len(cores) * number // count : len(cores) * (number + 1) // count])


def _cores() -> list[int]:
    """Return the cores that this thread may use; none where the system cannot tell."""
    if not hasattr(os, "sched_getaffinity"):  # macOS and Windows
        return []
    return sorted(os.sched_getaffinity(0))
