"""File name = key: a plug-in is a file or package on its shelf, and adding one needs no other edit.

A shelf is a package of spg that nothing imports from by name. Two more places hold plug-ins of a
user's own, and neither is an edit of spg (docs/extending.md):

- the project's folder of plug-ins, which params.yaml names: its ``methods/``, ``extractors/`` and
  so on lie beside spg's, as the portions of one of Python's namespaces do;
- installed packages, by entry points of the group that is called after the shelf, e.g.
  ``spg.methods``, each of which names a module.

A file comes before an entry point of its name.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
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
_FOLDER = "_SPG_PLUGINS"  # in the environment, so that processes started from here know it too


def use_folder(folder: Path) -> None:
    """Let plug-ins lie in ``folder`` too, on shelves like spg's; it need not exist."""
    os.environ[_FOLDER] = str(folder.resolve())


def plugin_names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted.

    Args:
        kind: one of :data:`SHELVES`.
    """
    return sorted({name for name, _ in _files(kind)} | {found.name for found in _installed(kind)})


def find_plugin(kind: str, name: str) -> ModuleType:
    """Return the module ``name`` of a shelf.

    Args:
        kind: one of :data:`SHELVES`.
        name: the file's name without its ending, or the entry point's.

    Raises:
        UserError: when no file of that name exists, naming those that do, or more than one.
    """
    folders = [folder for found, folder in _files(kind) if found == name]
    if len(folders) > 1:
        raise UserError(f"{kind} {name!r} has a file in {' and in '.join(folders)}; rename one")
    if folders:
        return import_module(f"{SHELVES[kind]}.{name}")
    for found in _installed(kind):
        if found.name == name:
            module: ModuleType = found.load()
            return module
    shelf = SHELVES[kind].replace(".", "/")
    raise UserError(f"{kind} {name!r} has no file in {shelf}; there are {plugin_names(kind)}")


def _files(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each file on a shelf, and its folder."""
    shelf = import_module(SHELVES[kind])
    if _FOLDER in os.environ:
        own = str(Path(os.environ[_FOLDER], _shelf_name(kind)))
        if own not in shelf.__path__:
            shelf.__path__.append(own)
    for folder in shelf.__path__:
        for found in pkgutil.iter_modules([folder]):
            yield found.name, folder


def _installed(kind: str) -> Iterator[EntryPoint]:
    yield from entry_points(group=f"spg.{_shelf_name(kind)}")


def _shelf_name(kind: str) -> str:
    return SHELVES[kind].rpartition(".")[2]
