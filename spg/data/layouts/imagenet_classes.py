"""The two orders of ILSVRC's 1,000 classes (PROTOCOL 22).

The devkit numbers them from 1 (``ILSVRC2012_ID``), and the authors' lists and their ImageNet
checkpoint use that number less one; wsolevaluation, torchvision and we sort by WordNet id. Kit fox
(n02119789) is the devkit's first class and the sorted list's 279th (docs/sources.md 7).

devkit_order.txt holds the devkit's facts: line n is the WordNet id of ``ILSVRC2012_ID`` n, as
data/meta.mat and data/map_clsloc.txt of ILSVRC2012_devkit_t12 have it. It was taken from two public
copies of map_clsloc.txt (wisetrue95/Classification2020 at b9af3cd and aangelopoulos/rcps at
d9353b0), which agree, and its set of ids is the sorted list's.
"""

from __future__ import annotations

from importlib.resources import files

CLASSES = 1000


def devkit_wnids() -> list[str]:
    """Return the WordNet ids in the devkit's order."""
    text = files("spg.data.layouts").joinpath("devkit_order.txt").read_text(encoding="utf-8")
    return text.split()


def sorted_wnids() -> list[str]:
    """Return the WordNet ids sorted, which is the order of torchvision, wsolevaluation and us."""
    return sorted(devkit_wnids())


def devkit_rows() -> list[int]:
    """Return, for each class of the sorted order, its row in the devkit's order."""
    wnids = devkit_wnids()
    return sorted(range(len(wnids)), key=wnids.__getitem__)


def sorted_rows() -> list[int]:
    """Return, for each class of the devkit's order, its row in the sorted order."""
    rows = devkit_rows()
    return sorted(range(len(rows)), key=rows.__getitem__)
