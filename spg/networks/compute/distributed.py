"""Several processes of one run: who has which images, and sums over all of them.

Under torchrun each process has a share of every batch, and what comes out is what one process with
the whole batch computes, but for rounding: sums and counts run over all shares (`batch_mean`), and
random numbers are drawn for the whole batch (`own_rows`). In one process nothing is exchanged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from spg.project.errors import UserError

Value = TypeVar("Value")


class World(NamedTuple):
    """This process among all."""

    rank: int
    """Number of this process, from 0; the first one alone writes."""
    size: int


class Share(NamedTuple):
    """Rows ``start:stop`` of a batch of ``total`` images."""

    start: int
    stop: int
    total: int


_share: ContextVar[Share | None] = ContextVar("share", default=None)


def world() -> World:
    """Return this process's place: (0, 1) unless `joined`."""
    if not dist.is_initialized():
        return World(0, 1)
    return World(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, by NCCL on GPUs and gloo on CPUs.

    Raises:
        UserError: when another process is gone, or when there are fewer GPUs than processes.
    """
    if device.type == "cuda":
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise UserError(
                f"process {place + 1} of this machine finds {gpus} GPUs: start as many processes "
                "as there are (SPG_NPROC, torchrun's --nproc-per-node)"
            )
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise UserError(
                "another process of this run has ended; run the same command again to go on from "
                "the last checkpoint"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def share_of(total: int, place: World) -> Share:
    """Return the rows of a batch of ``total`` images that a process computes.

    Shares are contiguous and differ by at most one image. A batch of fewer images than processes
    is computed whole by each of them, so that none stands still.
    """
    if total < place.size:
        return Share(0, total, total)
    start, stop = (edge * total // place.size for edge in (place.rank, place.rank + 1))
    return Share(start, stop, total)


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Let `own_rows` and `whole_batch` know this process's rows of the batch."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Return this process's rows of ``draw(images of the whole batch)``.

    Random numbers drawn so are those of a single process, whatever the number of processes.

    Args:
        draw: from a number of images to ``Tensor[B, ...]``.
        count: images of this process, which are all where nothing is shared.
    """
    share = _share.get() or Share(0, count, count)
    return draw(share.total)[share.start : share.stop]


def has_whole_batch(images: int) -> bool:
    """Return whether this process computes the whole batch, as each does of a very small one."""
    share = _share.get()
    return share is not None and images == share.total


def whole_batch(rows: Tensor) -> Tensor:
    """Return the rows of all processes, ``Tensor[B, ...]`` in the batch's order, without gradient.

    Args:
        rows: this process's share, ``Tensor[b, ...]``.
    """
    share, size = _share.get(), world().size
    if share is None or has_whole_batch(len(rows)):
        return rows
    longest = -(-share.total // size)
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    pieces = [torch.empty_like(padded) for _ in range(size)]
    dist.all_gather(pieces, padded)
    counts = [share_of(share.total, World(rank, size)) for rank in range(size)]
    kept = [piece[: one.stop - one.start] for piece, one in zip(pieces, counts, strict=True)]
    return torch.cat(kept)


def batch_mean(total: Tensor, count: Tensor) -> Tensor:
    """Return ``total / count`` so that its mean over the processes is that of the whole batch.

    Gradients that DistributedDataParallel averages are then those of one process.

    Args:
        total: sum over this process's images or pixels, with gradient.
        count: how many they are; 0 counts as 1 where it is 0 everywhere.
    """
    size = world().size
    if size == 1:
        return total / count.clamp_min(1)
    return size * total / all_sum(count).clamp_min(1)


def image_mean(total: Tensor, images: int) -> Tensor:
    """Return ``total / images`` as `batch_mean` does; images of all processes need no asking.

    Args:
        total: sum over this process's images, with gradient.
        images: how many they are.

    Raises:
        RuntimeError: in one of several processes, outside of `sharing`.
    """
    share, size = _share.get(), world().size
    if size == 1:
        return total / total.new_full((), images)
    if share is None:
        raise RuntimeError("which share of the batch these images are was not said")
    everyones = size * images if images == share.total else share.total
    return size * total / total.new_full((), everyones)


def all_sum(values: Tensor) -> Tensor:
    """Return the sum over the processes, without gradient."""
    if world().size == 1:
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    return summed


def agree_on(value: object, what: str, *, remedy: str) -> None:
    """Stop unless every process has the first one's value, as they do when they share a disk.

    Args:
        value: of this process, e.g. the step of the checkpoint that it has read.
        what: the beginning of the sentence, before the two values.
        remedy: its end, what to do.

    Raises:
        UserError: in every process that has another value.
    """
    if world().size == 1:
        return
    said: list[object] = [value]
    dist.broadcast_object_list(said, src=0)
    if said[0] != value:
        raise UserError(
            f"{what} {value} for process {world().rank}, but {said[0]} for the first one: {remedy}"
        )


def from_everyone(value: Value) -> list[Value]:
    """Return what each process says, in the order of their ranks; processes wait for each other."""
    if world().size == 1:
        return [value]
    said: list[Any] = [None] * world().size
    dist.all_gather_object(said, value)
    return said


def in_turn(own: Iterable[Value], total: int) -> Iterator[Value]:
    """Yield the items of all processes in the first process, in the order in which they were dealt.

    Item 0 is the first process's first, item 1 the second process's first, and so on; memory holds
    one item a process. The other processes have to go through it too, and get nothing.

    Args:
        own: this process's items.
        total: items of all processes.
    """
    rank, size = world()
    if size == 1:
        yield from own
        return
    items = iter(own)
    for _ in range(-(-total // size)):
        item = next(items, None)
        gathered: list[Any] | None = [None] * size if rank == 0 else None
        dist.gather_object(item, gathered)
        yield from (one for one in gathered or [] if one is not None)
