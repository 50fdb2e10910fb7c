"""What the maps of a few test images look like while a cell trains, for the report's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from spg.project.files import write_bytes

IMAGES = 6


def snapshot(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the raw maps of a batch, ``float32 Tensor[B, h, w]`` each; ``model`` stays as it was.

    ``attention`` is the class map of the label; ``b1``, ``b2`` and ``c`` are the branches' mask
    probabilities where the model has them. Computed in evaluation mode and float32.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(images, labels)
    model.train(was_training)
    maps = {"attention": outputs.class_maps[torch.arange(len(labels)), labels]}
    for branch in ("b1", "b2", "c"):
        logits = getattr(outputs, branch, None)
        if logits is not None:
            maps[branch] = logits[:, 0].sigmoid()
    return {name: values.float().cpu().contiguous() for name, values in maps.items()}


def save_snapshots(
    path: Path, places: NDArray[np.int64], snapshots: list[dict[str, Tensor]]
) -> None:
    """Write ``images`` (``int64 [K]``, manifest rows) and each map, ``float32 [E, K, h, w]``.

    One map an epoch, after its last step.
    """
    maps = {name: torch.stack([one[name] for one in snapshots]) for name in snapshots[0]}
    write_bytes(path, save({"images": torch.from_numpy(places), **maps}))
