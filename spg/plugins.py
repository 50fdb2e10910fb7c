"""File name = key: a plug-in is a file in its package, and adding one needs no central edit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from spg.errors import UserError


def find_plugin(kind: str, name: str) -> ModuleType:
    """Return the module ``name`` of the package ``spg.<kind>s``.

    Args:
        kind: ``model``, ``method``, ``extractor`` or ``classifier``.
        name: the file's name without its ending.

    Raises:
        UserError: when no file of that name exists; lists those that do.
    """
    folder = Path(__file__).parent / f"{kind}s"
    known = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    if name not in known:
        raise UserError(f"{kind} {name!r} has no file in spg/{kind}s; there are {known}")
    return import_module(f"spg.{kind}s.{name}")
