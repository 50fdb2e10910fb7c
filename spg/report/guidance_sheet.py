"""How the guidance grows: attention and branches of a few images, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from spg.evaluate.metrics.maps import localization_map
from spg.project.schema.guidance import ThresholdPair
from spg.report.figures import show

LINES = ("O", "B2", "B1", "fused", "C")
FOREGROUND, BACKGROUND = (240, 228, 66, 190), (0, 60, 140, 190)  # RGBA
MARGIN = 0.7  # inches, for the names of the lines, however few epochs there are
Maps = NDArray[np.float32]


class GuidedImage(NamedTuple):
    """One image and its maps after each epoch."""

    image: NDArray[np.uint8]
    true_boxes: NDArray[np.float64]
    maps: Mapping[str, Maps]
    """``attention``, and ``b1``, ``b2``, ``c`` where they exist: ``Float[E, h, w]``."""


def guidance_sheet(images: Sequence[GuidedImage], teachers: Mapping[str, ThresholdPair]) -> Figure:
    """Draw a line a map and a column an epoch, image below image.

    A map that teaches is shown as the three-valued mask that it makes, by Eq. 1 alone: foreground
    (yellow), background (blue), and what it leaves to nobody (the image). Others, such as C's, are
    shown as they are. Maps of branches are probabilities; O is scaled to [0, 1].

    Args:
        images: with equal numbers of epochs.
        teachers: the thresholds of the maps that teach, by the names of `LINES`.
    """
    lines = [name for name in LINES if name in _lines(images[0], 0)]
    epochs = len(images[0].maps["attention"])
    rows, columns = len(images) * len(lines), epochs + 1
    width, height = MARGIN + 1.15 * columns, 1.25 * rows + 0.3
    figure = Figure(figsize=(width, height))
    left, top = MARGIN / width, 1 - 0.25 / (1.25 * rows)
    figure.subplots_adjust(left, 0.01, 0.99, top, wspace=0.04, hspace=0.06)
    axes = figure.subplots(rows, columns, squeeze=False)
    for number, one in enumerate(images):
        block = axes[number * len(lines) : (number + 1) * len(lines)]
        for axis in block[:, 0]:
            axis.axis("off")
        _show(block[0][0], one)
        for epoch in range(epochs):
            maps = _lines(one, epoch)
            for line, name in zip(block, lines, strict=True):
                _show(line[epoch + 1], one, maps[name], teachers.get(name))
        for line, name in zip(block, lines, strict=True):
            line[0].text(-0.06, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
    for epoch, axis in enumerate(axes[0][1:], start=1):
        axis.set_title(f"epoch {epoch}", fontsize=8)
    return figure


def _lines(one: GuidedImage, epoch: int) -> dict[str, Maps]:
    """Return the maps of an epoch in the image's size, by the names of `LINES`."""
    size = (one.image.shape[1], one.image.shape[0])
    maps: dict[str, Maps] = {"O": localization_map(one.maps["attention"][epoch], size)}
    for name, key in (("B2", "b2"), ("B1", "b1"), ("C", "c")):
        if key in one.maps:
            maps[name] = np.asarray(cv2.resize(one.maps[key][epoch], size), dtype=np.float32)
    if "B1" in maps and "B2" in maps:
        maps["fused"] = ((maps["B1"] + maps["B2"]) / 2).astype(np.float32)
    return maps


def three_valued(values: Maps, pair: ThresholdPair) -> NDArray[np.uint8]:
    """Return the mask of Eq. 1 as colors over an image, ``uint8 [H, W, 4]``.

    Background wins where a pixel would be both, as in training; ignored pixels are transparent.
    """
    colors = np.zeros((*values.shape, 4), np.uint8)
    colors[values > pair.high] = FOREGROUND
    colors[values < pair.low] = BACKGROUND
    return colors


def _show(
    axis: Axes, one: GuidedImage, values: Maps | None = None, pair: ThresholdPair | None = None
) -> None:
    axis.axis("off")
    show(axis, one.image)
    if values is not None and pair is None:
        show(axis, values, cmap="viridis", vmin=0, vmax=1, alpha=0.75)
    elif values is not None and pair is not None:
        show(axis, three_valued(values, pair))
    for x0, y0, x1, y1 in one.true_boxes:
        axis.add_patch(
            Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color="#e41a1c", lw=0.8)
        )
