"""From samples to batches, each process its share of them.

The order depends on (seed, epoch) alone: neither it nor what a batch holds depends on the number of
processes and workers, or on an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from spg.data.inputs.colors import Colors, normalize_images
from spg.data.inputs.samples import EvalSamples, TrainSamples
from spg.networks.compute.distributed import World, share_of
from spg.project.environment import number_of, processes_here, usable_cores
from spg.project.seeding import generator

ALONE = World(0, 1)


class Batch(NamedTuple):
    """What the model and the criterion get, as bytes: a quarter of what floats would be."""

    pixels: Tensor
    """``uint8 Tensor[B, 3, S, S]``, RGB, channels_last; in pinned memory beside a GPU."""
    labels: Tensor
    """``int64 Tensor[B]``."""
    indices: Tensor
    """``int64 Tensor[B]``, positions among the packed images."""
    total: int
    """Images of the whole batch, of which these are this process's share."""
    colors: Colors
    """How the network wants its pixels."""

    def images(self, device: torch.device) -> Tensor:
        """Return ``float32 Tensor[B, 3, S, S]`` on ``device``, normalized there, channels_last."""
        return normalize_images(self.pixels.to(device, non_blocking=True), self.colors)


def train_batches(
    samples: TrainSamples,
    indices: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int,
    epochs: int,
    skip: int = 0,
    place: World = ALONE,
) -> Iterator[Batch]:
    """Yield a process's shares of the batches of all epochs after the first ``skip``.

    The order is by (seed, epoch); neither it nor what a batch holds depends on the processes. One
    loader serves all epochs, so that its workers never stand still between two.
    """
    steps = math.ceil(len(indices) / batch_size)
    batches = (
        [(seed, epoch, int(index)) for index in rows]
        for epoch in range(skip // steps, epochs)
        for rows in epoch_rows(indices, batch_size=batch_size, seed=seed, epoch=epoch)
    )
    sizes = cycle(len(rows) for rows in _divided(indices, batch_size))
    skipped = skip % steps
    return _batches(samples, islice(batches, skipped, None), islice(sizes, skipped, None), place)


def epoch_rows(
    indices: NDArray[np.int64], *, batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return which of ``indices`` are in each batch of an epoch, counted from 0."""
    return _divided(generator(seed, "order", epoch).permutation(indices), batch_size)


def eval_batches(
    samples: EvalSamples, indices: NDArray[np.int64], *, batch_size: int, place: World = ALONE
) -> Iterator[Batch]:
    """Yield a process's batches of ``indices`` in order, each index once among all processes.

    Batches stay whole: of every ``place.size`` in a row the process gets the one of its rank.
    """
    batches = [rows.tolist() for rows in _divided(indices, batch_size)[place.rank :: place.size]]
    return _batches(samples, batches, map(len, batches), ALONE)


def _divided(indices: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _batches(
    samples: TrainSamples | EvalSamples,
    batches: Iterable[Sequence[object]],
    sizes: Iterable[int],
    place: World,
) -> Iterator[Batch]:
    def own(keys: Sequence[object]) -> Sequence[object]:
        share = share_of(len(keys), place)
        return keys[share.start : share.stop]

    loader = DataLoader(
        samples,
        batch_sampler=map(own, batches),  # type: ignore[arg-type]  # any iterable of keys will do
        num_workers=loading_workers(),
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
    for (pixels, labels, indices), total in zip(loader, sizes, strict=False):
        yield Batch(pixels, labels, indices, total, samples.colors)


def collate(rows: Sequence[tuple[Tensor, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Put images, labels and indices together: ``uint8 [B, 3, S, S]`` channels_last, ``int64 [B]``.

    The bytes lie as a GPU's convolutions want them, so that what reaches it is copied and no more.
    """
    images, labels, indices = zip(*rows, strict=True)
    pixels = torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return pixels, torch.tensor(labels), torch.tensor(indices)


def loading_workers() -> int:
    """Return SPG_WORKERS; without it, none on a CPU, which computes.

    Beside a GPU this process's share of the cores that the machine lets it use, up to 8: of several
    processes on one machine each has the same part.
    """
    default = 0
    if torch.cuda.is_available():
        default = min(8, max(1, usable_cores() // processes_here()))
    return number_of("SPG_WORKERS", default)
