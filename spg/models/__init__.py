"""Backbones: one file each, found by name; ``build(width)`` returns the stem."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from spg.errors import UserError


def backbone_module(name: str) -> ModuleType:
    """Return the module of backbone ``name``.

    Raises:
        UserError: when no file of that name exists.
    """
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in known:
        raise UserError(f"backbone {name!r} has no file in spg/models; there are {known}")
    return import_module(f"spg.models.{name}")
