"""Shares of a map's energy on the object and on the parts that tell its class (PROTOCOL 15).

Beside each share stands that of the region's area, which a uniform map would have. Pixels that are
left out of the evaluation count in neither.
"""

from __future__ import annotations

import numpy as np

from spg.data.images.decoding import of_shape
from spg.evaluate.metrics.maps import Map, energy_share
from spg.evaluate.sweep.image import Image

COLUMNS = ("object_energy", "object_area", "part_energy", "part_area")


def measure(loc_map: Map, image: Image) -> dict[str, float | None]:
    """Return the shares of both regions, or nothing where the image has no such mask."""
    if image.left_out is not None:
        known = ~of_shape(image.left_out, loc_map.shape)
        loc_map = np.where(known, loc_map, 0)
    else:
        known = np.ones(loc_map.shape, dtype=np.bool_)
    shares: dict[str, float | None] = {}
    for region, mask in (("object", image.object_mask), ("part", image.part_mask)):
        if mask is None:
            shares[f"{region}_energy"] = shares[f"{region}_area"] = None
            continue
        fitted = of_shape(mask, loc_map.shape)
        shares[f"{region}_energy"] = energy_share(loc_map, fitted)
        shares[f"{region}_area"] = float(fitted[known].mean())
    return shares
