"""What packed shards cost or save in training: data loading alone, shards against class folders.

    python benchmarks/loading.py                            # 2000 images, 0, 1 and 2 workers
    python benchmarks/loading.py --images 10000 --folder /mnt/disk

Three ways to the same batches of 224 x 224 from the same bytes, JPEGs of 500 x 375 in 100 classes:

- packed: `PackedImages` and `TrainSamples`, as `spg train` reads;
- files, cv2: a file an image in class folders, the same decoder, the same `TrainSamples`;
- files, PIL: torchvision's ImageFolder with PIL and transforms v2, as most codes read.

A pass is an epoch in random order, its workers' start included; in every repeat each way makes one,
and ratios are taken within a repeat. `warm`: all bytes lie in the page cache. `cold`: before each
pass the cache is told to forget them (posix_fadvise DONTNEED); the table has the MB that a pass
then read from the device, which may have a cache of its own. Needs Linux.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision.transforms.v2 as T
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from spg.data.images.packed import (
    ROWS_PER_SHARD,
    EncodedImage,
    PackedImages,
    shard_name,
    write_shard,
)
from spg.data.inputs.batches import train_batches
from spg.data.inputs.colors import IMAGENET
from spg.data.inputs.samples import TrainSamples
from spg.project.schema.training import InputParams

WIDTH, HEIGHT, CLASSES, QUALITY = 500, 375, 100, 92
GEOMETRY = InputParams(aspect="squash", resize=256, crop=224)
BATCH = 32
CPU = torch.device("cpu")
AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


class FileImages:
    """The images of class folders, decoded as `PackedImages` decodes them."""

    def __init__(self, folder: Path) -> None:
        self.paths = [path for path, _ in ImageFolder(str(folder)).samples]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image ``index`` as ``uint8 [H, W, 3]``, RGB."""
        bgr = cv2.imdecode(np.fromfile(self.paths[index], dtype=np.uint8), AS_STORED)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def drawn_jpeg(number: int) -> bytes:
    """Noise of all scales, the coarser the stronger, as photographs have it; some 80 KB."""
    rng = np.random.default_rng(number)
    pixels = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.float32)
    for octave in range(8):
        width, height = 4 << octave, 3 << octave
        noise = rng.standard_normal((height, width, 3), dtype=np.float32)
        pixels += (
            cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) * 50 / 1.6**octave
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpg", np.clip(pixels, 0, 255).astype(np.uint8), options)[1].tobytes()


def write_both(root: Path, count: int) -> None:
    """Write the same images, in the same order, as class folders and as shards."""
    paths = []
    for number in range(count):
        path = root / f"files/class{number * CLASSES // count:03d}/{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn_jpeg(number))
        paths.append(path)
    (root / "packed").mkdir()
    for shard, start in enumerate(range(0, count, ROWS_PER_SHARD)):
        rows = paths[start : start + ROWS_PER_SHARD]
        encoded = (EncodedImage(path.read_bytes(), None, None) for path in rows)
        write_shard(root / "packed" / shard_name(shard), encoded)
    os.sync()  # what is not written yet cannot be forgotten


def our_batches(images: PackedImages | FileImages, count: int, epoch: int) -> Iterator[Tensor]:
    """Yield the normalized batches of an epoch as the training gets them."""
    labels = [number * CLASSES // count for number in range(count)]
    samples = TrainSamples(images, labels, GEOMETRY, IMAGENET)
    skip = epoch * math.ceil(count / BATCH)
    for batch in train_batches(
        samples, np.arange(count), batch_size=BATCH, seed=0, epochs=epoch + 1, skip=skip
    ):
        yield batch.images(CPU)


def usual_batches(folder: Path) -> Iterator[Tensor]:
    """Yield the batches of an epoch as the usual script makes them."""
    transform = T.Compose(
        [
            T.Resize((GEOMETRY.resize, GEOMETRY.resize)),
            T.RandomCrop(GEOMETRY.crop),
            T.RandomHorizontalFlip(),
            T.ToImage(),
            T.ToDtype(torch.float32, scale=True),
            T.Normalize(list(IMAGENET.mean), list(IMAGENET.std)),
        ]
    )
    loader = DataLoader(
        ImageFolder(str(folder), transform),
        batch_size=BATCH,
        shuffle=True,
        num_workers=int(os.environ["SPG_WORKERS"]),
    )
    for images, _ in loader:
        yield images


def forget(folder: Path) -> None:
    """Ask the kernel to drop the files' pages; nothing may have them mapped."""
    for path in folder.rglob("*.*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def bytes_read() -> int:
    """Return what this process and its ended children have read from devices."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return 512 * sum(resource.getrusage(each).ru_inblock for each in who)


def timed(epoch: Callable[[], Iterator[Tensor]], count: int) -> tuple[float, float]:
    """Return the images a second of one pass and the MB that it read from the device."""
    before, start = bytes_read(), time.perf_counter()
    seen = sum(len(images) for images in epoch())
    seconds = time.perf_counter() - start
    assert seen == count
    return count / seconds, (bytes_read() - before) / 1e6


def measure(root: Path, count: int, repeats: int, workers: list[int]) -> None:
    """Print a row for each state of the cache and number of workers."""
    numbers = itertools.count()
    ways: dict[str, tuple[Path, Callable[[], Iterator[Tensor]]]] = {
        "packed": (
            root / "packed",
            lambda: our_batches(PackedImages(root / "packed"), count, next(numbers)),
        ),
        "files, cv2": (
            root / "files",
            lambda: our_batches(FileImages(root / "files"), count, next(numbers)),
        ),
        "files, PIL": (root / "files", lambda: usual_batches(root / "files")),
    }
    for cache in ("warm", "cold"):
        for number in workers:
            os.environ["SPG_WORKERS"] = str(number)
            speeds: dict[str, list[float]] = {name: [] for name in ways}
            read: dict[str, list[float]] = {name: [] for name in ways}
            for repeat in range(repeats + 1):
                for name, (folder, epoch) in ways.items():
                    if cache == "cold":
                        forget(folder)
                    speed, megabytes = timed(epoch, count)
                    if repeat:  # the first one warms up
                        speeds[name].append(speed)
                        read[name].append(megabytes)
            print(row(cache, number, speeds, read), flush=True)


def row(
    cache: str, workers: int, speeds: dict[str, list[float]], read: dict[str, list[float]]
) -> str:
    """Return one row of the table: medians, and ratios with their smallest and largest."""
    cells = [cache, str(workers)]
    cells += [f"{statistics.median(values):.0f}" for values in speeds.values()]
    for name in ("files, cv2", "files, PIL"):
        ratios = [ours / other for ours, other in zip(speeds["packed"], speeds[name], strict=True)]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    cells += [f"{statistics.median(values):.0f}" for values in read.values()]
    return f"| {' | '.join(cells)} |"


def check_equal(root: Path, count: int) -> None:
    """Shards and files have to give the same pixels to the same network."""
    os.environ["SPG_WORKERS"] = "0"
    both = (PackedImages(root / "packed"), FileImages(root / "files"))
    first = [next(our_batches(images, count, 0)) for images in both]
    assert torch.equal(*first)


def main() -> None:
    """Draw, check, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: /tmp's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        root, count = Path(name), arguments.images
        write_both(root, count)
        check_equal(root, count)
        sizes = [path.stat().st_size for path in (root / "files").rglob("*.jpg")]
        print(
            f"{count} JPEGs of {WIDTH} x {HEIGHT}, {statistics.mean(sizes) / 1000:.0f} KB each, "
            f"{sum(sizes) / 1e6:.0f} MB; {os.cpu_count()} cores; images a second, median of "
            f"{arguments.repeats} passes\n"
        )
        print(
            "| cache | workers | packed | files, cv2 | files, PIL | packed / cv2 | packed / PIL "
            "| MB read: packed | cv2 | PIL |\n" + "| --- |" + " ---: |" * 9
        )
        measure(root, count, arguments.repeats, arguments.workers)


if __name__ == "__main__":
    main()
