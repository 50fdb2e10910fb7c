"""What a few steps cost on this machine: the real network, losses and optimizer, drawn pixels."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spg.data.images.manifest import TEST
from spg.data.inputs.batches import Batch, collate
from spg.data.inputs.samples import EvalSamples, TrainSamples
from spg.evaluate.sweep.image import Image
from spg.evaluate.sweep.rows import evaluator_of, find_measures, measure_map
from spg.localize.maps import find_extractors, localize_batch, viewed
from spg.networks.compute.device import pick_device, set_numbers
from spg.networks.compute.distributed import share_of, world
from spg.networks.parts.build import build_network, tested
from spg.networks.parts.stem import Stem
from spg.project.params import Params
from spg.project.seeding import generator
from spg.project.workspace import Cell
from spg.train.loop import Trainer

STEPS = 2  # timed, after one that is not
PROBE = 2  # images of the first steps: the fewest that batch norm trains on
LONGEST_STEP = 1.5  # seconds; a slower one is measured with fewer images and scaled


class Timing(NamedTuple):
    """Costs of one method on one backbone; seconds are those of one image."""

    decode: float
    """Reading, squashing and cropping, in one process."""
    train: float
    """Forward, losses, backward, optimizer."""
    localize: float
    """Forward and all extractors."""
    evaluate: float
    """Boxes at every threshold, all extractors."""
    model_bytes: int
    map_bytes: int
    """Of one image, all extractors."""
    train_batch: int
    """Images of a measured training step."""
    localize_batch: int
    """Images of a measured localization step."""


class CellWork:
    """The real network, losses and optimizer of a cell, with random weights, on drawn images.

    Under torchrun a process trains its share of a batch.

    Args:
        params: batch sizes, input sizes and optimizer as in the real run.
        cell: whose network is built.
        classes: number of logits.
        size_wh: size of the images that are decoded.
    """

    def __init__(self, params: Params, cell: Cell, classes: int, size_wh: tuple[int, int]) -> None:
        set_numbers(pick_device())
        setup, localization = params.setup(cell.dataset, cell.backbone), params.localization
        model, criterion = build_network(params, cell, classes)
        stem: Stem = model.stem  # type: ignore[assignment]
        count = max(setup.train.batch_size, localization.batch_size)
        labels = [number % classes for number in range(count)]
        images = DrawnImages(size_wh)
        samples = TrainSamples(images, labels, setup.input, stem.colors)
        self._trainer = Trainer(
            model, criterion, samples, np.arange(10 * count), train=setup.train,
            execution=params.execution, seed=0, checkpoint=Path("never written"),
        )  # fmt: skip
        keys = [(0, 0, number) for number in range(setup.train.batch_size)]
        self.decode_seconds, self._train_batch = _timed_batch(samples, keys)
        side, self._crop = viewed(setup.input, ten_crop=localization.ten_crop)
        whole = EvalSamples(images, labels, side, stem.colors)
        _, self._whole_batch = _timed_batch(whole, list(range(localization.batch_size)))
        self._extractors = find_extractors(params.extractors_of(cell.dataset, cell.method))
        self._precision = localization.precision
        self._evaluator = evaluator_of(params.sweep)
        self._measures = find_measures(params.sweep.measures)
        box = np.array([[0.0, 0.0, *size_wh]])
        self._image = Image("drawn", TEST, size_wh, box, np.zeros((0, 4)), None, None)
        self.maps: dict[str, NDArray[np.float32]] = {}

    @property
    def model(self) -> nn.Module:
        """The whole network."""
        return self._trainer.model

    def train(self, images: int) -> None:
        """Take one step with ``images`` images."""
        self.model.train()
        self._trainer.train_step(_share(_first(self._train_batch, images)))

    def localize(self, images: int) -> None:
        """Take the maps of ``images`` images by all extractors into ``maps``."""
        batch, device = _first(self._whole_batch, images), self._trainer.device
        _, self.maps = localize_batch(
            tested(self.model).eval(), self._extractors,
            batch.images(device), batch.labels.to(device),
            precision=self._precision, crop=self._crop,
        )  # fmt: skip

    def evaluate(self, images: int) -> None:
        """Measure the first map of each extractor ``images`` times at every threshold."""
        for values in self.maps.values():
            for _ in range(images):
                measure_map(values[0], self._image, self._evaluator, self._measures)


def measure(params: Params, cell: Cell, classes: int, size_wh: tuple[int, int]) -> Timing:
    """Time a few steps of `CellWork`, with fewer images where a step takes long."""
    work, setup = (
        CellWork(params, cell, classes, size_wh),
        params.setup(cell.dataset, cell.backbone),
    )
    train, train_batch = _seconds_per_image(work.train, setup.train.batch_size)
    localize, localize_batch = _seconds_per_image(work.localize, params.localization.batch_size)
    raw_maps = [values[0] for values in work.maps.values()]
    return Timing(
        decode=work.decode_seconds,
        train=train,
        localize=localize,
        evaluate=_seconds_per_image(work.evaluate, batch_size=1)[0],
        model_bytes=sum(t.numel() * t.element_size() for t in work.model.state_dict().values()),
        map_bytes=sum(raw_map.nbytes for raw_map in raw_maps),
        train_batch=train_batch,
        localize_batch=localize_batch,
    )


def peak_memory_bytes() -> int:
    """Return the most memory that was in use so far: the GPU's, else this process's."""
    if pick_device().type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


class DrawnImages:
    """The same smooth noise as a JPEG for every index.

    Args:
        size_wh: in pixels.
    """

    def __init__(self, size_wh: tuple[int, int]) -> None:
        noise = generator(0, "plan").integers(0, 256, (12, 16, 3)).astype(np.uint8)
        self.encoded = cv2.imencode(".jpg", cv2.resize(noise, size_wh))[1]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode, as the packed images are."""
        bgr = np.asarray(cv2.imdecode(self.encoded, cv2.IMREAD_COLOR))
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _timed_batch(
    samples: TrainSamples | EvalSamples, keys: list[tuple[int, int, int]] | list[int]
) -> tuple[float, Batch]:
    start = time.perf_counter()
    parts = collate([samples[key] for key in keys])  # type: ignore[index]
    seconds = (time.perf_counter() - start) / len(keys)
    return seconds, Batch(*parts, len(keys), samples.colors)


def _first(batch: Batch, images: int) -> Batch:
    return _rows(batch, slice(images), images)


def _rows(batch: Batch, rows: slice, total: int) -> Batch:
    parts = (batch.pixels[rows], batch.labels[rows], batch.indices[rows])
    return Batch(*parts, total, batch.colors)


def _seconds_per_image(step: Callable[[int], object], batch_size: int) -> tuple[float, int]:
    """Time ``step(images)`` with as many images as take no longer than `LONGEST_STEP`."""
    images = min(PROBE, batch_size)
    time_step(step, images)  # the first one allocates
    seconds = time_step(step, images)
    fitting = min(batch_size, max(images, int(images * LONGEST_STEP / seconds)))
    if fitting > images:
        images = fitting
        time_step(step, images)
    timed = [time_step(step, images) for _ in range(STEPS)]
    return min(timed) / images, images


def _share(batch: Batch) -> Batch:
    """Return this process's share of a batch."""
    start, stop, total = share_of(len(batch.labels), world())
    return _rows(batch, slice(start, stop), total)


def time_step(step: Callable[[int], object], images: int) -> float:
    """Return how long ``step(images)`` takes, to its end on the device."""
    start = time.perf_counter()
    step(images)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
