"""What one process does to feed a GPU, a batch of 30 at 321 pixels: bytes, and floats as before.

    python benchmarks/feeding.py

- load: decode, resize, crop, flip and collate a batch of bytes, on one core: all that is left;
- before: the same, put together by torch's own collate, and turned into floats on the CPU, as the
  training's own process did before bytes went to the device;
- find: where an image's bytes lie among ILSVRC's 20,802 batches of rows, by the held column and by
  asking the table for its column anew, as before.

Ratios are taken within one run. One thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import default_collate

from spg.data.images.packed import ROWS_PER_BATCH
from spg.data.inputs.batches import Batch, collate
from spg.data.inputs.colors import IMAGENET
from spg.data.inputs.samples import TrainSamples
from spg.project.schema.training import InputParams
from spg.tools.step_costs import DrawnImages

BATCH, SIZE_WH, ILSVRC = 30, (500, 375), 1_331_167
GEOMETRY = InputParams(aspect="squash", resize=356, crop=321)
CPU = torch.device("cpu")
REPEATS = 15


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of ``work``, after one that does not count."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    samples = TrainSamples(DrawnImages(SIZE_WH), [0] * BATCH, GEOMETRY, IMAGENET)
    keys = [(0, 0, number) for number in range(BATCH)]
    batch = Batch(*collate([samples[key] for key in keys]), BATCH, IMAGENET)
    load = seconds(lambda: collate([samples[key] for key in keys]))
    before = seconds(lambda: default_collate([samples[key] for key in keys]))
    normalize = seconds(lambda: batch.images(CPU))
    print(
        f"load: {BATCH / load:.0f} images/s a core, {1000 * load:.0f} ms a batch of "
        f"{batch.pixels.nbytes / 1e6:.1f} MB\n"
        f"before: {BATCH / (before + normalize):.0f} images/s a core; of {1000 * before:.0f} ms to "
        f"load and {1000 * normalize:.0f} ms to normalize a batch of "
        f"{4 * batch.pixels.nbytes / 1e6:.1f} MB the second was the training's own process's"
    )
    row = pa.record_batch({"image": pa.array([b""] * ROWS_PER_BATCH, pa.binary())})
    table = pa.Table.from_batches([row] * -(-ILSVRC // ROWS_PER_BATCH))
    column, places = table["image"], np.random.default_rng(0).integers(0, ILSVRC, 1000).tolist()
    held = seconds(lambda: [column[place].as_buffer() for place in places]) / 1000
    anew = seconds(lambda: [table["image"][place].as_buffer() for place in places[:20]]) / 20
    print(f"find: {1e6 * held:.1f} us an image, {1e6 * anew:.0f} us before")


if __name__ == "__main__":
    main()
