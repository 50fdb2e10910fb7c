"""Map files: one ``.npy`` an image, as wsolevaluation stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]


class BadMapError(Exception):
    """A map that cannot be scored; the text says why."""


def map_path(folder: Path, image_id: str) -> Path:
    """Return ``<image id>.npy`` or, where only that exists, the name without the image's suffix.

    wsolevaluation's code looks for the first, its documentation names the second.
    """
    whole = folder / f"{image_id}.npy"
    short = (folder / image_id).with_suffix(".npy")
    return short if short.exists() and not whole.exists() else whole


def read_map(path: Path, *, shape: Shape | None = None) -> NDArray[Any]:
    """Read a map and check it.

    Args:
        path: a ``.npy`` file; nothing in it is executed.
        shape: height and width of a finished map, which must lie in [0, 1]; without it the map is
            a raw one, of any size and range.

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
    if shape and (values.min() < 0 or values.max() > 1):
        raise BadMapError(f"out of range: {values.min():g} to {values.max():g}, expected 0 to 1")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _load(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadMapError("missing") from None
    except Exception as error:  # a damaged header makes NumPy raise nearly anything
        reason = " ".join(str(error).split())
        raise BadMapError(f"not readable as a .npy file ({reason})") from None
    if not isinstance(loaded, np.ndarray):
        raise BadMapError("not readable as a .npy file (an archive of several arrays)")
    return loaded
