"""How long a manifest of ILSVRC's size takes to write and to read.

python benchmarks/manifest.py
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from spg.data.images.manifest import SCHEMA, TEST, TRAIN_WEAKSUP, read_manifest, write_manifest

TRAIN, VAL, BOXES, CLASSES = 1_281_167, 50_000, 80_477, 1000  # docs/sources.md 7


def rows() -> pa.Table:
    """Return a manifest with the published numbers of images and boxes."""
    boxes_of_image = np.ones(VAL, dtype=np.int64)
    np.add.at(boxes_of_image, np.arange(BOXES - VAL) % VAL, 1)
    count = TRAIN + VAL
    return pa.table(
        {
            "image_id": [f"train/n{n:08d}/n{n:08d}_{n}.JPEG" for n in range(count)],
            "class_id": np.arange(count) % CLASSES,
            "class_name": [f"n{n % CLASSES:08d} name" for n in range(count)],
            "split": [TRAIN_WEAKSUP] * TRAIN + [TEST] * VAL,
            "width": np.full(count, 500),
            "height": np.full(count, 375),
            "boxes": [[]] * TRAIN + [[[1.0, 2.0, 300.0, 200.0]] * n for n in boxes_of_image],
        },
        schema=SCHEMA,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path, table = Path(folder) / "manifest.parquet", rows()
        start = time.perf_counter()
        write_manifest(path, table)
        middle = time.perf_counter()
        frame = read_manifest(path)
        end = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{len(frame)} rows, {sum(map(len, frame['boxes']))} boxes: written and checked in "
            f"{middle - start:.1f} s, read and checked in {end - middle:.1f} s, "
            f"{path.stat().st_size / 2**20:.0f} MiB; process peak {peak:.0f} MiB"
        )
