"""From a trained network and a batch of images to class scores and raw maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spg.localize.crops import mean_scores, merge_ten_maps, ten_crops
from spg.networks.compute.device import autocast, resolve_precision
from spg.project.plugins import find_plugin
from spg.project.schema.training import InputParams
from spg.project.workspace import GUESSES

Extractor = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]
Localized = tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]


def find_extractors(names: Sequence[str]) -> dict[str, Extractor]:
    """Return extractors by name, each a file in spg/localize/extractors."""
    return {name: find_plugin("extractor", name).extract for name in names}


def viewed(geometry: InputParams, *, ten_crop: bool) -> tuple[int, int | None]:
    """Return the side to which an image is squashed, and that of the ten crops cut from it, if any.

    The whole image is seen at the training's crop size (PROTOCOL 8); ten crops of that size are cut
    from the image at the size from which training cuts its crops (PROTOCOL 19).
    """
    return (geometry.resize, geometry.crop) if ten_crop else (geometry.crop, None)


def localize_batch(
    model: nn.Module,
    extractors: Mapping[str, Extractor],
    images: Tensor,
    labels: Tensor,
    *,
    precision: str,
    crop: int | None,
) -> Localized:
    """Return the best classes and each extractor's maps of the true classes.

    Args:
        model: a trained network.
        extractors: by name.
        images: ``float Tensor[B, 3, S, S]``, normalized, on the model's device.
        labels: ``int64 Tensor[B]``, there too.
        precision: auto, float32, bf16 or fp16.
        crop: side of the ten crops to merge; ``None`` looks at the whole image.

    Returns:
        a table of :func:`top_classes`, and ``float32 [B, h, w]`` by extractor.
    """
    views = [images] if crop is None else ten_crops(images, crop)
    logits, maps = [], []  # of each view: [B, K], and [B, h, w] by extractor
    for view in views:
        with autocast(resolve_precision(precision, images.device), images.device):
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
