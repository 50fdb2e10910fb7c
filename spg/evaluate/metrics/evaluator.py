"""An evaluator: a protocol, its grid of thresholds, how maps are normalized.

The pipeline and `spg score` apply the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.boxes import Boxes
from spg.evaluate.metrics.maps import Map
from spg.evaluate.metrics.normalization import Normalize, normalizers
from spg.evaluate.metrics.pixels import Counts, pixel_histogram
from spg.evaluate.metrics.protocols import PROTOCOLS, FloatArray, Protocol, Size
from spg.evaluate.metrics.sweeps import MapSweep, sweep_map

MAPS_A_TASK = 64  # that a process measures at a time


class Evaluator(NamedTuple):
    """What is done with every map."""

    protocol: Protocol
    thresholds: FloatArray
    """``Float[T]``, ascending."""
    normalizers: tuple[Normalize, ...]
    """The P ways in which every map is brought to [0, 1]; more than one for percentiles of IVR."""

    @classmethod
    def named(
        cls,
        protocol: str,
        count: int,
        normalization: str = "min_max",
        percentiles: Sequence[float] = (),
    ) -> Evaluator:
        """Return the evaluator of a protocol with ``count`` thresholds inside (0, 1).

        Args:
            protocol: one of ``PROTOCOLS``.
            count: of thresholds, T.
            normalization: one of ``sweep.normalization`` (PROTOCOL 32).
            percentiles: of ``ivr``.
        """
        chosen = PROTOCOLS[protocol]
        ways = normalizers(normalization, percentiles)
        return cls(chosen, chosen.thresholds(count), ways)

    def sweep(self, loc_map: Map, boxes: Boxes, size: Size) -> MapSweep:
        """Measure a map at every threshold.

        Args:
            loc_map: ``Float[H, W]`` in [0, 1], in the protocol's frame.
            boxes: the true ones, ``Float[M, 4]``, half-open, in the image.
            size: width and height of the image, pixels.
        """
        return sweep_map(
            loc_map, self.protocol.true_boxes(boxes, size), self.thresholds, self.protocol
        )

    def histogram(self, loc_map: Map, mask: NDArray[np.uint8]) -> Counts:
        """Return a map's pixels for PxAP, ``int64 [2, T + 2]``.

        Args:
            loc_map: ``Float[H, W]`` in [0, 1], in the protocol's frame.
            mask: ``uint8 [h, w]`` of 0, 1 and 255 (ignored); brought to the map's size, nearest
                pixel (docs/sources.md 4.2).
        """
        frame = loc_map.shape[::-1]
        resized = cv2.resize(mask, frame, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        return pixel_histogram(loc_map, resized, self.thresholds)

    def no_pixels(self) -> Counts:
        """Return the histogram of no image."""
        return np.zeros((2, len(self.thresholds) + 2), dtype=np.int64)
