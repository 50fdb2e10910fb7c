"""Extractors: one file each, found by name.

An extractor file defines ``extract(model, images, class_ids, outputs)``: raw maps
``float32 [B, h, w]`` of the given class of each image, from a trained model in evaluation mode
whose state it leaves as it was; ``outputs`` is what ``model(images)`` returned, without gradient,
for those that need no more. Each image's map depends on that image alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spg.errors import UserError

Extractor = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]


def find_extractor(name: str) -> Extractor:
    """Return the extractor ``name``.

    Raises:
        UserError: when no file of that name exists.
    """
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in known:
        raise UserError(f"extractor {name!r} has no file in spg/extractors; there are {known}")
    extractor: Extractor = import_module(f"spg.extractors.{name}").extract
    return extractor
