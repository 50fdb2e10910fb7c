"""What the whole matrix of params.yaml will cost here: images, steps, hours, disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, TRAIN_WEAKSUP, read_manifest
from spg.data.inputs.batches import loading_workers
from spg.data.layouts.spec import read_source, spec_of
from spg.evaluate.sweep.rows import evaluator_of
from spg.networks.compute.device import pick_device
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.tools.step_costs import STEPS, DrawnImages, Timing, measure, peak_memory_bytes

SWEEP_BYTES = 40  # an image and place in sweep.parquet, before compression: a box and 3 IoU


class Sizes(NamedTuple):
    """What is planned for, and where the numbers are from."""

    train_weaksup: int
    train_fullsup: int
    test: int
    classes: int
    image_wh: tuple[int, int]
    data_bytes: int
    """Of all images, once."""
    source: str
    """``packed data``, ``params.yaml`` or ``published sizes``."""


class Row(NamedTuple):
    """The cells of one method on one backbone, all seeds together."""

    backbone: str
    method: str
    cells: int
    steps: int
    seconds_per_step: float
    """Of training, data loading included."""
    hours_train: float
    hours_localize: float
    hours_evaluate: float
    disk_bytes: int
    """Of models, maps and curves."""


def plan(
    workspace: Workspace, params: Params, dataset: str, backbones: list[str]
) -> dict[str, object]:
    """Measure a few steps and estimate every cell: the content of ``--json``.

    Ablations of SPG cost what SPG costs: one method of each file is measured.
    """
    sizes = sizes_of(workspace, params, dataset)
    timings: dict[tuple[str, str], Timing] = {}
    for backbone in backbones:
        for method in params.all_methods:
            key = (backbone, params.method_module(method))
            if key not in timings:
                cell = Cell(dataset, backbone, method, params.seeds_of(method)[0])
                timings[key] = measure(params, cell, sizes.classes, sizes.image_wh)
    rows = estimate(timings, sizes, params, dataset, workers=loading_workers())
    return summary(rows, sizes, dataset) | {
        "device": pick_device().type,
        "measured_steps": STEPS,
        "peak_memory_bytes": peak_memory_bytes(),
        "measured": [
            {
                "backbone": backbone,
                "method_file": file,
                "batch_size": params.setup(dataset, backbone).train.batch_size,
                **timing._asdict(),
            }
            for (backbone, file), timing in timings.items()
        ],
    }


def sizes_of(workspace: Workspace, params: Params, dataset: str) -> Sizes:
    """Return the sizes of the packed data, or, before there is any, those that will come.

    Raises:
        UserError: when holding images out would leave none to train on or to test.
    """
    manifest = workspace.packed(dataset) / "manifest.parquet"
    if manifest.exists():
        return _packed_sizes(manifest)
    entry = params.datasets[dataset]
    known = spec_of(dataset, entry.source).sizes(read_source(dataset, entry.source))
    train, test, classes, image_wh, data_bytes, apart = known
    origin = "params.yaml" if data_bytes is None else "published sizes"
    if data_bytes is None:
        data_bytes = (train + test + apart) * DrawnImages(image_wh).encoded.nbytes
    held_out = classes * entry.prepare.holdout_per_class
    if entry.prepare.holdout_from == "train":
        train -= held_out
    else:
        test -= held_out
    if min(train, test) <= 0:
        raise UserError(
            f"params.yaml: datasets.{dataset}.prepare: holdout_per_class "
            f"{entry.prepare.holdout_per_class} leaves {max(train, 0)} images to train on and "
            f"{max(test, 0)} to test; make it smaller"
        )
    return Sizes(train, held_out + apart, test, classes, image_wh, data_bytes, origin)


def _packed_sizes(manifest: Path) -> Sizes:
    rows = read_manifest(manifest)
    counts = rows["split"].value_counts()
    return Sizes(
        train_weaksup=int(counts[TRAIN_WEAKSUP]),
        train_fullsup=int(counts.get(TRAIN_FULLSUP, 0)),
        test=int(counts.get(TEST, 0)),
        classes=int(rows["class_id"].nunique()),
        image_wh=(int(np.median(rows["width"])), int(np.median(rows["height"]))),
        data_bytes=sum(path.stat().st_size for path in manifest.parent.iterdir()),
        source="packed data",
    )


def estimate(
    timings: Mapping[tuple[str, str], Timing],
    sizes: Sizes,
    params: Params,
    dataset: str,
    *,
    workers: int,
) -> list[Row]:
    """Scale timings to whole cells.

    Args:
        timings: by backbone and file in spg/networks/methods.
        sizes: of the data set.
        params: the matrix.
        dataset: its entry.
        workers: processes that load data beside the training; 0 loads in between.
    """
    rows = []
    located = sizes.train_fullsup + sizes.test
    for backbone in dict.fromkeys(backbone for backbone, _ in timings):
        train = params.setup(dataset, backbone).train
        for method in params.all_methods:
            timing, seeds = (
                timings[backbone, params.method_module(method)],
                len(params.seeds_of(method)),
            )
            steps = train.epochs * math.ceil(sizes.train_weaksup / train.batch_size)
            images = train.epochs * sizes.train_weaksup
            train_seconds = images * overlapped(timing.train, timing.decode, workers)
            localize_seconds = located * overlapped(timing.localize, timing.decode, workers)
            curves = SWEEP_BYTES * params.sweep.thresholds
            curves *= len(evaluator_of(params.sweep).normalizers)
            curves *= len(params.extractors_of(dataset, method))
            rows.append(
                Row(
                    backbone,
                    method,
                    cells=seeds,
                    steps=seeds * steps,
                    seconds_per_step=train_seconds / steps,
                    hours_train=seeds * train_seconds / 3600,
                    hours_localize=seeds * localize_seconds / 3600,
                    hours_evaluate=seeds * located * timing.evaluate / 3600,
                    disk_bytes=seeds * (timing.model_bytes + located * (timing.map_bytes + curves)),
                )
            )
    return rows


def overlapped(compute: float, decode: float, workers: int) -> float:
    """Return seconds an image when ``workers`` processes decode beside the computation."""
    return compute + decode if workers == 0 else max(compute, decode / workers)


def summary(rows: list[Row], sizes: Sizes, dataset: str) -> dict[str, object]:
    """Add the rows up."""
    steps = sum(row.steps for row in rows)
    hours_train = sum(row.hours_train for row in rows)
    hours_localize = sum(row.hours_localize for row in rows)
    hours_evaluate = sum(row.hours_evaluate for row in rows)
    return {
        "dataset": dataset,
        "sizes_from": sizes.source,
        "images_per_epoch": sizes.train_weaksup,
        "images_localized": sizes.train_fullsup + sizes.test,
        "classes": sizes.classes,
        "cells": sum(row.cells for row in rows),
        "steps": steps,
        "seconds_per_step": hours_train * 3600 / steps,
        "hours_train": hours_train,
        "hours_localize": hours_localize,
        "hours_evaluate": hours_evaluate,
        "hours": hours_train + hours_localize + hours_evaluate,
        "disk_bytes": 2 * sizes.data_bytes + sum(row.disk_bytes for row in rows),
        "rows": [row._asdict() for row in rows],
    }


def as_text(facts: Mapping[str, Any]) -> str:
    """Return the plan as a table for the terminal."""
    lines = [
        f"{facts['dataset']}: {facts['images_per_epoch']:,} training images, "
        f"{facts['images_localized']:,} to localize, {facts['classes']:,} classes "
        f"(sizes from {facts['sizes_from']})",
        "",
        f"{'backbone':20} {'method':12} {'cells':>5} {'steps':>9} {'s/step':>8} "
        f"{'train h':>9} {'localize h':>10} {'evaluate h':>10}",
    ]
    lines += [
        f"{row['backbone']:20} {row['method']:12} {row['cells']:5} {row['steps']:9,} "
        f"{row['seconds_per_step']:8.2f} {row['hours_train']:9.2f} {row['hours_localize']:10.2f} "
        f"{row['hours_evaluate']:10.2f}"
        for row in facts["rows"]
    ]
    lines += [
        f"{'all':20} {'':12} {facts['cells']:5} {facts['steps']:9,} "
        f"{facts['seconds_per_step']:8.2f} {facts['hours_train']:9.2f} "
        f"{facts['hours_localize']:10.2f} {facts['hours_evaluate']:10.2f}",
        "",
        f"{facts['hours']:.1f} hours on this machine ({facts['device']}), one cell after another; "
        f"{facts['disk_bytes'] / 1e9:.1f} GB of disk; "
        f"{facts['peak_memory_bytes'] / 1e9:.1f} GB of memory while measuring",
    ]
    return "\n".join([*lines, *_remarks(facts)])


def _remarks(facts: Mapping[str, Any]) -> list[str]:
    remarks = [
        f"An estimate from {facts['measured_steps']} steps a method on drawn images; fetching, "
        "preparing, stem weights and the report come on top, and DVC's cache holds a second copy "
        "of the results where the file system cannot link."
    ]
    for timing in facts["measured"]:
        if timing["train_batch"] < timing["batch_size"]:
            remarks.append(
                f"{timing['backbone']}, {timing['method_file']}: measured with "
                f"{timing['train_batch']} images a step and scaled to {timing['batch_size']}; "
                "a whole batch needs more memory."
            )
    return remarks
