"""Files named after images: maps, ``.npy`` each, as wsolevaluation stores them; and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spg.project.errors import UserError

Shape = tuple[int, int]
ONE_ARRAY = "save each map by np.save as .npy"


class BadMapError(Exception):
    """A map that cannot be scored; the text says why."""


def check_one_file_each(folder: Path, image_ids: Sequence[str], suffix: str, what: str) -> None:
    """Check that no file would be taken for two images.

    Raises:
        UserError: names the file and the images.
    """
    owners: dict[Path, str] = {}
    for image_id in image_ids:
        path = file_of(folder, image_id, suffix)
        if path in owners:
            raise UserError(
                f"{path}: the only {what} for two images, {owners[path]} and {image_id}; name each "
                f"{what} after the whole image id, {image_id}{suffix}"
            )
        owners[path] = image_id


def file_of(folder: Path, image_id: str, suffix: str) -> Path:
    """Return ``<image id><suffix>`` or, where only that exists, it without the image's own suffix.

    wsolevaluation's code looks for the first, its documentation names the second.
    """
    whole = folder / f"{image_id}{suffix}"
    short = (folder / image_id).with_suffix(suffix)
    return short if short.exists() and not whole.exists() else whole


def read_map(path: Path, *, shape: Shape | None = None, finished: bool = False) -> NDArray[Any]:
    """Read a map and check it.

    Args:
        path: a ``.npy`` file; nothing in it is executed.
        shape: height and width that it must have; without it the map may have any.
        finished: whether it must lie in [0, 1]; a raw one has any range.

    Returns:
        ``Float[H, W]``, float32 or float64.

    Raises:
        BadMapError: with the reason.
    """
    loaded = _load(path)
    if loaded.ndim != 2 or not loaded.size:
        raise BadMapError(f"wrong shape {list(loaded.shape)}, expected a map [height, width]")
    if not np.issubdtype(loaded.dtype, np.floating):
        raise BadMapError(f"holds {loaded.dtype}, not floating-point numbers")
    if shape and loaded.shape != shape:
        raise BadMapError(f"wrong shape {list(loaded.shape)}, expected {list(shape)}")
    values = np.array(loaded, dtype=np.result_type(loaded.dtype, np.float32), order="C")
    if np.isnan(values).any():
        raise BadMapError("holds NaN")
    if np.isinf(values).any():
        raise BadMapError("holds infinity")
    if finished and (values.min() < 0 or values.max() > 1):
        low, high = (np.format_float_positional(v, trim="-") for v in (values.min(), values.max()))
        raise BadMapError(f"out of range: {low} to {high}, expected 0 to 1")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _load(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadMapError(_missing(path)) from None
    except Exception as error:  # a damaged header makes NumPy raise nearly anything
        reason = " ".join(str(error).split())
        raise BadMapError(f"not readable as a .npy file ({reason})") from None
    if not isinstance(loaded, np.ndarray):
        raise BadMapError(f"an archive of several arrays under another name; {ONE_ARRAY}")
    return loaded


def _missing(path: Path) -> str:
    """Return what is said of a map that is not there, and what lies there instead."""
    for archive in (path.with_suffix(".npz"), path.with_suffix("").with_suffix(".npz")):
        if archive.exists():
            return f"missing; {archive.name} is an archive of several arrays; {ONE_ARRAY}"
    return "missing"
