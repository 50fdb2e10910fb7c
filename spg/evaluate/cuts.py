"""Where a map can be cut: every map threshold, for each percentile of a normalization that has one.

A *place* is a number from 0 to G - 1, with G = P T: places of the first percentile's T thresholds
come first. Every curve of sweep.parquet has one value a place.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spg.evaluate.sweep.table import FACTS
from spg.project.errors import UserError
from spg.project.files import read_json

Places = NDArray[np.intp]


class Cuts(NamedTuple):
    """All places."""

    thresholds: NDArray[np.float64]
    """``Float[T]``, ascending."""
    percentiles: NDArray[np.float64]
    """``Float[P]``; one NaN where the normalization has none."""

    @property
    def curves(self) -> int:
        """P."""
        return len(self.percentiles)

    def place(self, threshold: float, percentile: float) -> int:
        """Return the place of a threshold and, where there are several, of a percentile."""
        way = 0 if self.curves == 1 else int(np.abs(self.percentiles - percentile).argmin())
        return way * len(self.thresholds) + int(np.abs(self.thresholds - threshold).argmin())

    def steps(self, places: Places) -> Places:
        """Return which threshold each place is of, from 0 to T - 1."""
        found: Places = places % len(self.thresholds)
        return found

    def ways(self, places: Places) -> Places:
        """Return which percentile each place is of, from 0 to P - 1."""
        found: Places = places // len(self.thresholds)
        return found


def read_cuts(folder: Path) -> Cuts:
    """Return the places of a cell's sweep.

    Raises:
        UserError: when sweep.json is missing or damaged.
    """
    facts = read_json(folder / FACTS)
    try:
        thresholds, percentiles = facts["thresholds"], facts["percentiles"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / FACTS}: lacks {error}; run `spg sweep` again") from None
    return Cuts(np.array(thresholds), np.array(percentiles or [np.nan], dtype=np.float64))
