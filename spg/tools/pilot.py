"""`spg train --pilot`: the first steps of a cell, to see whether it learns before all cells start.

The recipe under which CUB's SPG-plain is reported not to converge (SPG#2) looks like any other
until its loss has been watched; 15 cells of it are days. Nothing is written.
"""

from __future__ import annotations

import math
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from spg.data.images.manifest import read_labels
from spg.project.errors import UserError
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.train.learning import stands_at_chance
from spg.train.stage import trainer_of

PARTS = 6
"""Into how many the steps are divided for what is shown; the last one decides."""


class Pilot(NamedTuple):
    """What the first steps of a training were like."""

    losses: NDArray[np.float64]
    """Class loss of each step, ``Float[T]``."""
    classes: int
    steps: int
    """Of the whole training."""
    seconds: float
    """A step, without the first one."""

    @property
    def parts(self) -> list[float]:
        """Mean loss of each part of the steps, in their order."""
        return [float(part.mean()) for part in np.array_split(self.losses, PARTS) if len(part)]

    @property
    def learns(self) -> bool:
        """Whether the loss of the last part is below that of a guess."""
        return not stands_at_chance(self.parts[-1], self.classes)


def pilot(workspace: Workspace, params: Params, cell: Cell, steps: int) -> Pilot:
    """Take the first ``steps`` steps of ``cell`` as `train` would, and forget them.

    Args:
        workspace: with data and stem weights.
        params: all parameters.
        cell: which one.
        steps: how many, or all where the training has fewer.

    Raises:
        UserError: when the method has no class loss.
    """
    images = read_labels(workspace.packed(cell.dataset) / "manifest.parquet")
    trainer = trainer_of(workspace, params, cell, images, checkpoint=Path("never written"))
    trainer.model.train()
    losses, seconds, start = [], [], time.perf_counter()
    total = min(steps, trainer.total_steps)
    for batch in tqdm(islice(trainer.batches(), total), "pilot", total, unit="step"):
        values = trainer.train_step(batch)
        if "loss_cls" not in values:
            raise UserError(
                f"--pilot judges by the class loss, and {cell.method} has none called `cls` among "
                f"{', '.join(values)}"
            )
        losses.append(float(values["loss_cls"]))
        trainer.step += 1
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    pace = float(np.mean(seconds[1:] or seconds))
    return Pilot(np.array(losses), len(images.classes), trainer.total_steps, pace)


def as_text(found: Pilot, cell: Cell) -> str:
    """Return what the terminal shows: the loss part by part, a verdict, hours of the training."""
    chance, hours = math.log(found.classes), found.steps * found.seconds / 3600
    shown = " ".join(f"{loss:.3f}" for loss in found.parts)
    word = "it learns" if found.learns else (
        "it has not learned yet: take more steps, or another recipe or other rates "
        "(datasets.NAME.recipe, train.optimizer; PROTOCOL 13)"
    )  # fmt: skip
    return (
        f"{cell.name}, {len(found.losses)} of {found.steps:,} steps: class loss {shown}; a guess "
        f"among {found.classes} classes has {chance:.3f}: {word}\n"
        f"{found.seconds:.2f} s a step: {hours:.1f} hours for the whole training of one cell"
    )
