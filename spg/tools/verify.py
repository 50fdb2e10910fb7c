"""``spg verify``: make a finished cell again and say whether its files are equal, or where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.data.results.tables import flattened, read_maps, read_table, read_tensors
from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.locks import writing
from spg.project.params import Params
from spg.project.workspace import Cell, Workspace
from spg.tools.again import link_inputs, place_of
from spg.tools.effect.rerun import run_cell

NAMED = 3  # differences of a file

Reader = Callable[[Path], dict[str, Any]]


def verify_cell(workspace: Workspace, params: Params, cell: Cell) -> list[str]:
    """Train, localize, sweep and evaluate ``cell`` again from the same data and stem weights.

    It is made in .scratch; the finished cell is only read. An interrupted verification goes on.

    Returns:
        one line for each file that differs, with where; none when all are equal byte for byte.

    Raises:
        UserError: when the cell is not finished, or what it was made of is not there.
    """
    for folder in _folders(workspace, cell):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; the cell is not finished: `dvc repro`")
    again = place_of(workspace, params, cell, "verify")
    with writing(workspace, again.root):
        link_inputs(workspace, again, cell)
        run_cell(again, params, cell)
        pairs = zip(_folders(workspace, cell), _folders(again, cell), strict=True)
        found = [line for old, new in pairs for line in differences(old, new)]
        rmtree(again.root)
    return found


def differences(old: Path, new: Path) -> Iterator[str]:
    """Yield a line for each file of two folders that is not the same in both, byte for byte."""
    names = {path.name for folder in (old, new) for path in folder.iterdir()}
    for name in sorted(name for name in names if not name.startswith(".")):
        first, second = old / name, new / name
        if not second.exists():
            yield f"{first}: is not made any more"
        elif not first.exists():
            yield f"{first}: is missing, but was made again"
        elif first.read_bytes() != second.read_bytes():
            yield f"{first}: {where(first, second)}"


def where(first: Path, second: Path) -> str:
    """Return where two files of a cell differ, as far as their kind tells."""
    read: Reader | None = READERS.get(first.suffix)
    if read is None:
        return "other bytes"
    before, after = read(first), read(second)
    alone = [f"{key} is in one of them alone" for key in sorted(before.keys() ^ after.keys())]
    shared = [key for key in before if key in after and not _equal(before[key], after[key])]
    apart = alone + [f"{key} {_apart(before[key], after[key])}" for key in shared]
    more = f" and {len(apart) - NAMED} more" if len(apart) > NAMED else ""
    return ", ".join(apart[:NAMED]) + more if apart else "equal values in other bytes"


def _folders(workspace: Workspace, cell: Cell) -> tuple[Path, ...]:
    places = (Workspace.run, Workspace.maps, Workspace.sweep, Workspace.evaluation)
    return tuple(place(workspace, cell) for place in places)


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, np.ndarray) and before.dtype != object:
        same = before.shape == after.shape and before.dtype == after.dtype
        return bool(same and before.tobytes() == after.tobytes())
    return bool(np.array_equal(before, after))


def _apart(before: Any, after: Any) -> str:
    """Return how far two values are apart."""
    if not isinstance(before, np.ndarray):
        return f"is {before!r}, now {after!r}"
    if before.shape != after.shape:
        return f"has shape {list(before.shape)}, now {list(after.shape)}"
    other = before != after
    if not np.issubdtype(before.dtype, np.number):
        return f"differs in {int(other.sum())} of {other.size} rows"
    other &= ~(np.isnan(before) & np.isnan(after))
    gap = np.abs(before[other].astype(np.float64) - after[other].astype(np.float64))
    most = gap.max(initial=0.0)
    return f"differs in {int(other.sum())} of {other.size} numbers, by {most:.3g} at most"


def _table(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return a table's columns; lists of numbers as one array."""
    columns = {}
    for name in frame:
        values = frame[name].to_numpy()
        if values.dtype == object and len(values) and isinstance(values[0], np.ndarray):
            values = np.concatenate(values)
        columns[str(name)] = values
    return columns


READERS: dict[str, Reader] = {
    ".json": lambda path: flattened(read_json(path)),
    ".safetensors": read_tensors,
    ".npy": lambda path: {"maps": read_maps(path)},
    ".parquet": lambda path: _table(read_table(path)),
    ".csv": lambda path: _table(read_table(path)),
}
