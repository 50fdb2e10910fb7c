"""Stage ``localize``: a trained cell's class scores and raw maps, as they come."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from spg.data.images.manifest import TEST, TRAIN_FULLSUP, class_names, read_manifest
from spg.data.images.packed import PackedImages
from spg.data.inputs.batches import Batch, EvalSamples, eval_batches
from spg.localize.crops import mean_scores, merge_ten_maps, ten_crops
from spg.networks.compute.device import autocast, make_deterministic, pick_device, resolve_precision
from spg.networks.compute.distributed import in_turn, world
from spg.networks.parts.build import load_network
from spg.project.files import whole_folder
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Cell, Workspace

GUESSES = 5

Extractor = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]
Localized = tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]


@sole_writer(Workspace.maps)
def localize_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Write ``scores.parquet`` and one ``<extractor>.npy`` for each extractor of the method.

    Both cover the images of ``train_fullsup`` and ``test`` in the manifest's order. Maps are those
    of the true class (GT-known): a right guess never needs another one
    (spg/evaluate/metrics). They are ``float32 [N, h, w]``, computed in ``localization.precision``
    whatever that of the training.
    """
    manifest = read_manifest(workspace.packed(cell.dataset) / "manifest.parquet")
    indices = np.flatnonzero(manifest["split"].isin([TRAIN_FULLSUP, TEST]))
    device = pick_device()
    make_deterministic()
    model = load_network(workspace, params, cell, len(class_names(manifest)))
    geometry = params.setup(cell.dataset, cell.backbone).input
    crop = geometry.crop if params.localization.ten_crop else None
    samples = EvalSamples(
        PackedImages(workspace.packed(cell.dataset)),
        manifest["class_id"].tolist(),
        geometry.resize if crop else geometry.crop,
        model.stem.colors,  # type: ignore[union-attr, arg-type]
    )
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    extractors = find_extractors(params, cell.method)
    size, place = params.localization.batch_size, world()
    own = eval_batches(samples, indices, batch_size=size, place=place)
    precision = params.localization.precision
    results = (
        localize_batch(model, extractors, batch, device, precision=precision, crop=crop)
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
        table.insert(0, "image_id", manifest["image_id"].to_numpy()[indices])
        table.to_parquet(folder / "scores.parquet", index=False)


def find_extractors(params: Params, method: str) -> dict[str, Extractor]:
    """Return the extractors of ``method`` by name."""
    names = params.localization.extractors[method]
    return {name: find_plugin("extractor", name).extract for name in names}


def localize_batch(
    model: nn.Module,
    extractors: Mapping[str, Extractor],
    batch: Batch,
    device: torch.device,
    *,
    precision: str,
    crop: int | None,
) -> Localized:
    """Return the best classes and each extractor's maps of the true classes.

    Args:
        model: a trained network.
        extractors: by name.
        batch: ``Tensor[B, 3, S, S]`` and labels.
        device: of the model.
        precision: auto, float32 or bf16.
        crop: side of the ten crops to merge; ``None`` looks at the whole image.

    Returns:
        a table of :func:`top_classes`, and ``float32 [B, h, w]`` by extractor.
    """
    images, labels = batch.images.to(device), batch.labels.to(device)
    views = [images] if crop is None else ten_crops(images, crop)
    logits, maps = [], []
    for view in views:
        with autocast(resolve_precision(precision, device), device):
            with torch.no_grad():
                outputs = model(view, labels)
            found = {name: run(model, view, labels, outputs) for name, run in extractors.items()}
        logits.append(outputs.logits)
        maps.append(found)
    scores = top_classes(mean_scores(logits))
    whole = maps[0]
    if crop is not None:
        side = images.shape[-1]
        whole = {name: merge_ten_maps([one[name] for one in maps], side, crop) for name in whole}
    return scores, {name: values.cpu().numpy() for name, values in whole.items()}


def top_classes(scores: Tensor) -> pd.DataFrame:
    """Return the best five classes (``top1`` ...) and their scores (``score1`` ...).

    Args:
        scores: softmax scores, ``Tensor[B, C]``.
    """
    best = scores.topk(min(GUESSES, scores.shape[1]), dim=1)
    columns = range(1, best.indices.shape[1] + 1)
    classes = pd.DataFrame(best.indices.cpu().numpy(), columns=[f"top{k}" for k in columns])
    values = pd.DataFrame(best.values.cpu().numpy(), columns=[f"score{k}" for k in columns])
    return classes.join(values)


class MapWriter:
    """Writes maps batch by batch into one ``.npy`` file, in constant memory; a context manager.

    By plain writes: a full disk is then an error, where a memory map would kill the process.

    Args:
        path: the file.
        count: number of maps to come.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._file, self._count = path.open("wb"), count

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, maps: NDArray[np.float32]) -> None:
        """Append ``float32 [B, h, w]``."""
        if not self._file.tell():
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
                "fortran_order": False,
                "shape": (self._count, *maps.shape[1:]),
            }
            write_array_header_1_0(self._file, header)
        self._file.write(np.ascontiguousarray(maps, dtype=np.float32).data)
