"""How long a manifest of ILSVRC's size takes to write and to read.

python benchmarks/manifest.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from spg.data.images.manifest import (
    SCHEMA,
    TEST,
    TRAIN_WEAKSUP,
    read_labels,
    read_manifest,
    write_manifest,
)

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
            "pseudo_boxes": [[]] * count,
        },
        schema=SCHEMA,
    )


def read(path: Path, how: str) -> None:
    """Print what reading costs a process that does nothing else, as each of a training's does."""
    start = time.perf_counter()
    found = READERS[how](path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    print(f"{how}: {seconds:.1f} s, {held:.0f} MiB held, peak {peak:.0f} MiB ({len(found)} parts)")


READERS = {"read_labels": read_labels, "read_manifest": read_manifest}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        read(Path(sys.argv[1]), sys.argv[2])
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        path, table = Path(folder) / "manifest.parquet", rows()
        start = time.perf_counter()
        write_manifest(path, table)
        seconds, size = time.perf_counter() - start, path.stat().st_size / 2**20
        print(f"{len(table)} rows, {BOXES} boxes, {size:.0f} MiB: written in {seconds:.1f} s")
        for how in READERS:
            subprocess.run([sys.executable, __file__, str(path), how], check=True)
