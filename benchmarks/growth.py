"""How every stage grows with the number of images: seconds, memory, disk.

    python benchmarks/growth.py 1000 10000 50000

Images are a thousand random JPEGs of 160 x 120 pixels, linked again and again, shrunk to a short
side of 96; in CUB's layout, 10 classes, half of them for training. The network is as small as it
gets, one epoch, one cell, one kind of map at 999 thresholds: what grows is what belongs to images
alone, and the computation of a real network comes on top (`spg plan`). Each stage is a command of
its own; what it needs to start is in its seconds. Needs Linux.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from spg.project.params import read_yaml

ROOT = Path(__file__).parent.parent
CLASSES, FILES = 10, 1000
WIDTH, HEIGHT = 160, 120
CELL = ("--method", "spg_plain", "--seed", "0")
STAGES = (
    ("prepare", "synthetic_birds"), ("train", *CELL), ("localize", *CELL), ("sweep", *CELL),
    ("evaluate", *CELL), ("compare",), ("report",),
)  # fmt: skip


class Cost(NamedTuple):
    """Of one stage."""

    seconds: float
    megabytes: float
    """Resident memory of its largest process, 2^20 bytes."""
    written: float
    """What it left on disk, 10^6 bytes."""


def write_raw(raw: Path, count: int) -> None:
    """Write a data set of ``count`` images in CUB's layout."""
    (raw / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(FILES):
        pixels = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
        cv2.imwrite(str(raw / f"images/{number}.jpg"), pixels)
    tables: dict[str, list[str]] = {
        "images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []
    }  # fmt: skip
    for number in range(count):
        if number >= FILES:
            (raw / f"images/{number}.jpg").hardlink_to(raw / f"images/{number % FILES}.jpg")
        tables["images"].append(f"{number + 1} {number}.jpg")
        tables["image_class_labels"].append(f"{number + 1} {number % CLASSES + 1}")
        tables["train_test_split"].append(f"{number + 1} {number // CLASSES % 2}")
        tables["bounding_boxes"].append(f"{number + 1} 5 5 50 50")
    tables["classes"] = [f"{number + 1} class{number}" for number in range(CLASSES)]
    for table, lines in tables.items():
        (raw / f"{table}.txt").write_text("\n".join(lines) + "\n")


def params() -> dict[str, Any]:
    """Return params.yaml's mapping with one small cell."""
    mapping = copy.deepcopy(read_yaml(ROOT / "params.yaml"))
    mapping |= {"methods": ["spg_plain"], "guided": [], "ablations": [], "seeds": [0]}
    for method in mapping["localization"]["extractors"].keys() - mapping["variants"].keys():
        if method != "spg_plain":
            del mapping[method]
    mapping["localization"]["extractors"] = {"spg_plain": ["cam"]}
    data = mapping["datasets"]["synthetic_birds"]
    mapping["datasets"] = {"synthetic_birds": data}
    data["prepare"]["short_side"] = 96
    setup = data["backbones"]["inception_v3"]
    setup["stem"] = {"width": 0.0625, "stride": 8, "weights": "random"}
    setup["input"] |= {"resize": 72, "crop": 64}
    setup["mask_side"] = 64
    setup["train"] |= {"epochs": 1, "batch_size": 32}
    return mapping


def disk(root: Path) -> float:
    """Return the size of all files but the raw ones, 10^6 bytes."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if "raw" not in path.parts) / 1e6


def run(root: Path, words: tuple[str, ...], *, status: int = 0) -> Cost:
    """Run one command in ``root``, which shall end with ``status``; return what it took."""
    before, start = disk(root), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "spg", *words], cwd=root, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, ended, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode != status:
        sys.exit(f"spg {' '.join(words)} ended with {process.returncode}")
    return Cost(seconds, usage.ru_maxrss / 1024, disk(root) - before)


def measure(count: int) -> list[Cost]:
    """Run every stage on ``count`` images."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "params.yaml").write_text(json.dumps(params()))
        for used in ("paper.yaml", "notebooks"):
            (root / used).symlink_to(ROOT / used)
        write_raw(root / "data/raw/synthetic_birds", count)
        costs = []
        for words in STAGES:
            costs.append(run(root, words))
            sys.stderr.write(f"{count} images: {words[0]}: {costs[-1]}\n")
        return costs


def table(sizes: list[int], costs: list[list[Cost]]) -> str:
    """Return a row a stage, a cell a number of images."""
    heads = ["stage", *(f"{size:,}" for size in sizes), "each further image"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for stage, (words, row) in enumerate(zip(STAGES, zip(*costs, strict=True), strict=True)):
        cells = [f"{c.seconds:.1f} s, {c.megabytes:.0f} MiB, {c.written:.1f} MB" for c in row]
        first, last, more = costs[0][stage], costs[-1][stage], sizes[-1] - sizes[0]
        milliseconds, kibibytes, kilobytes = (
            scale * (last[i] - first[i]) / more for i, scale in enumerate((1e3, 1024, 1e3))
        )
        cells.append(f"{milliseconds:.2f} ms, {kibibytes:.2f} KiB, {kilobytes:.2f} kB")
        lines.append(f"| {words[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure each size and print the table: time, memory of the largest process, disk."""
    sizes = sorted(int(size) for size in sys.argv[1:] or (1000, 10000, 50000))
    print(table(sizes, [measure(size) for size in sizes]))


if __name__ == "__main__":
    main()
