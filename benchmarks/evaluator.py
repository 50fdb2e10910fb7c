"""How fast the evaluator is: all thresholds in one pass against contouring each of them anew.

    python benchmarks/evaluator.py                  # both rules against the plain loop, one core
    python benchmarks/evaluator.py --maps 50000     # and `spg score` on that many files

The plain loop is what wsolevaluation does (docs/sources.md 4.2), written with the same libraries:
one cv2.findContours a threshold. Ratios are taken within one run.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from spg.evaluate.metrics.boxes import best_iou
from spg.evaluate.metrics.protocols import PROTOCOLS
from spg.evaluate.metrics.sweeps import sweep_map

WSOL = PROTOCOLS["wsolevaluation"]
THRESHOLDS = WSOL.thresholds(999)
SIDE = 224


def raw_map(number: int) -> np.ndarray:
    """Noise, smoother or rougher, of the sizes that networks give; every sixth one is a ring."""
    rng = np.random.default_rng(number)
    side = int(rng.choice([14, 28, 40]))
    noise = cv2.GaussianBlur(rng.random((side, side)), (0, 0), float(rng.uniform(0.5, side / 8)))
    if number % 6 == 0:
        y, x = np.mgrid[:side, :side] / side - 0.5
        noise += np.exp(-((np.hypot(x, y) - 0.3) ** 2) / 0.01) * np.ptp(noise) * 3
    return noise.astype(np.float32)


def true_boxes(number: int) -> np.ndarray:
    """One to three boxes."""
    rng = np.random.default_rng((1, number))
    corners = np.sort(rng.integers(0, SIDE, (int(rng.integers(1, 4)), 2, 2)), axis=1)
    return corners.reshape(-1, 4).astype(np.float64)


def plain_loop(loc_map: np.ndarray, truth: np.ndarray, rule: str) -> np.ndarray:
    """Threshold, contour, box and compare, a thousand times."""
    grey = (loc_map * 255).astype(np.uint8)
    best = []
    for threshold in THRESHOLDS:
        cut = int(threshold * grey.max())
        mask = cv2.threshold(grey, cut, 255, cv2.THRESH_BINARY)[1]
        contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        if contours and rule == "largest":
            contours = [max(contours, key=cv2.contourArea)]
        rectangles = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
        boxes = np.array(
            [(x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)) for x, y, w, h in rectangles]
        )
        best.append(best_iou(boxes.astype(np.float64), truth, inclusive=True).max())
    return np.array(best)


def compare_rules(count: int, repeats: int) -> None:
    """Print the medians of both ways, each with both rules, and their ratio."""
    maps = [WSOL.loc_map(raw_map(number), (SIDE, SIDE)) for number in range(count)]
    truths = [true_boxes(number) for number in range(count)]
    for loc_map, truth in zip(maps, truths, strict=True):
        swept = sweep_map(loc_map, truth, THRESHOLDS, WSOL)
        assert np.array_equal(swept.iou[0], plain_loop(loc_map, truth, "largest"))
        assert np.array_equal(swept.iou_all, plain_loop(loc_map, truth, "all"))
    ratios, times = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for loc_map, truth in zip(maps, truths, strict=True):
            sweep_map(loc_map, truth, THRESHOLDS, WSOL)
        middle = time.perf_counter()
        for loc_map, truth in zip(maps, truths, strict=True):
            plain_loop(loc_map, truth, "largest")
            plain_loop(loc_map, truth, "all")
        end = time.perf_counter()
        ratios.append((end - middle) / (middle - start))
        times.append(((middle - start) / count, (end - middle) / count))
    one_pass, loop = (1000 * statistics.median(way) for way in zip(*times, strict=True))
    ratio = statistics.median(ratios)
    print(
        f"both rules: one pass {one_pass:6.2f} ms a map, plain loop {loop:6.2f} ms: "
        f"{ratio:.1f} times faster (median of {repeats}; {min(ratios):.1f} to "
        f"{max(ratios):.1f}), equal results"
    )


def score_files(count: int) -> None:
    """Print the time and memory of `spg score` on map files; a thousand different ones, linked."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "maps").mkdir()
        (root / "metadata").mkdir()
        for number in range(min(count, 1000)):
            np.save(root / f"{number}.npy", WSOL.loc_map(raw_map(number), (SIDE, SIDE)))
        lines: dict[str, list[str]] = {
            "image_ids": [], "class_labels": [], "image_sizes": [], "localization": []
        }  # fmt: skip
        for number in range(count):
            (root / f"maps/{number}.jpg.npy").hardlink_to(root / f"{number % 1000}.npy")
            lines["image_ids"].append(f"{number}.jpg")
            lines["class_labels"].append(f"{number}.jpg,0")
            lines["image_sizes"].append(f"{number}.jpg,{SIDE},{SIDE}")
            for box in true_boxes(number % 1000):
                lines["localization"].append(f"{number}.jpg,{','.join(f'{v:g}' for v in box)}")
        for table, rows in lines.items():
            (root / f"metadata/{table}.txt").write_text("\n".join(rows) + "\n")
        command = [sys.executable, "-m", "spg", "score", "--maps", str(root / "maps")]
        command += ["--metadata", str(root / "metadata")]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{count} maps in {seconds:.1f} s, largest process {peak:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=48, help="maps of the comparison")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--maps", type=int, default=0, help="files for `spg score`; 0: none")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    compare_rules(arguments.images, arguments.repeats)
    if arguments.maps:
        score_files(arguments.maps)
