"""One ``.npy`` file of maps, written as they come."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray


class MapWriter:
    """Writes maps batch by batch into one ``.npy`` file, in constant memory; a context manager.

    By plain writes: a full disk is then an error, where a memory map would kill the process.

    Args:
        path: the file.
        count: number of maps to come.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._file, self._count = path.open("wb"), count

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, maps: NDArray[np.float32]) -> None:
        """Append ``float32 [B, h, w]``."""
        if not self._file.tell():
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
                "fortran_order": False,
                "shape": (self._count, *maps.shape[1:]),
            }
            write_array_header_1_0(self._file, header)
        self._file.write(np.ascontiguousarray(maps, dtype=np.float32).data)
