"""The files that `spg new method NAME` writes, and what params.yaml then has to say."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from string import Template

from spg.project.errors import UserError
from spg.project.files import write_text
from spg.project.plugins import plugin_names

SHELF_FOLDERS = ("datasets", "extractors", "measures", "methods", "sources")
"""Of a folder of plug-ins, as dvc.yaml names them."""
PARAMS = """\
own_methods: [{name}]
{name}: {{dropped: 0.2}}
localization: {{extractors: {{{name}: [cam]}}}}"""


def new_method(folder: Path, name: str, taken: Collection[str] = ()) -> list[Path]:
    """Write a method to start from, and its test; return both files.

    The folder gets all its shelves, empty ones too: dvc.yaml names them, and DVC wants what it
    names.

    Args:
        folder: of plug-ins, as params.yaml names it.
        name: of the method, small letters, digits and underscores.
        taken: what params.yaml has sections and variants of already.

    Raises:
        UserError: when a method of that name exists, or a section or one of the files does.
    """
    written = {
        folder / "methods" / f"{name}.py": "method.py.txt",
        folder / "tests" / f"test_{name}.py": "test.py.txt",
    }
    if name in plugin_names("method"):
        raise UserError(f"{name}: is a method already; choose another name")
    if name in taken:
        raise UserError(
            f"{name}: params.yaml has a section or a variant of it; choose another name"
        )
    for path in written:
        if path.exists():
            raise UserError(f"{path}: exists already; move it away, or choose another name")
    words = {"name": name, "title": name.replace("_", " ").capitalize(), "folder": folder.name}
    for path, template in written.items():
        text = files("spg.tools.new").joinpath(template).read_text(encoding="utf-8")
        write_text(path, Template(text).substitute(words))
    for shelf in SHELF_FOLDERS:
        if not (folder / shelf).is_dir():
            write_text(folder / shelf / ".gitkeep", "")
    return list(written)
