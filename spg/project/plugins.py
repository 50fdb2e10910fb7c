"""File name = key: a plug-in is a file or package on its shelf, and adding one needs no other edit.

A shelf is a package of spg that nothing imports from by name. Whoever wants to bring plug-ins from
elsewhere appends a folder to the shelf's ``__path__``, as Python's own namespaces do.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from spg.project.errors import UserError

SHELVES = {
    "backbone": "spg.networks.backbones",
    "method": "spg.networks.methods",
    "classifier": "spg.networks.classifiers",
    "extractor": "spg.localize.extractors",
    "dataset": "spg.data.datasets",
    "source": "spg.data.sources",
    "measure": "spg.evaluate.sweep.measures",
}
"""The package of each kind of plug-in."""


def plugin_names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted.

    Args:
        kind: one of :data:`SHELVES`.
    """
    shelf = import_module(SHELVES[kind])
    return sorted(found.name for found in pkgutil.iter_modules(shelf.__path__))


def find_plugin(kind: str, name: str) -> ModuleType:
    """Return the module ``name`` of a shelf.

    Args:
        kind: one of :data:`SHELVES`.
        name: the file's name without its ending.

    Raises:
        UserError: when no file of that name exists; lists those that do.
    """
    known = plugin_names(kind)
    if name not in known:
        shelf = SHELVES[kind].replace(".", "/")
        raise UserError(f"{kind} {name!r} has no file in {shelf}; there are {known}")
    return import_module(f"{SHELVES[kind]}.{name}")
