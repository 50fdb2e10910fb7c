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
from torch import Tensor

from spg.config import Params
from spg.data.batches import Batch, EvalSamples, TrainSamples, normalize_images
from spg.data.manifest import TEST
from spg.device import make_deterministic, pick_device
from spg.localize import find_extractors, localize_batch
from spg.metrics.protocols import PROTOCOLS
from spg.network import build_network
from spg.schema import SweepParams
from spg.seeding import generator
from spg.stem import Stem
from spg.sweep import Evaluator, Image
from spg.training import Trainer
from spg.workspace import Cell

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


def measure(params: Params, cell: Cell, classes: int, size_wh: tuple[int, int]) -> Timing:
    """Time a few steps of ``cell`` on drawn images of ``size_wh`` pixels; nothing is written.

    Args:
        params: batch sizes, input sizes and optimizer as in the real run.
        cell: whose network is built, with random weights.
        classes: number of logits.
        size_wh: size of the images that are decoded.
    """
    make_deterministic()
    setup = params.setup(cell.dataset, cell.backbone)
    model, criterion = build_network(params, cell, classes)
    stem: Stem = model.stem  # type: ignore[assignment]
    count = max(setup.train.batch_size, params.localization.batch_size)
    labels = [number % classes for number in range(count)]
    images = DrawnImages(size_wh)
    train = TrainSamples(images, labels, setup.input, stem.colors)
    trainer = Trainer(
        model, criterion, train, np.arange(count * (STEPS + 3)),
        train=setup.train, seed=0, checkpoint=Path("never written"),
    )  # fmt: skip
    model.train()
    decode, train_batch = _timed_batch(train, [(0, 0, number) for number in range(count)])
    train_seconds, train_images = _seconds_per_image(
        lambda images: trainer.train_step(_first(train_batch, images)), setup.train.batch_size
    )
    model.eval()
    crop = setup.input.crop if params.localization.ten_crop else None
    side = setup.input.resize if crop else setup.input.crop
    whole = EvalSamples(images, labels, side, stem.colors)
    _, whole_batch = _timed_batch(whole, list(range(count)))
    extractors = find_extractors(params, cell.method)
    maps: dict[str, Tensor] = {}

    def localize(images: int) -> None:
        batch = _first(whole_batch, images)
        maps.update(localize_batch(model, extractors, batch, trainer.device, crop=crop)[1])

    localize_seconds, localize_images = _seconds_per_image(localize, params.localization.batch_size)
    raw_maps = [values[0].cpu().numpy() for values in maps.values()]
    return Timing(
        decode=decode,
        train=train_seconds,
        localize=localize_seconds,
        evaluate=sum(_evaluation_seconds(m, size_wh, params.sweep) for m in raw_maps),
        model_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
        map_bytes=sum(raw_map.nbytes for raw_map in raw_maps),
        train_batch=train_images,
        localize_batch=localize_images,
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
    images, labels, indices = zip(*(samples[key] for key in keys), strict=True)  # type: ignore[index]
    batch = normalize_images(torch.stack(images), samples.colors)
    seconds = (time.perf_counter() - start) / len(keys)
    return seconds, Batch(batch, torch.tensor(labels), torch.tensor(indices))


def _first(batch: Batch, images: int) -> Batch:
    return Batch(*(part[:images] for part in batch))


def _seconds_per_image(step: Callable[[int], object], batch_size: int) -> tuple[float, int]:
    """Time ``step(images)`` with as many images as take no longer than `LONGEST_STEP`."""
    images = min(PROBE, batch_size)
    _seconds(step, images)  # the first one allocates
    seconds = _seconds(step, images)
    fitting = min(batch_size, max(images, int(images * LONGEST_STEP / seconds)))
    if fitting > images:
        images = fitting
        _seconds(step, images)
    timed = [_seconds(step, images) for _ in range(STEPS)]
    return min(timed) / images, images


def _seconds(step: Callable[[int], object], images: int) -> float:
    start = time.perf_counter()
    step(images)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _evaluation_seconds(
    raw_map: NDArray[np.float32], size_wh: tuple[int, int], sweep: SweepParams
) -> float:
    evaluator = Evaluator(PROTOCOLS[sweep.protocol], sweep.thresholds)
    image = Image("drawn", TEST, size_wh, np.array([[0.0, 0.0, *size_wh]]), None, None)

    def evaluate(_: int) -> None:
        evaluator.measure(raw_map, image)

    return _seconds_per_image(evaluate, batch_size=1)[0]
