"""Stage ``train``: one cell, from stem weights and image labels to a model on disk."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spg.data.images.manifest import TEST, TRAIN_WEAKSUP, Labels, read_labels, spread
from spg.data.images.packed import PackedImages
from spg.data.inputs.batches import eval_batches
from spg.data.inputs.samples import EvalSamples, TrainSamples
from spg.networks.compute.distributed import from_everyone
from spg.networks.parts.build import build_network
from spg.networks.parts.model_file import load_model, save_model
from spg.networks.parts.stem import Stem
from spg.project.files import whole_files, write_json, write_text
from spg.project.fingerprint import code_of, fingerprint
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.seeding import torch_seed
from spg.project.workspace import PROVENANCE, Cell, Workspace
from spg.train.loop import Trainer
from spg.train.provenance import identity, record
from spg.train.snapshots import IMAGES, save_snapshots, snapshot

ROOMS = (
    "spg/project",
    "spg/data/images",
    "spg/data/inputs",
    "spg/networks/compute",
    "spg/networks/parts",
    "spg/train",
)
"""The rooms of this stage in dvc.yaml, beside its backbone and its method."""
OUTPUTS = (PROVENANCE, "history.csv", "epochs.safetensors", "model.safetensors")


@sole_writer(Workspace.run)
def train_cell(workspace: Workspace, params: Params, cell: Cell) -> None:
    """Train ``cell`` and write model.safetensors, history.csv, epochs.safetensors, provenance.json.

    epochs.safetensors holds the maps of six test images after each epoch
    (:mod:`spg.train.snapshots`); they are looked at and never learned from.

    An interrupted training goes on from its last checkpoint when the same command runs again with
    the same parameters, data and code.
    """
    setup = params.setup(cell.dataset, cell.backbone)
    images = read_labels(workspace.packed(cell.dataset) / "manifest.parquet")
    facts = identity(params, cell, classes=images.classes, inputs=_inputs(workspace, cell))
    name = f"train-{fingerprint(repr(facts), *_code(params, cell))}.pt"
    trainer = trainer_of(workspace, params, cell, images, checkpoint=workspace.scratch / name)
    trainer.machines = from_everyone(record(setup.train.precision)["machine"])
    shown = spread(images.rows_of(TEST), IMAGES)
    samples = trainer.samples
    whole = EvalSamples(samples.images, images.class_ids, setup.input.crop, samples.colors)
    (batch,) = eval_batches(whole, shown, batch_size=IMAGES)
    trainer.look = partial(
        snapshot, images=batch.images(trainer.device), labels=batch.labels.to(trainer.device)
    )
    history = trainer.run()
    if not trainer.first:
        return
    with whole_files(workspace.run(cell), *OUTPUTS) as folder:
        facts |= record(setup.train.precision)
        if others := _distinct(one for one in trainer.machines if one != facts["machine"]):
            facts["other_machines"] = others  # of other processes, or from before an interruption
        write_json(folder / PROVENANCE, facts)
        write_text(folder / "history.csv", history.to_csv(index=False, float_format="%.6g"))
        save_snapshots(folder / "epochs.safetensors", shown, trainer.looks)
        save_model(folder / "model.safetensors", trainer.model)
    trainer.forget()


def trainer_of(
    workspace: Workspace, params: Params, cell: Cell, images: Labels, *, checkpoint: Path
) -> Trainer:
    """Return the trainer of ``cell``, before its first step: network, criterion, samples.

    Args:
        workspace: with packed images and stem weights.
        params: all parameters.
        cell: which one.
        images: of its data set.
        checkpoint: file of the unfinished state.
    """
    setup = params.setup(cell.dataset, cell.backbone)
    torch.manual_seed(torch_seed(cell.seed, "init"))
    model, criterion = build_network(params, cell, len(images.classes))
    stem: Stem = model.stem  # type: ignore[assignment]
    load_model(workspace.weights(cell.backbone), stem)
    packed = PackedImages(workspace.packed(cell.dataset))
    trainer = Trainer(
        model,
        criterion,
        TrainSamples(packed, images.class_ids, setup.input, stem.colors),
        images.rows_of(TRAIN_WEAKSUP),
        train=setup.train,
        execution=params.execution,
        seed=cell.seed,
        checkpoint=checkpoint,
    )
    trainer.names = images.image_ids
    return trainer


def _distinct(machines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for machine in machines:
        if machine not in found:
            found.append(machine)
    return found


def _code(params: Params, cell: Cell) -> list[Path]:
    """Return the files whose edit starts the training over; no other file's does."""
    method = find_plugin("method", params.method_module(cell.method))
    return code_of(ROOMS, find_plugin("backbone", cell.backbone), method)


def _inputs(workspace: Workspace, cell: Cell) -> dict[str, str]:
    return {
        "manifest": fingerprint(workspace.packed(cell.dataset) / "manifest.parquet"),
        "stem_weights": fingerprint(workspace.weights(cell.backbone)),
    }
