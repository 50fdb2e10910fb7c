"""Tables and maps that stages leave: read as they were written, or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from spg.project.files import readable


def read_table(path: Path) -> pd.DataFrame:
    """Return a table from its .csv or .parquet file.

    Raises:
        UserError: when it is missing, damaged or cut short.
    """
    with readable(path):
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("its last line is cut off")
        return pd.read_csv(path)


def read_maps(path: Path) -> NDArray[Any]:
    """Return maps, ``float32 [N, h, w]``, memory-mapped.

    Raises:
        UserError: when the file is missing, damaged or cut short.
    """
    with readable(path):
        maps: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return maps


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .safetensors file by name.

    Raises:
        UserError: when it is missing, damaged or cut short.
    """
    with readable(path):
        return load_file(path)


def flattened(value: Any, key: str = "") -> dict[str, Any]:
    """Return nested mappings as one, its keys joined by dots.

    Example:
        >>> flattened({"a": {"b": 1, "c": {"d": 2}}})
        {'a.b': 1, 'a.c.d': 2}
    """
    if not isinstance(value, dict):
        return {key: value}
    return {
        name: inner
        for part, below in value.items()
        for name, inner in flattened(below, f"{key}.{part}" if key else str(part)).items()
    }
