"""ILSVRC's box files: XML in the style of PASCAL VOC.

Their coordinates are of pixels, from 0, and the far ones are inside the box: 0 occurs, a box of the
whole of a 500 x 375 image reads 0, 0, 499, 374 (validation image 83), and CAM's IoU, as
wsolevaluation's, counts ``x2 - x1 + 1`` pixels. So the half-open box ends one further.
"""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from spg.data.layouts.annotations import Box

LARGEST = 1e9  # edge of an image, pixels


class Voc(NamedTuple):
    """One file."""

    filename: str
    size: tuple[int, int]
    """Width and height of the image, pixels."""
    objects: tuple[tuple[str, Box], ...]
    """WordNet id and half-open box; one without area is kept."""

    def boxes(self, wnid: str) -> tuple[Box, ...]:
        """Return the boxes of a class, in the order of the file."""
        return tuple(box for name, box in self.objects if name == wnid)


def parse_voc(content: bytes) -> Voc:
    """Read a box file; document types and entities are refused.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError(f"refused ({type(error).__name__})") from None
    except (ParseError, LookupError, ValueError) as error:  # the latter two: unknown encodings
        raise ValueError(f"no XML ({error})") from None
    size = (_number(root, "size/width"), _number(root, "size/height"))
    if not all(0 <= edge <= LARGEST for edge in size):
        raise ValueError(f"states a size of {size[0]:g} x {size[1]:g} pixels")
    objects = tuple((_text(item, "name"), _box(item)) for item in root.findall("object"))
    return Voc(_text(root, "filename"), (int(size[0]), int(size[1])), objects)


def _box(item: Element) -> Box:
    x1, y1, x2, y2 = (_number(item, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
    return x1, y1, x2 + 1, y2 + 1


def _number(item: Element, path: str) -> float:
    text = _text(item, path)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path} is {text!r}, which is no number")
    return value


def _text(item: Element, path: str) -> str:
    found = item.findtext(path)
    if found is None:
        raise ValueError(f"{path} is missing")
    return found.strip()
