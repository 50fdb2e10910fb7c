"""Figures: tables and arrays in, matplotlib figures out. Overlays live only here."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spg.report.names import EXTRACTOR_NAMES, variant_name

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "spg"  # names inside an SVG, else drawn at random
mpl.rcParams["text.parse_math"] = False  # a dollar in a class's name is a dollar
sns.set_theme(context="paper", style="whitegrid", palette="colorblind")

DPI = 90
LARGEST_SIDE = 1000  # pixels that are drawn of an image or map
FEW = 8  # lines that one panel can tell apart
PANELS_A_LINE = 5
POINTS = {"selected": "o", "oracle": "v"}
TRUE_COLOR, GUESS_COLOR = "#ffffff", "#f0e442"
BOX_WIDTH = 1.2  # points


class Panel(NamedTuple):
    """One image seen through one variant."""

    loc_map: NDArray[np.float32]
    """``Float[H, W]`` in [0, 1]."""
    threshold: float
    box: NDArray[np.float64]
    """``Float[4]`` xyxy."""
    iou: float | None
    """``None`` where the truth is unknown."""


class GalleryRow(NamedTuple):
    """One image with its truth and a panel for each variant."""

    image: NDArray[np.uint8]
    true_boxes: NDArray[np.float64]
    object_mask: NDArray[np.bool_] | None
    part_mask: NDArray[np.bool_] | None
    panels: list[Panel]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, without a date, so that equal figures are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = {".png": "Software", ".svg": "Date"}[path.suffix]
    figure.savefig(path, dpi=DPI, metadata={dated: None})


def as_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG, for notebooks."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def contact_sheet(
    rows: Sequence[GalleryRow], titles: Sequence[str], *, first: str = "truth"
) -> Figure:
    """Draw images against variants: map, its mask at the threshold, guessed and true boxes.

    The first column, named ``first``, shows the image with what is known: true boxes, outline of
    the object and of the telling parts.
    """
    columns = len(titles) + 1
    names = [fill(title, 18) for title in (first, *titles)]
    lines = 2 + max(name.count("\n") for name in names)  # the last one has the IoU
    top = max(0.5, 0.1 + 0.14 * lines)  # inches, for the titles
    height = 1.7 * len(rows) - 0.2 + top
    figure = Figure(figsize=(1.55 * columns, height))  # a layout engine takes seconds for this many
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - top / height, wspace=0.04, hspace=0.14)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        _truth(line[0], row)
        for axis, panel in zip(line[1:], row.panels, strict=True):
            _panel(axis, row, panel)
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(f"{name}\n{axis.get_title()}" if axis.get_title() else name, fontsize=8)
    return figure


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side that share what they measure; see `name_lines`."""
    apart = ConstrainedLayoutEngine(w_pad=0.08)  # inches, so that 1.0 and 0.0 do not touch
    figure = Figure(figsize=(3.5 + 3.5 * count, 4), layout=apart)
    return figure, list(figure.subplots(1, count, sharey=True, squeeze=False)[0])


def name_lines(figure: Figure, axes: Sequence[Axes]) -> None:
    """Put one legend beside all panels, with what any of them draws."""
    entries: dict[str, Any] = {}
    for axis in axes:
        handles, names = axis.get_legend_handles_labels()
        for name, handle in zip(names, handles, strict=True):
            entries.setdefault(name, handle)
        if legend := axis.get_legend():
            legend.remove()
    figure.legend(entries.values(), entries.keys(), loc="outside right center", frameon=False)


def by_panel(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each panel of a chart by its title, with a column ``line`` to name lines.

    A few variants share one panel; more have one for each extractor, where a line is a method.
    """
    variants = [variant_name(row) for row in table.to_dict("records")]
    if len(set(variants)) <= FEW:
        return {"": table.assign(line=variants)}
    lines = [variant_name({**row, "extractor": "none"}) for row in table.to_dict("records")]
    named = table.assign(line=lines)
    return {
        EXTRACTOR_NAMES.get(name, name): rows
        for name, rows in named.groupby("extractor", sort=False)
    }


def threshold_curves(curves: pd.DataFrame, *, fixed: float, points: pd.DataFrame) -> Figure:
    """Draw the GT-known error against the map threshold; bands span the seeds.

    Args:
        curves: columns method, extractor, seed, map_threshold, gt_known_loc_err.
        fixed: the fixed threshold, a vertical line.
        points: columns method, extractor, kind, map_threshold, gt_known_loc_err: for each cell a
            point at the threshold of each kind (selected, where it is one for all images; oracle).
    """
    per_cent = 100 * curves["gt_known_loc_err"], 100 * points["gt_known_loc_err"]
    drawn = by_panel(curves.assign(gt_known_loc_err=per_cent[0]))
    marked = by_panel(points.assign(gt_known_loc_err=per_cent[1]))
    order = list(dict.fromkeys(line for rows in drawn.values() for line in rows["line"]))
    shared = {"x": "map_threshold", "y": "gt_known_loc_err", "hue": "line", "hue_order": order}
    figure, axes = panels(len(drawn))
    for axis, (title, rows) in zip(axes, drawn.items(), strict=True):
        sns.lineplot(rows, **shared, style="line", style_order=order, errorbar=("pi", 100), ax=axis)
        spots = marked[title]
        for kind, marker in POINTS.items():
            own = spots[spots["kind"] == kind]
            if own.empty:  # cross-fitted: no single threshold was selected
                continue
            sns.scatterplot(
                own, **shared, marker=marker, legend=False, s=45,
                edgecolor="black", zorder=3, ax=axis,
            )  # fmt: skip
            axis.scatter([], [], marker=marker, color="white", edgecolors="black", label=kind)
        axis.axvline(fixed, color="0.4", linestyle=":", label="fixed threshold")
        axis.axvline(0.2, color="0.7", linestyle="--", label="0.2, as in the CAM paper")
        axis.set(xlabel="map threshold", ylabel="GT-known localization error, %", title=title)
        axis.set(xlim=(0, 1), ylim=(0, 100))
    name_lines(figure, axes)
    return figure


def training_curves(history: pd.DataFrame) -> Figure:
    """Draw each loss term over the epochs, one panel a network, five a line; bands span the seeds.

    Args:
        history: columns backbone, method, seed, epoch and one ``loss_`` column a term.
    """
    terms = [column for column in history if column.startswith("loss_")]
    names = [variant_name({**row, "extractor": "none"}) for row in history.to_dict("records")]
    history = history.assign(variant=names)
    long = history.melt(["variant", "seed", "epoch"], terms, "term", "value").dropna()
    long["term"] = long["term"].str.removeprefix("loss_")
    order = [term.removeprefix("loss_") for term in terms]
    networks = list(dict.fromkeys(names))
    lines, columns = -(-len(networks) // PANELS_A_LINE), min(len(networks), PANELS_A_LINE)
    figure = Figure(figsize=(2.2 * columns, 2.6 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    axes = list(grid.ravel()[: len(networks)])
    for unused in grid.ravel()[len(networks) :]:
        unused.remove()
    once = long["epoch"].nunique() == 1  # a line of one point would not be seen
    for axis, name in zip(axes, networks, strict=True):
        sns.lineplot(
            long[long["variant"] == name], x="epoch", y="value", hue="term", style="term",
            hue_order=order, style_order=order, errorbar=("pi", 100), marker="o" if once else None,
            ax=axis,
        )  # fmt: skip
        axis.set(title=fill(name, 20), ylabel="loss", xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0].set_ylim(0, None)  # of all panels, once all are drawn
    name_lines(figure, axes)
    return figure


def energy_bars(energy: pd.DataFrame) -> Figure:
    """Draw how much denser each map is on telling parts and object than a uniform map (= 1).

    A region that no mask knows has no bars.
    """
    ratios = [
        {
            "variant": variant_name(row),
            "region": name,
            "ratio": row[f"{key}_energy"] / row[f"{key}_area"] if row[f"{key}_area"] else np.nan,
        }
        for row in energy.to_dict("records")
        for key, name in (("part", "telling parts"), ("object", "whole object"))
    ]
    figure = Figure(figsize=(7, max(3, 0.3 * len(energy))), layout="constrained")
    axis = figure.subplots()
    known, order = pd.DataFrame(ratios).dropna(), [row["variant"] for row in ratios[::2]]
    sns.barplot(known, y="variant", x="ratio", hue="region", order=order, ax=axis)
    axis.axvline(1, color="0.4", linestyle=":")
    axis.set(xlabel="energy share / area share (1 = uniform map)", ylabel="")
    axis.legend(frameon=False, title="")
    return figure


def _truth(axis: Axes, row: GalleryRow) -> None:
    _show(axis, row.image)
    for mask, color in ((row.object_mask, TRUE_COLOR), (row.part_mask, "#e41a1c")):
        if mask is not None:
            outline(axis, mask.astype(np.float64), 0.5, color)
    for box in row.true_boxes:
        draw_box(axis, box, TRUE_COLOR)


def show(axis: Axes, values: NDArray[Any], **style: Any) -> None:
    """Show an image or map, ``[H, W]`` or ``[H, W, 3]``, in its own pixels' coordinates.

    Of a large one every few pixels are drawn: Matplotlib takes about 100 bytes a pixel.
    """
    step, (height, width) = _step(values), values.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(values[::step, ::step], extent=extent, **style)


def _step(values: NDArray[Any]) -> int:
    return max(1, int(max(values.shape[:2])) // LARGEST_SIDE)


def outline(
    axis: Axes,
    values: NDArray[np.floating],
    level: float,
    color: str,
    *,
    style: str = "-",
    width: float = 0.7,
) -> None:
    """Draw where ``Float[H, W]`` crosses a level, if it does; one pixel high, it has no outline."""
    step = _step(values)
    seen = values[::step, ::step]
    if min(seen.shape) > 1 and seen.min() < level <= seen.max():
        x, y = (np.arange(0, length, step) for length in values.shape[::-1])
        axis.contour(
            x, y, seen, levels=[level], colors=[color], linestyles=[style], linewidths=width
        )


def _panel(axis: Axes, row: GalleryRow, panel: Panel) -> None:
    _show(axis, row.image)
    show(axis, panel.loc_map, cmap="inferno", alpha=0.55, vmin=0, vmax=1)
    outline(axis, panel.loc_map, panel.threshold, "#56b4e9")
    for box in row.true_boxes:
        draw_box(axis, box, TRUE_COLOR)
    draw_box(axis, panel.box, GUESS_COLOR)
    if panel.iou is not None:
        axis.set_title(f"IoU {panel.iou:.2f}", fontsize=7, pad=2)


def _show(axis: Axes, image: NDArray[np.uint8]) -> None:
    show(axis, image)
    axis.set_axis_off()


def draw_box(axis: Axes, box: NDArray[np.float64], color: str) -> None:
    """Draw a box, ``Float[4]`` xyxy, with a dark seam: a white line alone is lost on white.

    It is not cut at the edge of the image, where half of its line would be.
    """
    x1, y1, x2, y2 = box - 0.5  # pixel edges, half-open
    seam = withStroke(linewidth=BOX_WIDTH + 1, foreground="black", alpha=0.6)
    rectangle = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, clip_on=False)
    rectangle.set(edgecolor=color, linewidth=BOX_WIDTH, path_effects=[seam])
    axis.add_patch(rectangle)
