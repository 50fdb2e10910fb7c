"""Write benchmarks/results.md: the computation, the loading and the evaluator on this machine.

    python benchmarks/results.py            # `make bench`; a quarter of an hour on 2 cores

Every row of the first two tables is `spg bench` in a process of its own, on the network of
wsolevaluation's sizes: SPG on Inception-v3, 28 x 28 maps, 224 pixels, batch 8. Shares are of the
matmul peak that the same process measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from spg.project.files import write_text

ROOT = Path(__file__).parent.parent
SIZES = ("--dataset", "ilsvrc", "--side", "224", "--batch-size", "8")
COLUMNS = ("work", "classes", "precision", "processes", "images/s", "range", "memory, GB",
           "GFLOP an image", "matmul peak, GFLOP/s", "share of it")  # fmt: skip


def bench(work: str, *words: str, processes: int = 1) -> dict[str, Any]:
    """Run `spg bench` and return its facts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.json"
        subprocess.run(
            [sys.executable, "-m", "spg", "bench", work, *SIZES, *words, "--json", str(file)],
            cwd=ROOT, env=os.environ | {"SPG_NPROC": str(processes)}, check=True,
        )  # fmt: skip
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return facts


def row(facts: dict[str, Any]) -> str:
    """Return one line of the table."""
    low, high = facts["images_per_second_range"]
    cells = (
        facts["work"], str(facts["classes"]), facts["precision"], str(facts["processes"]),
        f"{facts['images_per_second']:.2f}", f"{low:.2f} to {high:.2f}",
        f"{facts['peak_memory_bytes'] / 1e9:.2f}", f"{facts['gflop_per_image']:.1f}",
        f"{facts['matmul_gflops']:.0f}", f"{facts['matmul_share']:.0%}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(rows: list[str]) -> str:
    """Return a table of `COLUMNS`."""
    aligned = ["---:" if number != 0 and number != 2 else "---" for number in range(len(COLUMNS))]
    return "\n".join([f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(aligned)} |", *rows])


def output_of(script: str) -> str:
    """Return what another benchmark prints."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}"], cwd=ROOT, check=True, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def main() -> None:
    """Measure one after the other, then write the page."""
    growth = [
        row(bench(work, "--classes", str(classes), "--precision", precision))
        for work in ("train", "localize")
        for precision in ("float32", "bf16")
        for classes in (10, 200, 1000)
    ]
    processes = [row(bench("train", "--precision", "bf16", processes=count)) for count in (1, 2)]
    evaluate = bench("evaluate")
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    write_text(
        ROOT / "benchmarks/results.md",
        f"""# Benchmarks

Written by `make bench` (benchmarks/results.py): {processor()}{gpu}, {os.cpu_count()} cores,
torch {torch.__version__}. SPG on Inception-v3, 28 x 28 maps, 224 pixels, batch 8; median of five
steps after two, images in memory; the share is of the best matrix product that the same process
measured between the steps. Convolutions need not stay below it: they block their work themselves.

## Computation

{table(growth)}

Processes under torchrun, which share the batch and the cores (200 classes):

{table(processes)}

## Evaluator

`spg bench evaluate`: boxes at 999 thresholds, images of 500 x 375, maps of 28 x 28, one process:
{evaluate["images_per_second"]:.0f} images/s.

{output_of("evaluator.py")}

## Loading

{output_of("loading.py")}
""",
    )


if __name__ == "__main__":
    main()
