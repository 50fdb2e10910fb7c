"""Shares of a map's energy on the object and on the parts that tell its class (PROTOCOL 15).

Beside each share stands that of the region's area, which a uniform map would have.
"""

from __future__ import annotations

from spg.evaluate.metrics.maps import Map, energy_share
from spg.evaluate.sweep.image import Image

COLUMNS = ("object_energy", "object_area", "part_energy", "part_area")


def measure(loc_map: Map, image: Image) -> dict[str, float | None]:
    """Return the shares of both regions, or nothing where the image has no such mask."""
    shares: dict[str, float | None] = {}
    for region, mask in (("object", image.object_mask), ("part", image.part_mask)):
        shares[f"{region}_energy"] = None if mask is None else energy_share(loc_map, mask)
        shares[f"{region}_area"] = None if mask is None else float(mask.mean())
    return shares
