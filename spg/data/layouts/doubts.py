"""What makes boxes look as if they were of other images, or stated in another way."""

from __future__ import annotations

from collections.abc import Sequence

from spg.data.layouts.annotations import Box

Size = tuple[int, int]
SLACK = 1  # pixels by which published boxes may leave their images
RELATIVE = 1  # the largest corner of a box in fractions of its image


def doubts(sized: Sequence[tuple[Sequence[Box], Size]]) -> list[str]:
    """Return a sentence with counts for each doubt about boxes and sizes.

    Nothing is changed or refused, since some published boxes leave their images too; but every
    number would be wrong if width and height were swapped, if a far corner were taken for width and
    height, or if boxes were fractions of their images.

    Args:
        sized: boxes (xyxy) and size (width, height) of each image, pixels.
    """
    found = []
    sized = [(boxes, size) for boxes, size in sized if boxes]
    leaving = [(boxes, size) for boxes, size in sized if not _fit(boxes, size)]
    if leaving:
        swapped = sum(_fit(boxes, size[::-1]) for boxes, size in leaving)
        hint = f"; {swapped} would fit with width and height swapped" if swapped else ""
        found.append(
            f"{len(leaving)} of {len(sized)} images have boxes that reach beyond the image{hint}"
        )
    relative = sum(max(map(max, boxes)) <= RELATIVE < min(size) for boxes, size in sized)
    if relative:
        found.append(
            f"{relative} of {len(sized)} images have boxes within 1 x 1 pixels; boxes are pixels, "
            "not fractions of the image"
        )
    return found


def _fit(boxes: Sequence[Box], size: Size) -> bool:
    width, height = size
    return all(
        min(x0, y0) >= -SLACK and x1 <= width + SLACK and y1 <= height + SLACK
        for x0, y0, x1, y1 in boxes
    )
