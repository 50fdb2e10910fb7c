"""What ILSVRC's size costs before anything is computed: 1.33 million rows, 1,000 classes.

    python benchmarks/ilsvrc_size.py

Every image is the same tiny one, packed 1,331,167 times in shards as ``prepare`` writes them, and
the network is the smallest: what is measured is what belongs to rows and classes. ``train`` is its
start and its first step (``--pilot 1``); the stages behind it are whole, for 50,000 test images.
Seconds are those of a command with its start, memory that of its largest process. Needs Linux and
2 GB of disk.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from growth import ROOT, params, run
from manifest import CLASSES, TRAIN, VAL, rows
from tqdm import tqdm

from spg.data.images.manifest import read_labels, write_manifest
from spg.data.images.packed import ROWS_PER_SHARD, EncodedImage, shard_name, write_shard
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import save_model
from spg.project.files import write_json, write_text
from spg.project.params import Params, load_params
from spg.project.workspace import PROVENANCE, Cell, Workspace
from spg.train.provenance import identity, record

DATASET = "synthetic_birds"
CELL = Cell(DATASET, "inception_v3", "spg_plain", 0)
WORDS = ("--method", CELL.method, "--seed", str(CELL.seed))
STAGES = (
    ("train", "--pilot", "1", *WORDS), ("localize", *WORDS), ("sweep", *WORDS),
    ("evaluate", *WORDS), ("compare",), ("report",),
)  # fmt: skip


def pack(folder: Path) -> None:
    """Write what ``prepare`` leaves, with one image of 16 x 12 pixels in every row."""
    folder.mkdir(parents=True)
    write_manifest(folder / "manifest.parquet", rows())
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    image = EncodedImage(cv2.imencode(".jpg", pixels)[1].tobytes(), None, None)
    total = TRAIN + VAL
    for number, start in enumerate(tqdm(range(0, total, ROWS_PER_SHARD), "pack", unit="shard")):
        count = min(ROWS_PER_SHARD, total - start)
        write_shard(folder / shard_name(number), [image] * count)


def leave_training(workspace: Workspace, known: Params) -> None:
    """Write what a training would leave, of a network that has not learned."""
    classes = read_labels(workspace.packed(DATASET) / "manifest.parquet").classes
    torch.manual_seed(0)
    model, _ = build_network(known, CELL, len(classes))
    folder = workspace.run(CELL)
    folder.mkdir(parents=True)
    save_model(folder / "model.safetensors", model)
    facts = identity(known, CELL, classes=classes, inputs={}) | record("float32")
    write_json(folder / PROVENANCE, facts)
    write_text(folder / "history.csv", "epoch,loss,loss_cls,train_top1_err\n1,6.9,6.9,1.0\n")


def main() -> None:
    """Measure and print a line a stage."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name))
        (workspace.root / "params.yaml").write_text(json.dumps(params()))
        for used in ("paper.yaml", "notebooks"):
            (workspace.root / used).symlink_to(ROOT / used)
        workspace.raw(DATASET).mkdir(parents=True)  # nothing to fetch
        pack(workspace.packed(DATASET))
        run(workspace.root, ("weights", CELL.backbone))
        leave_training(workspace, load_params(workspace.root / "params.yaml"))
        print(f"{TRAIN + VAL:,} rows, {CLASSES:,} classes, {VAL:,} test images")
        print(
            "| stage | seconds | largest process, MiB | on disk, MB |\n| --- | ---: | ---: | ---: |"
        )
        for words in STAGES:
            learns_nothing_yet = int("--pilot" in words)  # its status, after one step
            cost = run(workspace.root, words, status=learns_nothing_yet)
            print(
                f"| {words[0]} | {cost.seconds:.1f} | {cost.megabytes:.0f} | {cost.written:.1f} |"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
