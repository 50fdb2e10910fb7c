"""Stage ``localize``: a trained cell's class scores and raw maps, as they come."""

from __future__ import annotations

import math
from collections import deque
from contextlib import ExitStack

import pandas as pd
import torch
from tqdm import tqdm

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, read_labels
from spg.data.images.packed import PackedImages
from spg.data.inputs.batches import eval_batches
from spg.data.inputs.samples import EvalSamples
from spg.localize.map_file import MapWriter
from spg.localize.maps import find_extractors, localize_batch, viewed
from spg.networks.compute.device import pick_device, set_numbers
from spg.networks.compute.distributed import in_turn, world
from spg.networks.parts.build import load_network
from spg.project.files import whole_folder
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace


@sole_writer(Workspace.maps)
def localize_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``scores.parquet`` and one ``<extractor>.npy`` for each extractor of the method.

    Both cover the images of ``train_fullsup`` and ``test`` in the manifest's order. Maps are those
    of the true class (GT-known): a right guess never needs another one
    (spg/evaluate/metrics). They are ``float32 [N, h, w]``, computed in ``localization.precision``
    whatever that of the training.
    """
    known = read_labels(workspace.packed(cell.dataset) / "manifest.parquet")
    indices = known.rows_of(TRAIN_FULLSUP, TEST)
    device = pick_device()
    set_numbers(device)
    model = load_network(workspace, params, cell, len(known.classes))
    geometry = params.setup(cell.dataset, cell.backbone).input
    side, crop = viewed(geometry, ten_crop=params.localization.ten_crop)
    samples = EvalSamples(
        PackedImages(workspace.packed(cell.dataset)),
        known.class_ids,
        side,
        model.stem.colors,  # type: ignore[union-attr, arg-type]
    )
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    extractors = find_extractors(params.extractors_of(cell.dataset, cell.method))
    size, place = params.localization.batch_size, world()
    own = eval_batches(samples, indices, batch_size=size, place=place)
    precision = params.localization.precision
    results = (
        localize_batch(
            model,
            extractors,
            batch.images(device),
            batch.labels.to(device),
            precision=precision,
            crop=crop,
        )
        for batch in own
    )
    batches = math.ceil(len(indices) / size)
    gathered = in_turn(results, batches)
    if place.rank > 0:
        deque(gathered, maxlen=0)
        return
    with whole_folder(workspace.maps(cell)) as folder, ExitStack() as stack:
        writers = {
            name: stack.enter_context(MapWriter(folder / f"{name}.npy", len(indices)))
            for name in extractors
        }
        scores = []
        for classes, maps in tqdm(gathered, total=batches, desc="localize", unit="batch"):
            scores.append(classes)
            for name, writer in writers.items():
                writer.append(maps[name])
        table = pd.concat(scores, ignore_index=True)
        table.insert(0, "image_id", known.image_ids.take(indices).to_pylist())
        table.to_parquet(folder / "scores.parquet", index=False)
