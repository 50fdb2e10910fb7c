"""Methods: one file each, found by name.

A method file defines ``build(stem, num_classes, params, cell)`` and returns a model and a
criterion. The model maps images to a named tuple of raw tensors that has at least ``logits``
(``Tensor[B, K]``) and ``class_maps`` (``Tensor[B, K, h, w]``); the criterion maps that tuple and
the labels to a dict of named losses, which the training loop sums once.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from spg.config import Params
from spg.errors import UserError
from spg.stem import Stem
from spg.workspace import Cell


def build_method(stem: Stem, num_classes: int, params: Params, cell: Cell) -> Any:
    """Return ``(model, criterion)`` of the method that ``cell`` names.

    Raises:
        UserError: when no file of that name exists.
    """
    name = params.method_module(cell.method)
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in known:
        raise UserError(f"method {name!r} has no file in spg/methods; there are {known}")
    return import_module(f"spg.methods.{name}").build(stem, num_classes, params, cell)
