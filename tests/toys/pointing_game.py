"""A metric in one file: does the map's highest point lie in a true box (Zhang et al., 2016)?"""

from __future__ import annotations

import numpy as np

COLUMNS = ("pointing_game",)


def measure(loc_map, image):
    y, x = np.unravel_index(int(loc_map.argmax()), loc_map.shape)
    inside = [x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in image.boxes]
    return {"pointing_game": float(any(inside))}
