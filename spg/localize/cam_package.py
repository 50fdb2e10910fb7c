"""Maps of the package `grad-cam` (jacobgil/pytorch-grad-cam), under our evaluation.

It is optional: ``pip install "spg[cams]"``. Each of its methods is an extractor in a file of its
own that says `extractor`. All look at the stem's last features, as our Grad-CAM does, and give the
raw map: negative values are cut at 0, which the package does for every method, and nothing is
scaled, which the sweep does (PROTOCOL 32, 35).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spg.project.errors import UserError

Extract = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]


class _Behind(nn.Module):
    """A model that returns logits alone, with a layer in it whose output are the last features.

    Args:
        model: has ``stem``, which returns features with a field ``last``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.last = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        stem: nn.Module = self.model.stem  # type: ignore[assignment]
        handle = stem.register_forward_hook(
            lambda _, __, features: features._replace(last=self.last(features.last))
        )
        try:
            logits: Tensor = self.model(images).logits
            return logits
        finally:
            handle.remove()


def extractor(name: str) -> Extract:
    """Return ``extract`` of a method of the package.

    Args:
        name: of its class, e.g. ``LayerCAM``.
    """

    def extract(model: nn.Module, images: Tensor, class_ids: Tensor, outputs: Any) -> Tensor:
        """Return the maps of ``class_ids``, ``float32 [B, h, w]``, none below 0.

        Args:
            model: has ``stem``, which returns features with a field ``last``.
            images: ``Tensor[B, 3, S, S]``, normalized.
            class_ids: ``int64 Tensor[B]``.
            outputs: not used.

        Raises:
            UserError: when the package is not installed.
        """
        try:
            import pytorch_grad_cam
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        except ImportError as error:
            raise UserError(
                f"maps of {name} are those of the package grad-cam ({error}); "
                'run pip install "spg[cams]", or pip install grad-cam'
            ) from None
        network = _Behind(model)
        features, gradients = _captured(network, images, class_ids)
        targets = [ClassifierOutputTarget(class_id) for class_id in class_ids.tolist()]
        with (
            getattr(pytorch_grad_cam, name)(network, []) as method,  # no hooks: both are captured
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            redirect_stderr(nowhere),  # Score-CAM shows a bar an image
        ):
            # One image at a time: Score-CAM runs it once for each of its channels.
            maps = [
                method.get_cam_image(
                    images[one], network.last, targets[one], features[one], gradients[one], False
                )
                for one in (slice(place, place + 1) for place in range(len(images)))
            ]
        return torch.from_numpy(np.maximum(np.concatenate(maps), 0).astype(np.float32))

    return extract


def _captured(
    network: _Behind, images: Tensor, class_ids: Tensor
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the last features and their gradients of the classes' logits, ``[B, C, h, w]``."""
    kept: list[Tensor] = []
    handle = network.last.register_forward_hook(lambda _, __, features: kept.append(features))
    try:
        with torch.enable_grad():
            score = network(images)[torch.arange(len(images)), class_ids].sum()
            (gradients,) = torch.autograd.grad(score, kept[0])
    finally:
        handle.remove()
    return kept[0].detach().float().cpu().numpy(), gradients.float().cpu().numpy()
