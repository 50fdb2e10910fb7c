"""How `spg prepare` grows: time and memory for more and more images.

    python benchmarks/prepare.py 1000 10000 50000

Images are a thousand random JPEGs of 160 x 120 pixels, linked again and again, shrunk to a short
side of 96; in CUB's layout, 10 classes. Each size runs as a command of its own.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from spg.config import read_yaml

ROOT = Path(__file__).parent.parent
CLASSES = 10
WIDTH, HEIGHT = 160, 120


def write_raw(raw: Path, count: int) -> None:
    """Write a data set of ``count`` images in CUB's layout."""
    (raw / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(min(count, 1000)):
        pixels = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
        cv2.imwrite(str(raw / f"images/{number}.jpg"), pixels)
    tables: dict[str, list[str]] = {
        "images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []
    }  # fmt: skip
    for number in range(count):
        if number >= 1000:
            (raw / f"images/{number}.jpg").hardlink_to(raw / f"images/{number % 1000}.jpg")
        tables["images"].append(f"{number + 1} {number}.jpg")
        tables["image_class_labels"].append(f"{number + 1} {number % CLASSES + 1}")
        tables["train_test_split"].append(f"{number + 1} {number // CLASSES % 2}")
        tables["bounding_boxes"].append(f"{number + 1} 5 5 50 50")
    tables["classes"] = [f"{number + 1} class{number}" for number in range(CLASSES)]
    for table, lines in tables.items():
        (raw / f"{table}.txt").write_text("\n".join(lines) + "\n")


def measure(count: int, workers: int) -> None:
    """Print seconds and the peak memory of the largest process."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        params = copy.deepcopy(read_yaml(ROOT / "params.yaml"))
        params["datasets"]["synthetic_birds"]["prepare"] |= {"short_side": 96}
        (root / "params.yaml").write_text(json.dumps(params))
        write_raw(root / "data/raw/synthetic_birds", count)
        command = [sys.executable, "-m", "spg", "prepare", "synthetic_birds"]
        start = time.perf_counter()
        subprocess.run(
            command, cwd=root, check=True, stderr=subprocess.DEVNULL,
            env={**os.environ, "SPG_WORKERS": str(workers), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        rows = pq.read_table(root / "data/packed/synthetic_birds/manifest.parquet").num_rows
        assert rows == count
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{count:7} images, {workers} workers: {seconds:6.1f} s, "
            f"{1000 * seconds / count:.2f} ms an image; largest process so far {peak:.0f} MiB"
        )


if __name__ == "__main__":
    for size in sys.argv[1:]:
        measure(int(size), os.cpu_count() or 1)
