"""Shares of a map's energy on the object and on the parts that tell its class (PROTOCOL 15).

Beside each share stands that of the region's area, which a uniform map would have.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.maps import Map, energy_share
from spg.evaluate.sweep.image import Image

COLUMNS = ("object_energy", "object_area", "part_energy", "part_area")


def measure(loc_map: Map, image: Image) -> dict[str, float | None]:
    """Return the shares of both regions, or nothing where the image has no such mask."""
    shares: dict[str, float | None] = {}
    for region, mask in (("object", image.object_mask), ("part", image.part_mask)):
        if mask is None:
            shares[f"{region}_energy"] = shares[f"{region}_area"] = None
            continue
        fitted = _of_size(mask, loc_map.shape)
        shares[f"{region}_energy"] = energy_share(loc_map, fitted)
        shares[f"{region}_area"] = float(fitted.mean())
    return shares


def _of_size(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of the map's size, nearest pixel, where its data set has smaller ones."""
    if mask.shape == shape:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.bool_)
